#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# md5: BSD's way to print it
name='md5'
. /.simulated-mac/userland/strict.sh
strict qr '' "$@"
[ "${1-}" = -q ] || refuse "only -q is modelled" "$@"
shift
status=0
sums=$("$hidden/bin/md5sum" "$@") || status=1
[ -z "$sums" ] || printf '%s\n' "$sums" | "$hidden/bin/cut" -c 1-32
exit "$status"
