#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# date: -r SECONDS or FILE, -u, -j, +FORMAT; -d is GNU's (macos_commands §6)
name='date'
. /.simulated-mac/userland/strict.sh
strict uj r "$@"
utc='' when=''
while getopts ujr: option; do
  case $option in
    u) utc=-u ;;
    r) when=$OPTARG ;;
    j) ;;
    *) refuse "-$option" "$@" ;;
  esac
done
shift $((OPTIND - 1))
case ${1-} in '' | +*) ;; *) refuse "setting the clock" "$@" ;; esac
case ${1-} in *%N*) refuse "%N is GNU's" "$@" ;; esac
case $when in
  '') exec "$hidden/bin/date" ${utc:+"$utc"} "$@" ;;
  *[!0-9]*) exec "$hidden/bin/date" ${utc:+"$utc"} -r "$when" "$@" ;;
  *) exec "$hidden/bin/date" ${utc:+"$utc"} -d "@$when" "$@" ;;
esac
