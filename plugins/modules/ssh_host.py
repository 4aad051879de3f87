# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation of the action of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ssh_host
short_description: Has a host for everybody's ssh on a Mac
version_added: 0.1.0
description:
  - Has a C(Host) block in a file of its own in C(/etc/ssh/ssh_config.d), and has ssh read it.
  - What root's ssh has in effect counts. Where another file that ssh reads first overrides an option, that needs a person, and
    the file and the line are named.
author:
  - builderfleet contributors (@builderfleet)
extends_documentation_fragment:
  - builderfleet.macos.mac
  - builderfleet.macos.mac.state
options:
  alias:
    description:
      - >-
        The host's name in ssh.
    type: str
    required: true
  file:
    description:
      - >-
        The file's name in /etc/ssh/ssh_config.d.
    type: str
    required: true
  options:
    description:
      - >-
        Ssh's keywords and their values, in order.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Build server
  builderfleet.macos.ssh_host:
    alias: big-builder
    file: 160-big-builder.conf
    options:
      HostName: 192.0.2.7
      User: builder
      IdentityFile: /etc/nix/builder_key
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
  sample: [write ssh host big-builder]
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
  sample: write ssh host big-builder
"""
