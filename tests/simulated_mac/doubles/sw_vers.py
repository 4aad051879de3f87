# SPDX-License-Identifier: GPL-3.0-or-later
"""sw_vers: which macOS this is (`macos_commands §1`)."""

from __future__ import annotations

from . import shared


def main(arguments: list[str]) -> int:
    identity = shared.world()["identity"]
    values = {"ProductName": "macOS", "ProductVersion": identity["version"], "BuildVersion": identity["build"]}
    if not arguments:
        print("".join(f"{name}:\t\t{value}\n" for name, value in values.items()), end="")
        return 0
    by_option = {name[0].lower() + name[1:]: value for name, value in values.items()}
    option = arguments[0].lstrip("-")
    if len(arguments) != 1 or option not in by_option:
        raise shared.Unmodelled("option")
    print(by_option[option])
    return 0
