# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation of the action of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ssh_keypair
short_description: Has an SSH key pair on a Mac
version_added: 0.1.0
description:
  - Has an ed25519 key pair that is made on the Mac, is root's alone, and never leaves it.
  - A pair of another type that is there and can be used is kept. What somebody else made is neither replaced nor removed.
author:
  - builderfleet contributors (@builderfleet)
extends_documentation_fragment:
  - builderfleet.macos.mac
  - builderfleet.macos.mac.state
options:
  path:
    description:
      - >-
        Of the private half; the public one is beside it with C(.pub).
    type: str
    required: true
  comment:
    description:
      - >-
        The comment of the public half.
    type: str
    default: builderfleet
"""

EXAMPLES = r"""
- name: Key of the builder's client
  builderfleet.macos.ssh_keypair:
    path: /etc/nix/builder_key
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
  sample: [make SSH key pair /etc/nix/builder_key]
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
public_key:
  description: The type and the base64 of the public key that is on the Mac now, for the C(authorized_keys) of others; empty
    where there is none.
  returned: always
  type: str
  sample: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJBWcxb/Blaqt1auOtE+F8QUWrUotiC5qBJ+UuEWdVCb
fingerprint:
  description: Its fingerprint, as C(ssh-keygen -l) prints it; empty where there is no key.
  returned: always
  type: str
  sample: SHA256:uNiVztksCsDhcc0u9e8BrS5JMUbzkWnn0VsFsFgqnLY
remark:
  description: What a report says beside the outcome; why it failed, what was changed, what a person has to do.
  returned: always
  type: str
  sample: make SSH key pair /etc/nix/builder_key
"""
