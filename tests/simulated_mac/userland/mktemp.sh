#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# mktemp: -t takes a prefix, and a template ends in X (macos_commands §6)
name='mktemp'
. /.simulated-mac/userland/strict.sh
strict dqu tp "$@"
flags='' prefix='' folder=''
while getopts dqut:p: option; do
  case $option in
    t) prefix=$OPTARG ;;
    p) folder=$OPTARG ;;
    d | q | u) flags=$flags$option ;;
    *) refuse "-$option" "$@" ;;
  esac
done
shift $((OPTIND - 1))
for template in "$@"; do
  case $template in *X) ;; *) refuse "$template does not end in X" "$@" ;; esac
done
if [ -n "$folder" ] && [ $# -gt 0 ]; then refuse "-p beside a template is not modelled" "$@"; fi
if [ -n "$prefix" ] || [ $# -eq 0 ]; then set -- "${folder:-${TMPDIR:-/tmp}}/${prefix:-tmp}.XXXXXXXXXX"; fi
status=0
for template in "$@"; do
  "$hidden/bin/mktemp" ${flags:+"-$flags"} -- "$template" || status=1
done
exit "$status"
