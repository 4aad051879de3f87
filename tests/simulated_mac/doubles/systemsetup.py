# SPDX-License-Identifier: GPL-3.0-or-later
"""systemsetup: network time; says no to an ordinary user and ends with 0 (`macos_commands §1`)."""

from __future__ import annotations

import os

from . import shared


def main(arguments: list[str]) -> int:
    if os.geteuid() != 0:
        print("You need administrator access to run this tool... exiting!")
        return 0
    if arguments != ["-getusingnetworktime"]:
        raise shared.Unmodelled("verb")
    print("Network Time: On")
    return 0
