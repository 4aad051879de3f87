#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# env: -i -v -u NAME -S STRING; --chdir and --ignore-environment are GNU's. What follows the command is the command's
name='env'
. /.simulated-mac/userland/strict.sh
for word in "$@"; do
  case $word in
    --) break ;;
    --*) refuse "$word is GNU's" "$@" ;;
    -0 | - | -i | -u?* | -S | -S?*) ;;
    -u) skip=1; continue ;;
    -*) refuse "$word is not macOS's, or not modelled" "$@" ;;
    *) [ -n "${skip-}" ] || break ;;
  esac
  skip=''
done
exec "$hidden/bin/env" "$@"
