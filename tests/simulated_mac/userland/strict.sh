# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash
# What the stand-ins for macOS's userland have in common. They refuse what only GNU's tools understand, so that a script
# that works here has not leaned on it (macos_commands §6), and hand the rest to the real tools. They are dash, because
# a script calls them often.
hidden=/.simulated-mac/debian/usr

# refuse WHY ARGUMENT...: status 64, and a line in the log of unmodelled calls
refuse() {
  exec "$hidden/bin/python3" -IS -c '
import sys; sys.path.insert(0, "/.simulated-mac/python")
from doubles import shared
name, why = sys.argv[1:3]
sys.argv[1:3] = []
shared.run(name, lambda arguments: shared.unmodelled(why))' "$name" "$@"
}

# plain_errors ARGUMENT...: run the real tool, with what it complains about in a Mac's words
plain_errors() {
  errors=$("$hidden/bin/$name" "$@" 2>&1 >/dev/null) && exit 0
  status=$?
  printf '%s\n' "$errors" |
    "$hidden/bin/sed" -E "s,^[^ ]*/$name: (cannot create directory|setting times of|cannot touch) ['‘]([^'’]*)['’]: ,$name: \\2: ,; s,^[^ ]*/$name: ,$name: ," >&2
  exit "$status"
}

# usage STATUS TEXT: end as a Mac's tool does where it is called in a wrong way
usage() {
  printf '%s\n' "$2" >&2
  exit "$1"
}

# operands ARGUMENT...: whether there are any; -m takes a value
operands() {
  while [ $# -gt 0 ]; do
    case $1 in
      --) [ $# -gt 1 ]; return ;;
      -m) shift ;;
      -?*) ;;
      *) return 0 ;;
    esac
    [ $# -eq 0 ] || shift
  done
  return 1
}

# strict PLAIN VALUED ARGUMENT...: refuse options that are not among the letters; VALUED ones take a value.
# BSD's getopt ends at the first operand, GNU's does not: an option after an operand is refused as well.
strict() {
  plain=$1 valued=$2
  shift 2
  while [ $# -gt 0 ]; do
    case $1 in
      --) return ;;
      --*) refuse "$1 is GNU's" "$@" ;;
      -?*)
        letters=${1#-}
        while [ -n "$letters" ]; do
          rest=${letters#?} letter=${letters%"${letters#?}"} letters=$rest
          case $valued in *"$letter"*)
            [ -n "$letters" ] || shift
            break ;;
          esac
          case $plain in *"$letter"*) ;; *) refuse "-$letter is not macOS's" "$@" ;; esac
        done ;;
      *) break ;;
    esac
    [ $# -eq 0 ] || shift
  done
  for operand in "$@"; do
    case $operand in -?*) refuse "$operand comes after an operand" "$@" ;; esac
  done
}
