# SPDX-License-Identifier: GPL-3.0-or-later
"""python3: the stub of a new Mac, which opens a dialog on the user's screen (`macos_commands §1`).

Nothing may ever call it, so that it is called stands in the log of unmodelled calls, on which tests fail.
"""

from __future__ import annotations

from . import shared


def main(arguments: list[str]) -> int:
    shared.log("unmodelled.jsonl", {"argv": ["python3", *arguments], "uid": -1, "why": "dialog shown"})
    shared.fail(
        1,
        "xcode-select: note: No developer tools were found, requesting install.\n"
        "If developer tools are located at a non-default location on disk, use `sudo xcode-select --switch "
        "path/to/Xcode.app` to specify the Xcode that you wish to use for command line developer tools, and cancel "
        "the installation dialog.\nSee `man xcode-select` for more details.",
    )
