#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# chown: USER:GROUP; USER.GROUP is GNU's, though a name may hold a dot
name='chown'
. /.simulated-mac/userland/strict.sh
strict HLPRfhnvx '' "$@"
for word in "$@"; do
  case $word in
    -*) continue ;;
    *:*) ;;
    *.*) "$hidden/bin/id" -u -- "$word" >/dev/null 2>&1 || usage 1 "chown: $word: illegal user name" ;;
  esac
  break
done
exec "$hidden/bin/chown" "$@"
