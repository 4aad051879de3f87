# SPDX-License-Identifier: GPL-3.0-or-later
"""uname: Darwin, whatever the kernel below says (`macos_commands §1`)."""

from __future__ import annotations

import os

from . import shared


def main(arguments: list[str]) -> int:
    identity = shared.world()["identity"]
    machine = "x86_64" if identity["rosetta"] else identity["architecture"]
    release = identity["darwin"]
    values = {
        "s": "Darwin",
        "n": os.uname().nodename,
        "r": release,
        "v": f"Darwin Kernel Version {release}: simulated; RELEASE_{identity['architecture'].upper()}",
        "m": machine,
        "p": "arm" if machine == "arm64" else "i386",
    }
    letters = "".join(argument.removeprefix("-") for argument in arguments) or "s"
    letters = letters.replace("a", "snrvm")
    if any(not argument.startswith("-") for argument in arguments) or not set(letters) <= set(values):
        raise shared.Unmodelled("option")
    print(" ".join(value for letter, value in values.items() if letter in letters))
    return 0
