# SPDX-License-Identifier: GPL-3.0-or-later
"""pyinfra's front end: one operation a resource, `linux_builder`, the deploy that does it all, and `doctor`."""

from .builder_vm import builder_vm
from .doctor import doctor
from .launchd_daemon import launchd_daemon
from .linux_build import linux_build
from .linux_builder import linux_builder
from .nix_installation import nix_installation
from .nix_machine import nix_machine
from .nix_setting import nix_setting
from .ssh_host import ssh_host
from .ssh_keypair import ssh_keypair

__all__ = [
    "builder_vm",
    "doctor",
    "launchd_daemon",
    "linux_build",
    "linux_builder",
    "nix_installation",
    "nix_machine",
    "nix_setting",
    "ssh_host",
    "ssh_keypair",
]
