# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation of the action of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: linux_build
short_description: Proves a Linux builder with a real build
version_added: 0.1.0
description:
  - Builds a tiny Linux derivation through the Nix daemon of a Mac, as an ordinary user would.
  - It changes nothing that anybody wanted, so the task is never C(changed).
author:
  - builderfleet contributors (@builderfleet)
extends_documentation_fragment:
  - builderfleet.macos.mac
options:
  systems:
    description:
      - >-
        The systems to build for, such as C(aarch64-linux). Without any: the Linux that the Mac's own processor runs.
    type: list
    elements: str
    default: []
  uri:
    description:
      - >-
        The store URI of the builder in which it has to be built. Without one any will do that Nix takes.
    type: str
    default: ""
  stamp:
    description:
      - >-
        A word; the build is done unless the last one had the same. Without one it is done when nothing has proved the
        builder since builderfleet's last change.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: The builder builds
  builderfleet.macos.linux_build:
    systems: [aarch64-linux]
    uri: ssh-ng://builder@builderfleet
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
  sample: [prove it with a Linux build for aarch64-linux]
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
  sample: "prove it with a Linux build for aarch64-linux: built on Linux 6.12.9 in builderfleet"
"""
