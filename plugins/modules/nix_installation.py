# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation of the action of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nix_installation
short_description: Has Nix on a Mac
version_added: 0.1.0
description:
  - Installs Nix with the NixOS nix-installer where there is none, and adopts the one that is there, of whatever flavour.
  - The installer is pinned by a hash that is checked on the Mac before anything of it runs.
  - C(state=absent) uninstalls Nix and DELETES ITS STORE.
author:
  - builderfleet contributors (@builderfleet)
extends_documentation_fragment:
  - builderfleet.macos.mac
  - builderfleet.macos.mac.state
options:
  version:
    description:
      - >-
        The installer's release, which carries the Nix of the same number; none means the one that is pinned here.
    type: str
    default: 2.35.2
  source:
    description:
      - >-
        Where the Mac gets the installer: a URL, or the path of a file that is on it; C({version}) stands for version.
    type: str
    default: https://github.com/NixOS/nix-installer/releases/download/{version}/nix-installer-aarch64-darwin
  sha256:
    description:
      - >-
        The SHA-256 of the installer, checked on the Mac before any of it runs.
    type: str
    default: 6314b195321b3acc6826b1c5d66bb9cf9306c8231c6dbb745f51a04c3bcee235
  extra_conf:
    description:
      - >-
        Lines for nix.conf, for a Nix that is installed now.
    type: list
    elements: str
    default: []
  proxy:
    description:
      - >-
        The HTTP proxy, as a URL, where that is the Mac's only way out: given to the download and the installer.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Nix, from a mirror
  builderfleet.macos.nix_installation:
    version: 2.35.2
    source: https://mirror.example/nix-installer-aarch64-darwin-{version}
    sha256: 6314b195321b3acc6826b1c5d66bb9cf9306c8231c6dbb745f51a04c3bcee235
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
  sample: [install Nix with nix-installer 2.35.2]
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
  sample: install Nix with nix-installer 2.35.2
"""
