#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# xargs: runs nothing on empty input, without -r, which is GNU's (macos_commands §6)
name='xargs'
. /.simulated-mac/userland/strict.sh
for word in "$@"; do
  case $word in
    -[0optx]) ;;
    -[EILPnsR]* | [0-9]*) ;;
    -*) refuse "$word is not macOS's" "$@" ;;
    *) break ;;
  esac
done
exec "$hidden/bin/xargs" -r "$@"
