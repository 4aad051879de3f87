#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# find: a path comes first; -printf, -regextype and their like are GNU's (macos_commands §6)
name='find'
. /.simulated-mac/userland/strict.sh
case ${1-} in
  -[HLPXdsx]) ;;
  '' | -*) refuse "macOS's find needs a path" "$@" ;;
esac
case ${1-} in -[Xdsx]) refuse "$1 is not modelled" "$@" ;; esac
for word in "$@"; do
  case $word in
    -printf | -fprintf | -regextype | -readable | -writable | -executable | -daystart | -warn | -nowarn | -noleaf | -files0-from | -xtype | --*)
      refuse "$word is GNU's" "$@" ;;
  esac
done
exec "$hidden/bin/find" "$@"
