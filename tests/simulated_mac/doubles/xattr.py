# SPDX-License-Identifier: GPL-3.0-or-later
"""xattr: extended attributes, which are real ones here, of the kind that users may set."""

from __future__ import annotations

import os
import sys

from . import shared

PREFIX = "user."  # Linux's names have a kind before them


def main(arguments: list[str]) -> int:
    flags = {letter for word in arguments if word.startswith("-") for letter in word[1:]}
    words = [word for word in arguments if not word.startswith("-")]
    verb = next((letter for letter in "wpdc" if letter in flags), "")
    named = {"w": 2, "p": 1, "d": 1, "c": 0, "": 0}[verb]
    if not flags <= set("wpdcx") or ("w" in flags and "x" not in flags) or len(words) <= named:
        raise shared.Unmodelled("option")
    return max(_one(verb, path, words[:named], "x" in flags) for path in words[named:])


def _one(verb: str, path: str, words: list[str], hexadecimal: bool) -> int:
    if not os.path.exists(path):
        print(f"xattr: [Errno 2] No such file or directory: '{path}'", file=sys.stderr)
        return 1
    has = attributes(path)
    if verb == "w":
        os.setxattr(path, PREFIX + words[0], bytes.fromhex(words[1]))
    elif verb == "c":
        for name in has:
            os.removexattr(path, PREFIX + name)
    elif verb == "":
        print("".join(f"{name}\n" for name in has), end="")
    elif words[0] not in has:
        print(f"xattr: {path}: No such xattr: {words[0]}", file=sys.stderr)
        return 1
    elif verb == "d":
        os.removexattr(path, PREFIX + words[0])
    else:
        value = has[words[0]]
        print(_lines(value) if hexadecimal else value.decode("utf-8", "replace"))
    return 0


def attributes(path: str) -> dict[str, bytes]:
    """The attributes of a file by their names on a Mac."""
    names = [name for name in os.listxattr(path) if name.startswith(PREFIX)]
    return {name.removeprefix(PREFIX): os.getxattr(path, name) for name in names}


def _lines(value: bytes) -> str:
    """Sixteen bytes a line, as `-x` writes them."""
    rows = (value[start : start + 16] for start in range(0, len(value), 16))
    return "\n".join(row.hex(" ").upper() for row in rows)
