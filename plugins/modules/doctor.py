# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation of the action of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: doctor
short_description: Says what is wrong with a Mac's Linux builder
version_added: 0.1.0
description:
  - Checks Nix, its daemon, the VM's job, its port, the host key, the client's key, ssh, the guest's disk, its clock, its DNS,
    the binary cache, the registration with Nix, who else may write what root trusts, and the ledger, and says cause and
    remedy in words. Then it makes a real Linux build through the builder, unless something stands in the way that was
    found already.
  - Nothing is put right. The host's variables say what a healthy builder is, as they do for
    M(builderfleet.macos.linux_builder).
  - The task fails with the outcome C(needs a person) when anything is wrong. In check mode no build is made.
author:
  - builderfleet contributors (@builderfleet)
extends_documentation_fragment:
  - builderfleet.macos.mac
"""

EXAMPLES = r"""
- name: What is wrong with this Mac's builder
  builderfleet.macos.doctor:
  become: true
"""

RETURN = r"""
findings:
  description: What each check found, in the order of the checks.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: What was checked.
      type: str
      returned: always
    state:
      description: How it stands with it.
      type: str
      returned: always
      choices: [fine, broken, unknown, not reached]
    cause:
      description: What was seen.
      type: str
      returned: always
    remedy:
      description: What to do about it.
      type: str
      returned: always
  sample:
    - check: port
      state: broken
      cause: nothing listens on port 31422
      remedy: "Run the rollout: it will load launchd daemon org.builderfleet.linux-builder"
outcome:
  description: How it ended on this Mac.
  returned: always
  type: str
  choices: [converged, failed, needs a person, locked]
  sample: needs a person
changes:
  description: The build that was made or, in check mode, would be, a line each; nothing is put right.
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
  sample: prove it with a Linux build for aarch64-linux
"""
