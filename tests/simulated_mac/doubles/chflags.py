# SPDX-License-Identifier: GPL-3.0-or-later
"""chflags: takes the flags and keeps them nowhere, as nothing here reads them (`simulated_mac §2`)."""

from __future__ import annotations

import sys
from pathlib import Path

from . import shared

_FLAGS = {"hidden", "nohidden", "uchg", "nouchg", "schg", "noschg"}


def main(arguments: list[str]) -> int:
    words = [word for word in arguments if word not in ("-h", "-R")]
    if len(words) < 2 or words[0] not in _FLAGS:
        raise shared.Unmodelled("flags")
    status = 0
    for path in words[1:]:
        if not Path(path).exists():
            print(f"chflags: {path}: No such file or directory", file=sys.stderr)
            status = 1
    return status
