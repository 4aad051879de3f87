# SPDX-License-Identifier: GPL-3.0-or-later
"""softwareupdate: Rosetta (`macos_commands §1`)."""

from __future__ import annotations

from . import shared


def main(arguments: list[str]) -> int:
    if arguments != ["--install-rosetta", "--agree-to-license"]:
        raise shared.Unmodelled("verb")
    with shared.changing() as world:
        if world["identity"]["architecture"] != "arm64":
            shared.fail(1, "Installing Rosetta 2 on this system is not supported.")
        world["identity"]["rosetta_installed"] = True
    print(
        "By using the agreetolicense option, you are agreeing that you have run this tool with the license only option"
    )
    print("and have read and agreed to the terms.\nInstall of Rosetta 2 finished successfully")
    return 0
