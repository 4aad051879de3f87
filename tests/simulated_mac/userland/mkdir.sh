#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# mkdir: no --parents; and what it says where nothing can be written, which installers look for
name='mkdir'
. /.simulated-mac/userland/strict.sh
strict pv m "$@"
operands "$@" || usage 64 'usage: mkdir [-pv] [-m mode] directory_name ...'
plain_errors "$@"
