# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation of the action of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: builder_vm
short_description: Realises the builder VM for Nix on a Mac
version_added: 0.1.0
description:
  - Realises nixpkgs' C(darwin.linux-builder) with these cores, memory, disk and port, and writes its start script, which
    M(builderfleet.macos.launchd_daemon) runs.
  - The private key of its client is never put into the Nix store, and it listens on 127.0.0.1 only.
  - C(state=absent) removes its disk as well.
author:
  - builderfleet contributors (@builderfleet)
extends_documentation_fragment:
  - builderfleet.macos.mac
  - builderfleet.macos.mac.state
options:
  nixpkgs:
    description:
      - >-
        A locked flake reference; none means the one that is pinned here.
    type: str
    default: github:NixOS/nixpkgs/735a15e91bcb1b3e0883a91d3c9dfd4475d1bc54?narHash=sha256-Q%2Bg1Np4wyNYpylt8RFM8UprAmyRoA3q3EZj7lQV%2BZuQ%3D
  cores:
    description:
      - >-
        Processor cores.
    type: int
    default: 4
  memory:
    description:
      - >-
        A size such as C(6GiB).
    type: str
    default: 6GiB
  disk:
    description:
      - >-
        The most that its disk may grow to, a size.
    type: str
    default: 60GiB
  port:
    description:
      - >-
        The port of 127.0.0.1 on which its sshd is reached.
    type: int
    default: 31422
  key:
    description:
      - >-
        Path of the client's key pair on the Mac.
    type: str
    default: /etc/nix/builderfleet_ed25519
  label:
    description:
      - >-
        The label of the launchd daemon that runs it.
    type: str
    default: org.builderfleet.linux-builder
  alias:
    description:
      - >-
        The ssh host of the guest, through which it is asked to shut down.
    type: str
    default: builderfleet
  host_key:
    description:
      - >-
        The line of the guest's public host key; none means the stock builder's.
    type: str
    default: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJBWcxb/Blaqt1auOtE+F8QUWrUotiC5qBJ+UuEWdVCb root@nixos
  certificates:
    description:
      - >-
        Path of the CA certificates that the guest trusts.
    type: str
    default: /nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt
"""

EXAMPLES = r"""
- name: Builder VM with 8 cores
  builderfleet.macos.builder_vm:
    cores: 8
    memory: 12GiB
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
  sample: [realise the builder VM]
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
  sample: realise the builder VM
"""
