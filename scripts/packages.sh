# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2034
# Debian packages that the simulated Mac is made of: what is real in it is real. PROGRAM=PACKAGE is wanted where that program
# is not there yet: which package has it depends on the release (pivot_root is in util-linux up to Debian 13).
SIMULATED_MAC_PACKAGES="python3-venv iproute2 openssh-server openssh-client sudo nix-bin qemu-system-x86 qemu-utils
  busybox-static cpio zstd e2fsprogs zsh dash lsof curl perl original-awk procps uidmap pivot_root=util-linux-extra"
CHECK_PACKAGES="shellcheck"
