#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# head: no negative counts, no units, no -q and -v (macos_commands §6)
name='head'
. /.simulated-mac/userland/strict.sh
case ${1-} in -[qv]) usage 1 "head: invalid option -- ${1#-}" ;; esac
strict 0123456789 cn "$@"
case " $* " in *' -n -'* | *' -c -'* | *' -n-'* | *' -c-'*) refuse "a negative count is GNU's" "$@" ;; esac
case ${1-}:${2-} in
  -c:*[!0-9]*) usage 1 "head: illegal byte count -- $2" ;;
  -c*[!0-9]*:*) usage 1 "head: illegal byte count -- ${1#-c}" ;;
esac
exec "$hidden/bin/head" "$@"
