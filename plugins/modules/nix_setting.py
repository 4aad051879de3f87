# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation of the action of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nix_setting
short_description: Has a setting of Nix in effect on a Mac
version_added: 0.1.0
description:
  - Has a setting in C(nix.conf) or, where that includes it, C(nix.custom.conf). Nix itself tries the new file first.
  - The daemon restarts only when the value in effect changes.
author:
  - builderfleet contributors (@builderfleet)
extends_documentation_fragment:
  - builderfleet.macos.mac
  - builderfleet.macos.mac.state
options:
  setting:
    description:
      - >-
        The setting's name, such as C(keep-outputs). (C(name) is the task's own.)
    type: str
    required: true
  value:
    description:
      - >-
        Its value, words joined by one space.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Keep outputs
  builderfleet.macos.nix_setting:
    setting: keep-outputs
    value: "true"
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
  sample: [set keep-outputs in /etc/nix/nix.custom.conf]
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
  sample: set keep-outputs in /etc/nix/nix.custom.conf
"""
