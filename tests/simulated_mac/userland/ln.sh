#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# ln: -h is GNU's -n; -T and -t and -r are GNU's (macos_commands §6)
name='ln'
. /.simulated-mac/userland/strict.sh
strict FLPfhinsv '' "$@"
number=$#
while [ "$number" -gt 0 ]; do
  word=$1
  shift; number=$((number - 1))
  case $word in
    -*F*) refuse "-F is not modelled" "$word" "$@" ;;
    -*h*) set -- "$@" "${word%%h*}n${word#*h}" ;;
    *) set -- "$@" "$word" ;;
  esac
done
exec "$hidden/bin/ln" "$@"
