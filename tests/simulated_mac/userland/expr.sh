#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# expr: no length, substr, index, match and +, which are GNU's
name='expr'
. /.simulated-mac/userland/strict.sh
case $#:${1-} in
  2:length | 4:substr | 3:index | 3:match | 2:+) usage 2 'expr: syntax error' ;;
esac
exec "$hidden/bin/expr" "$@"
