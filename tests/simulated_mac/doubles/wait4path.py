# SPDX-License-Identifier: GPL-3.0-or-later
"""wait4path: returns when a path exists."""

from __future__ import annotations

import time
from pathlib import Path

from . import shared


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        shared.fail(64, "usage: wait4path <object on mount point>")
    while not Path(arguments[0]).exists():  # endless, as the real one is
        time.sleep(0.05)
    return 0
