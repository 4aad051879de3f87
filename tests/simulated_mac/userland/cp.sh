#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# cp: -c clones and -X leaves extended attributes out; -t and -T are GNU's (macos_commands §6)
name='cp'
. /.simulated-mac/userland/strict.sh
strict HLPRSXacfinprvx '' "$@"
number=$#
while [ "$number" -gt 0 ]; do
  word=$1
  shift; number=$((number - 1))
  case $word in
    -c | -X) ;;
    -*[cXS]*) refuse "$word: give -c and -X their own words" "$word" "$@" ;;
    *) set -- "$@" "$word" ;;
  esac
done
case " $* " in
  *' -n '*)
    for target in "$@"; do :; done
    [ $# -eq 3 ] && [ "$1" = -n ] && [ ! -d "$target" ] || refuse "-n is modelled for one file to one file" "$@"
    [ ! -e "$target" ] || exit 1 ;;
esac
exec "$hidden/bin/cp" "$@"
