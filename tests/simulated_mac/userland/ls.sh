#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# ls: -G colours, -T shows the whole time, -e and -@ show what files here do not have; -O shows
# flags, alone with -ldn and of one file
name='ls'
. /.simulated-mac/userland/strict.sh
strict ABCFGHLOPRSTabcdefghiklmnopqrstux1@ D "$@"
if [ "$#" -eq 2 ] && [ "$1" = -ldnO ]; then
  flags=-
  case $("$hidden/bin/lsattr" -d -- "$2" 2>/dev/null) in *i*' '*) flags=uchg ;; esac
  shown=$("$hidden/bin/ls" -ldn -- "$2") || exit
  # shellcheck disable=SC2086
  set -- $shown
  mode=$1 links=$2 uid=$3 gid=$4; shift 4
  printf '%s %s %s %s %s %s\n' "$mode" "$links" "$uid" "$gid" "$flags" "$*"
  exit
fi
whole_time='' number=$#
while [ "$number" -gt 0 ]; do
  word=$1
  shift; number=$((number - 1))
  case $word in
    -?*)
      letters='' rest=${word#-}
      while [ -n "$rest" ]; do
        letter=${rest%"${rest#?}"} rest=${rest#?}
        case $letter in
          [GPe@]) ;;
          T) whole_time=1 ;;
          [OD]) refuse "-$letter is not modelled" "$word" "$@" ;;
          *) letters=$letters$letter ;;
        esac
      done
      [ -z "$letters" ] || set -- "$@" "-$letters" ;;
    *) set -- "$@" "$word" ;;
  esac
done
if [ -n "$whole_time" ]; then set -- --time-style='+%b %e %H:%M:%S %Y' "$@"; fi
status=0
POSIXLY_CORRECT=1 "$hidden/bin/ls" "$@" || status=1 # blocks of 512 bytes
exit "$status"
