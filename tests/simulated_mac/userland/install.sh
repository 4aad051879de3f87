#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# install: no -D (directories) and no -t (macos_commands §6)
name='install'
. /.simulated-mac/userland/strict.sh
strict bCcdpSsv gmo "$@"
number=$#
while [ "$number" -gt 0 ]; do
  word=$1
  shift; number=$((number - 1))
  case $word in
    -S) ;; # copies beside and renames: what is there already is never half a file
    -*S*) refuse "$word: give -S its own word" "$word" "$@" ;;
    *) set -- "$@" "$word" ;;
  esac
done
errors=$(LC_ALL=C "$hidden/bin/install" "$@" 2>&1) && { [ -z "$errors" ] || printf '%s\n' "$errors"; exit 0; }
status=$?
printf '%s\n' "$errors" >&2
case $errors in *'cannot stat '*'No such file'*) status=71 ;; esac
exit "$status"
