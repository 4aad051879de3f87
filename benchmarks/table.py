# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks print: the machine they ran on, tables, and progress."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from statistics import median

__all__ = ["machine", "median", "say", "table"]


def say(line: str) -> None:
    """Progress, which is no part of the result."""
    print(f"==> {line}", file=sys.stderr, flush=True)


def machine() -> str:
    """What a number has to be read with."""
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} processors, load {load:.1f}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, pyinfra {version('pyinfra')}, paramiko {version('paramiko')}"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns that line up: the first to the left, the others to the right."""
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
