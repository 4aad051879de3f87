#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# touch: -d is not GNU's; and what it says where nothing can be written, which installers look for
name='touch'
. /.simulated-mac/userland/strict.sh
strict achm rt "$@"
plain_errors "$@"
