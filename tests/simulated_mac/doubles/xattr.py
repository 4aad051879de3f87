# SPDX-License-Identifier: GPL-3.0-or-later
"""xattr: files here have no extended attributes."""

from __future__ import annotations

import sys
from pathlib import Path

from . import shared


def main(arguments: list[str]) -> int:
    flags = [word for word in arguments if word.startswith("-")]
    words = [word for word in arguments if not word.startswith("-")]
    if not set("".join(flags)) <= set("-drcpl") or not words:
        raise shared.Unmodelled("option")
    named = any(letter in "".join(flags) for letter in "dp")
    status = 0
    for path in words[1:] if named else words:
        if not Path(path).exists():
            print(f"xattr: [Errno 2] No such file or directory: '{path}'", file=sys.stderr)
            status = 1
        elif named:
            print(f"xattr: {path}: No such xattr: {words[0]}", file=sys.stderr)
            status = 1
    return status
