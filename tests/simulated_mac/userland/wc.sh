#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# wc: right-aligned in columns of eight, as BSD prints it
name='wc'
. /.simulated-mac/userland/strict.sh
strict clmw '' "$@"
status=0
counted=$("$hidden/bin/wc" "$@") || status=1
[ -z "$counted" ] || printf '%s\n' "$counted" | while read -r line; do
  # shellcheck disable=SC2086 # the words are wanted
  set -- $line
  while [ $# -gt 0 ]; do
    case $1 in *[!0-9]*) break ;; esac
    printf '%8s' "$1"
    shift
  done
  [ $# -eq 0 ] || printf ' %s' "$*"
  echo
done
exit "$status"
