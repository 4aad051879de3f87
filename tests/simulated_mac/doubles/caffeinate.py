# SPDX-License-Identifier: GPL-3.0-or-later
"""caffeinate: `-i -w PID` keeps the Mac from falling asleep by itself, and ends with that process (caffeinate(8))."""

from __future__ import annotations

import os
import time

from . import shared


def main(arguments: list[str]) -> int:
    if len(arguments) != 3 or arguments[:2] != ["-i", "-w"] or not arguments[2].isdigit():
        raise shared.Unmodelled("option")
    while True:
        try:
            os.kill(int(arguments[2]), 0)
        except ProcessLookupError:
            return 0
        except PermissionError:
            pass  # another's process is one as well
        time.sleep(0.2)
