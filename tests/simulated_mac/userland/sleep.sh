#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# sleep: one number of seconds
name='sleep'
. /.simulated-mac/userland/strict.sh
case $#:${1-} in 1:*[!0-9.]* | 1: | [!1]:*) refuse "one number of seconds" "$@" ;; esac
exec "$hidden/bin/sleep" "$1"
