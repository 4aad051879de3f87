#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# sed: -i takes the suffix as its argument; no \+ \? \| \t \s \w \b, which are GNU's (macos_commands §6)
name='sed'
. /.simulated-mac/userland/strict.sh
strict Ealnru efi "$@"
number=$#
while [ "$number" -gt 0 ]; do
  word=$1
  shift; number=$((number - 1))
  case $word in
    -i)
      suffix=${1-}
      case $suffix in '') ;; .*) ;; *) refuse "-i takes a suffix as its argument, not $suffix" -i "$@" ;; esac
      shift; number=$((number - 1))
      set -- "$@" "-i$suffix" ;;
    -*i) refuse "$word: give -i its own word and argument" "$word" "$@" ;;
    *\\[+?\|tswb]*) refuse "$word is in GNU's dialect" "$word" "$@" ;;
    '{'*[dDgGhHlnNpPqx=]'}')
      letter=${word%'}'}
      usage 1 "sed: 1: \"$word\": extra characters at the end of ${letter#"${letter%?}"} command" ;;
    *) set -- "$@" "$word" ;;
  esac
done
# --posix: text after a, i and c on a line of its own; N on the last line drops it
"$hidden/bin/sed" --posix "$@" || {
  status=$?
  [ "$status" -ne 2 ] || status=1
  exit "$status"
}
