#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# xargs: runs nothing on empty input, with -r or without; a command that fails makes it 1 (macos_commands §6)
name='xargs'
. /.simulated-mac/userland/strict.sh
for word in "$@"; do
  case $word in
    -[0oprtx]) ;;
    -[EILPnsR]* | [0-9]*) ;;
    -*) refuse "$word is not macOS's" "$@" ;;
    *) break ;;
  esac
done
"$hidden/bin/xargs" -r "$@"
status=$?
case $status in 12[345]) status=1 ;; esac
exit "$status"
