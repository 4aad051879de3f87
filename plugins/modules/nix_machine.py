# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation of the action of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nix_machine
short_description: Has a builder registered with Nix on a Mac
version_added: 0.1.0
description:
  - Has one line in C(/etc/nix/machines), in words that every Nix and Lix reads. Other lines stay as they are.
author:
  - builderfleet contributors (@builderfleet)
extends_documentation_fragment:
  - builderfleet.macos.mac
  - builderfleet.macos.mac.state
options:
  uri:
    description:
      - >-
        Its store URI.
    type: str
    required: true
  systems:
    description:
      - >-
        What it builds for; none means the Linux that the Mac's own processor runs.
    type: list
    elements: str
    default: []
  ssh_key:
    description:
      - >-
        Path of the client's private key on the Mac.
    type: str
    default: ""
  max_jobs:
    description:
      - >-
        How many builds at once.
    type: int
    default: 1
  speed_factor:
    description:
      - >-
        Its weight among several.
    type: int
    default: 1
  supported_features:
    description:
      - >-
        The system features it has.
    type: list
    elements: str
    default: []
  mandatory_features:
    description:
      - >-
        Those that a build must require to be sent there.
    type: list
    elements: str
    default: []
  host_key:
    description:
      - >-
        The line of its public host key.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Build server
  builderfleet.macos.nix_machine:
    uri: ssh-ng://builder@big-builder
    systems: [x86_64-linux]
    ssh_key: /etc/nix/builder_key
    max_jobs: 16
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
  sample: [register ssh-ng://builder@big-builder in /etc/nix/machines]
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
  sample: register ssh-ng://builder@big-builder in /etc/nix/machines
"""
