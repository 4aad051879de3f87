# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation of the action of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: launchd_daemon
short_description: Has a daemon in launchd on a Mac
version_added: 0.1.0
description:
  - Has a daemon in launchd's system domain, loaded as it is on disk.
  - It restarts only when its definition is another than the loaded one.
author:
  - builderfleet contributors (@builderfleet)
extends_documentation_fragment:
  - builderfleet.macos.mac
  - builderfleet.macos.mac.state
options:
  label:
    description:
      - >-
        Its label; the property list is /Library/LaunchDaemons/LABEL.plist.
    type: str
    required: true
  program_arguments:
    description:
      - >-
        The program and its arguments.
    type: list
    elements: str
    default: []
  environment:
    description:
      - >-
        Its environment variables.
    type: dict
    default: {}
  working_directory:
    description:
      - >-
        Where it runs.
    type: str
    default: ""
  log:
    description:
      - >-
        The file for its output and its errors.
    type: str
    default: ""
  run_at_load:
    description:
      - >-
        Start it when it is loaded.
    type: bool
    default: true
  keep_alive:
    description:
      - >-
        Start it again whenever it ends.
    type: bool
    default: true
  exit_timeout:
    description:
      - >-
        Seconds between SIGTERM and SIGKILL.
    type: int
    default: 20
  answers_on:
    description:
      - >-
        A TCP port of 127.0.0.1 on which it sends something when it is up, as sshd does. That is waited for.
    type: int
  start_limit:
    description:
      - >-
        Seconds to wait until it answers there.
    type: int
    default: 180
"""

EXAMPLES = r"""
- name: Metrics
  builderfleet.macos.launchd_daemon:
    label: org.example.metrics
    program_arguments: [/usr/local/bin/metrics, --listen, "127.0.0.1:9100"]
    log: /var/log/metrics.log
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
  sample: [load launchd daemon org.example.metrics]
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
  sample: load launchd daemon org.example.metrics
"""
