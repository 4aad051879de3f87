#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# chmod: no --reference; ACLs (+a) are not modelled
name='chmod'
. /.simulated-mac/userland/strict.sh
for word in "$@"; do
  case $word in
    --*) refuse "$word is GNU's" "$@" ;;
    [+=-]a) refuse "ACLs" "$@" ;;
    -[RHLPfhv]*) ;;
    *) break ;;
  esac
done
exec "$hidden/bin/chmod" "$@"
