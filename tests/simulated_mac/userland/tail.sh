#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# tail: -r is BSD's own
name='tail'
. /.simulated-mac/userland/strict.sh
strict Ffqrv0123456789 bcn "$@"
if [ "${1-}" = -r ]; then shift; exec "$hidden/bin/tac" "$@"; fi
exec "$hidden/bin/tail" "$@"
