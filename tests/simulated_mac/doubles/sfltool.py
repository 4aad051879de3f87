# SPDX-License-Identifier: GPL-3.0-or-later
"""sfltool dumpbtm: the login items, and which of them the user has switched off (`macos_commands §8`)."""

from __future__ import annotations

import plistlib
from pathlib import Path

from . import shared

_BLOCK = """ #{number}:
                 UUID: 00000000-0000-4000-8000-{number:012d}
                 Name: {name}
       Developer Name: (null)
                 Type: legacy daemon (0x10010)
                Flags: [ legacy ] (0x1)
          Disposition: [enabled, {allowed}, notified] ({bits})
           Identifier: 16.{label}
                  URL: file://{path}
      Executable Path: {program}
    Parent Identifier: Unknown Developer
"""


def main(arguments: list[str]) -> int:
    if arguments == ["dumpbtm"]:
        shared.root_only(1, "sfltool: authentication is required")
        print(_dump(), end="")
        return 0
    raise shared.Unmodelled("verb")  # resetbtm wipes every login item: never run it


def _dump() -> str:
    switched = shared.world()["login_items"]
    blocks = [
        "========================\n Records for UID 0 : FFFFEEEE-DDDD-CCCC-BBBB-AAAA00000000\n========================\n"
    ]
    for number, path in enumerate(sorted(Path("/Library/LaunchDaemons").glob("*.plist")), start=1):
        definition = plistlib.loads(path.read_bytes())
        allowed = switched.get(definition["Label"], True)
        program = definition.get("Program") or definition["ProgramArguments"][0]
        blocks.append(
            _BLOCK.format(
                number=number, name=Path(program).name, label=definition["Label"], path=path, program=program,
                allowed="allowed" if allowed else "disallowed", bits="0xb" if allowed else "0x9",
            )
        )  # fmt: skip
    return "\n".join(blocks)
