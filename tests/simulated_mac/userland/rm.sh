#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# rm: one operand at least, but with -f
name='rm'
. /.simulated-mac/userland/strict.sh
strict PRdfirv '' "$@"
case " ${1-} " in *' -'*f*) ;; *) operands "$@" || usage 64 'usage: rm [-f | -i] [-dIPRrvWx] file ...' ;; esac
exec "$hidden/bin/rm" "$@"
