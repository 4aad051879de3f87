# SPDX-License-Identifier: GPL-3.0-or-later
"""fdesetup: whether FileVault is on (`macos_commands §1`)."""

from __future__ import annotations

from . import shared


def main(arguments: list[str]) -> int:
    on = bool(shared.world()["identity"]["filevault"])
    if arguments == ["isactive"]:
        print("true" if on else "false")
        return 0 if on else 1
    if arguments == ["status"]:
        print(f"FileVault is {'On' if on else 'Off'}.")
        return 0
    raise shared.Unmodelled("verb")
