# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2034
# Debian packages that the simulated Mac is made of: what is real in it is real.
SIMULATED_MAC_PACKAGES="python3-venv iproute2 openssh-server openssh-client sudo nix-bin qemu-system-x86 qemu-utils
  busybox-static cpio zstd e2fsprogs zsh dash lsof curl perl mawk procps uidmap"
CHECK_PACKAGES="shellcheck"
