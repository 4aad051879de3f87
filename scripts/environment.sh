# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# Sourced by ./rollout, ./check and .ci/run from the repository's root: what they need on this machine.
#   prepare_environment EXTRA   a virtual environment in .venv with the project; EXTRA is "" or "[check]"
#   prepare_packages NAME...    Debian packages, installed when this is root and any is missing; PROGRAM=NAME where PROGRAM is

say() { printf '==> %s\n' "$*" >&2; }

prepare_packages() {
  command -v dpkg-query >/dev/null 2>&1 || return 0
  missing=
  for package in "$@"; do
    case $package in
      *=*)
        PATH="$PATH:/usr/sbin:/sbin" command -v "${package%%=*}" >/dev/null 2>&1 && continue
        package=${package#*=}
        ;;
    esac
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    say "not root, so these Debian packages are not installed:$missing"
    return 0
  fi
  say "installing Debian packages:$missing"
  # shellcheck disable=SC2086 # one word a package
  if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >&2; then
    say "apt-get failed: install$missing by hand and run again"
    return 1
  fi
}

prepare_environment() {
  for python in python3 python3.14 python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi
    python=
  done
  if [ -z "$python" ]; then
    say "Python 3.11 or later is needed and was not found: install it and run again"
    return 1
  fi
  want="$1 $("$python" --version) $(cat pyproject.toml)"
  if [ -x .venv/bin/builderfleet ] && [ "$(cat .venv/made-for 2>/dev/null)" = "$want" ]; then return 0; fi
  say "making the virtual environment .venv (a minute, once)"
  if ! { "$python" -m venv .venv && .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$1"; } >&2; then
    say "the virtual environment could not be made: see above; on Debian, python3-venv is needed"
    return 1
  fi
  printf '%s\n' "$want" >.venv/made-for
}
