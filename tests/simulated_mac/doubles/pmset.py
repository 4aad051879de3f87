# SPDX-License-Identifier: GPL-3.0-or-later
"""pmset: where the power comes from (`macos_commands §1`)."""

from __future__ import annotations

from . import shared


def main(arguments: list[str]) -> int:
    if arguments != ["-g", "batt"]:
        raise shared.Unmodelled("verb")
    print("Now drawing from 'AC Power'")
    if shared.world()["identity"]["battery"]:
        print(" -InternalBattery-0 (id=22806627)\t83%; charging; 1:00 remaining present: true")
    return 0
