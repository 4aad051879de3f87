# SPDX-License-Identifier: GPL-3.0-or-later
"""xcode-select: a new Mac has no developer tools (`macos_commands §1`)."""

from __future__ import annotations

from . import shared


def main(arguments: list[str]) -> int:
    if arguments not in (["-p"], ["--print-path"]):
        raise shared.Unmodelled("option")
    shared.fail(
        2,
        "xcode-select: error: unable to get active developer directory, use "
        "`sudo xcode-select --switch path/to/Xcode.app` to set one (or see `man xcode-select`)",
    )
