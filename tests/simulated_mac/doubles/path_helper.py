# SPDX-License-Identifier: GPL-3.0-or-later
"""path_helper -s: the PATH that login shells begin with, from /etc/paths and /etc/paths.d."""

from __future__ import annotations

import os
from pathlib import Path

from . import shared


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["-s"]):
        raise shared.Unmodelled("option")
    files = [Path("/etc/paths"), *sorted(Path("/etc/paths.d").glob("*"))]
    listed = [line for file in files for line in file.read_text().split("\n") if line]
    path = list(dict.fromkeys([*listed, *os.environ.get("PATH", "").split(":")]))
    print(f'PATH="{":".join(filter(None, path))}"; export PATH;')
    return 0
