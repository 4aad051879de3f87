# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the documentation of every action says."""

from __future__ import annotations


class ModuleDocFragment:
    """What holds for all of them."""

    DOCUMENTATION = r"""
options: {}
requirements:
  - macOS 14 or later on the Mac, and nothing else there, no Python either
  - root on the Mac (C(become=true))
notes:
  - This is an action, so it always runs on the controller; its scripts go to the Mac's own shell over the connection.
  - A Mac that is as desired costs one command over the connection, and nothing is written on it.
  - The keyword C(environment) has no effect, and a warning says so.
  - Over C(ssh) a Mac that falls asleep is noticed after a minute, unless your C(ssh_args) set C(ServerAliveInterval) otherwise.
  - A task that ends with another outcome than C(converged), C(changed) or C(would change) counts as failed.
attributes:
  action:
    description: Runs on the controller.
    support: full
  async:
    description: Supports being used with the C(async) keyword.
    support: none
  check_mode:
    description: Asks the Mac, says what would change, and writes nothing.
    support: full
  diff_mode:
    description: Shows what changes, before and after.
    support: full
  platform:
    description: Target systems.
    platforms: macOS
    support: full
"""

    STATE = r"""
options:
  state:
    description:
      - C(absent) removes it, and puts back what was there before.
    type: str
    choices: [present, absent]
    default: present
"""
