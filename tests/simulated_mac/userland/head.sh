#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# head: no negative counts (macos_commands §6)
name='head'
. /.simulated-mac/userland/strict.sh
strict qv0123456789 cn "$@"
case " $* " in *' -n -'* | *' -c -'* | *' -n-'* | *' -c-'*) refuse "a negative count is GNU's" "$@" ;; esac
exec "$hidden/bin/head" "$@"
