#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# tar: a Mac's is bsdtar, which is used where there is one; otherwise only what both understand
name='tar'
. /.simulated-mac/userland/strict.sh
if [ -x "$hidden/bin/bsdtar" ]; then exec "$hidden/bin/bsdtar" "$@"; fi
for word in "$@"; do
  case $word in
    --exclude | --exclude=* | --strip-components | --strip-components=* | --no-same-owner | --no-same-permissions | --) ;;
    --*) refuse "$word is GNU's" "$@" ;;
  esac
done
exec "$hidden/bin/tar" "$@"
