# SPDX-License-Identifier: GPL-3.0-or-later
"""The Linux guest of the builder VM: small, real, and made from what this machine has installed anyway.

`ensure(report)` builds its images once and returns the directory that holds them:

| file | what |
|---|---|
| `kernel`, `initrd` | Debian's generic kernel (the one with 9p), already unpacked |
| `system.img` | ext4, read-only, shared by all guests: busybox, sshd and Nix with the libraries they need |
| `ssh_host_ed25519_key.pub` | the public half of the guest's host key, made with the images |
| `acceleration` | `kvm` or `tcg`: what this machine really can do, tried out by booting |
"""

from ..errors import GuestError
from .image import ensure, requirements

__all__ = ["GuestError", "ensure", "requirements"]
