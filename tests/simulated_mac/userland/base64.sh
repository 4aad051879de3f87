#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# base64: -D or -d, -b COLUMNS, -i FILE, -o FILE; one long line unless told; -w is GNU's (macos_commands §6)
name='base64'
. /.simulated-mac/userland/strict.sh
strict Dd bio "$@"
decode='' columns=0 input=- output=''
while getopts Ddb:i:o: option; do
  case $option in
    D | d) decode=1 ;;
    b) columns=$OPTARG ;;
    i) input=$OPTARG ;;
    o) output=$OPTARG ;;
    *) refuse "-$option" "$@" ;;
  esac
done
shift $((OPTIND - 1))
[ $# -eq 0 ] || usage 64 "base64: invalid argument $1"
[ -z "$output" ] || exec >"$output"
if [ -n "$decode" ]; then exec "$hidden/bin/base64" -d -- "$input"; fi
"$hidden/bin/base64" -w "$columns" -- "$input" || exit
[ "$columns" -ne 0 ] || echo
