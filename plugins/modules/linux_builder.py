# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation of the action of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: linux_builder
short_description: Gives a Mac a Linux builder for Nix, or takes it back
version_added: 0.1.0
description:
  - Installs Nix, sets up the builder VM, makes the SSH keys, registers the builder with Nix and the VM with launchd, and
    proves it with a real Linux build; and puts right what has drifted. All of it in one task.
  - What is wanted is said by the host's variables of the same names as the options below, wherever they are set; an option
    comes before the variable. So the same inventory serves pyinfra and Ansible.
author:
  - builderfleet contributors (@builderfleet)
extends_documentation_fragment:
  - builderfleet.macos.mac
options:
  phases:
    description:
      - The parts to do, of C(nix), C(key), C(vm), C(daemon), C(ssh), C(machine), C(rotation), C(cleanup) and
        C(build). All of them when it is not set.
    type: list
    elements: str
  nix_state:
    description:
      - >-
        C(present): Nix is installed where there is none, and adopted where there is one, of whatever flavour.
        C(absent) uninstalls it and DELETES ITS STORE; it wants linux_builder_state: absent as well. The default is
        C(present).
    type: str
    choices: [present, absent]
  nix_installer_version:
    description:
      - >-
        The release of the NixOS nix-installer; it carries the Nix of the same number. For Macs without Nix. The
        default is C(2.35.2).
    type: str
  nix_installer_source:
    description:
      - >-
        Where a Mac gets the installer: a URL (a mirror of your own will do) or a file that is on the Mac already.
        C({version}) stands for nix_installer_version. The default is
        C(https://github.com/NixOS/nix-installer/releases/download/{version}/nix-installer-aarch64-darwin).
    type: str
  nix_installer_sha256:
    description:
      - >-
        The SHA-256 of that installer, checked on the Mac before any of it runs; it changes with
        nix_installer_version. Empty: no Nix is installed anywhere. The default is
        C(6314b195321b3acc6826b1c5d66bb9cf9306c8231c6dbb745f51a04c3bcee235).
    type: str
  nix_extra_conf:
    description:
      - >-
        Lines that the installer adds to the configuration of a Nix that it installs.
    type: list
    elements: str
  nix_proxy:
    description:
      - >-
        The HTTP proxy, as a URL, where that is a Mac's only way out: given to the download, the installer and the
        realising of the VM. The guest does not get it.
    type: str
  linux_builder_state:
    description:
      - >-
        C(absent) takes the builder back, with its VM's disk, and puts back what was there before. Nix stays. The
        default is C(present).
    type: str
    choices: [present, absent]
  linux_builder_nixpkgs:
    description:
      - >-
        The nixpkgs whose darwin.linux-builder is used: a locked flake reference. Take a revision of a release
        channel, whose builder the binary cache has. The default is one of nixpkgs-25.11-darwin, which gets
        no fixes any more since mid-2026; builderfleet pin takes a newer one. The default is
        C(github:NixOS/nixpkgs/735a15e91bcb1b3e0883a91d3c9dfd4475d1bc54?narHash=sha256-Q%2Bg1Np4wyNYpylt8RFM8UprAmyRoA3q3EZj7lQV%2BZuQ%3D).
    type: str
  linux_builder_nixpkgs_release:
    description:
      - >-
        The release that revision belongs to. Needed for Intel Macs: 26.05 is the last that knows them. The default is
        C(25.11).
    type: str
  linux_builder_cores:
    description:
      - >-
        Processor cores of the VM: at most 8 on Apple silicon, whose machine in QEMU has no more. The default is C(4).
    type: int
  linux_builder_memory:
    description:
      - >-
        Memory of the VM. The default is C(6GiB).
    type: str
  linux_builder_disk:
    description:
      - >-
        The most that the VM's disk may grow to. It counts when the disk is made; an existing one keeps its size. The
        default is C(60GiB).
    type: str
  linux_builder_port:
    description:
      - >-
        The TCP port of 127.0.0.1 on which the builder's sshd is reached. 31022, 31122, 31222 and 2222 are what other
        builders use. The default is C(31422).
    type: int
  linux_builder_systems:
    description:
      - >-
        The systems it is registered for. Empty: the Linux that the Mac's own processor runs.
    type: list
    elements: str
  linux_builder_max_jobs:
    description:
      - >-
        How many builds run in it at once. Not set: as many as it has cores.
    type: int
  linux_builder_speed_factor:
    description:
      - >-
        Its weight among several builders. The default is C(1).
    type: int
  linux_builder_features:
    description:
      - >-
        The system features that it is registered with. The default is C(benchmark, big-parallel).
    type: list
    elements: str
  linux_builder_use_substitutes:
    description:
      - >-
        Whether builders fetch from the binary cache themselves (C(builders-use-substitutes)) instead of being sent
        everything by the Mac. The default is C(true).
    type: bool
  linux_builder_host_key:
    description:
      - >-
        The public host key of the guest, which is the only one that Nix accepts. The private half of the stock
        builder's is published with nixpkgs, which is why the VM listens on 127.0.0.1 only.
        The default is C(ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJBWcxb/Blaqt1auOtE+F8QUWrUotiC5qBJ+UuEWdVCb root@nixos).
    type: str
  linux_builder_key_rotation:
    description:
      - >-
        Any word. When it is changed, say from 2026-10 to 2026-11, each Mac makes a new client key, and the old one
        stays valid until the new one works. Empty: keys are never changed.
    type: str
  linux_builder_certificates:
    description:
      - >-
        The CA certificates, on the Mac, that the guest is to trust: with a TLS-intercepting proxy, a bundle that has
        the proxy's. The default is C(/nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt).
    type: str
  linux_builder_daemon_proxy:
    description:
      - >-
        Whether Nix's daemon gets nix_proxy as well: in the file of its launchd job, which everybody on the Mac can
        read. Setting it restarts the daemon. The default is C(false).
    type: bool
  linux_builder_start_limit:
    description:
      - >-
        Seconds that the VM may take until it answers. The default is C(300).
    type: int
  linux_builder_build:
    description:
      - >-
        When a run ends with a real Linux build through the builder: C(after changes), C(always) or C(never). The default is
        C(after changes).
    type: str
    choices: [after changes, always, never]
"""

EXAMPLES = r"""
- name: Linux builder, as the inventory says
  builderfleet.macos.linux_builder:
  become: true

- name: Linux builder with 8 cores
  builderfleet.macos.linux_builder:
    linux_builder_cores: 8
    linux_builder_memory: 12GiB
  become: true

- name: What would change
  builderfleet.macos.linux_builder:
  become: true
  check_mode: true
  register: builder

- name: Take it back
  builderfleet.macos.linux_builder:
    linux_builder_state: absent
  become: true
"""

RETURN = r"""
outcome:
  description: How it ended on this Mac.
  returned: always
  type: str
  choices: [converged, changed, failed, would change, reboot needed, needs a person, locked]
  sample: changed
changes:
  description: What was changed or, in check mode, what would be, a line each.
  returned: always
  type: list
  elements: str
  sample: [register ssh-ng://builder@builderfleet in /etc/nix/machines]
needs:
  description: What only a person can do.
  returned: always
  type: list
  elements: dict
  contains:
    what:
      description: What is wrong.
      type: str
      returned: always
    remedy:
      description: What to do about it.
      type: str
      returned: always
  sample: []
remark:
  description: What a report says beside the outcome; why it failed, what was changed, what a person has to do.
  returned: always
  type: str
  sample: register ssh-ng://builder@builderfleet in /etc/nix/machines
"""
