# SPDX-License-Identifier: GPL-3.0-or-later
"""arch: the processor's name, or a program run as for another one (`macos_commands §1`)."""

from __future__ import annotations

import os
import sys

from . import shared


def main(arguments: list[str]) -> int:
    identity = shared.world()["identity"]
    if not arguments:
        print("i386" if identity["rosetta"] or identity["architecture"] == "x86_64" else identity["architecture"])
        return 0
    wanted, command = arguments[0].removeprefix("-"), arguments[1:]
    if wanted not in ("arm64", "x86_64") or not command:
        raise shared.Unmodelled("option")
    if wanted == identity["architecture"] or identity["rosetta_installed"]:
        os.execvp(command[0], command)
    print(f"arch: posix_spawnp: {command[0]}: Bad CPU type in executable", file=sys.stderr)
    return 1
