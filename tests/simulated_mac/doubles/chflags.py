# SPDX-License-Identifier: GPL-3.0-or-later
"""chflags: `uchg` is what Linux calls immutable; the hidden flag is kept nowhere, as nothing reads it (`simulated_mac §2`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from . import shared

_FLAGS = {"hidden": "", "nohidden": "", "uchg": "+i", "nouchg": "-i"}


def main(arguments: list[str]) -> int:
    words = [word for word in arguments if word not in ("-h", "-R")]
    if len(words) < 2 or words[0] not in _FLAGS:
        raise shared.Unmodelled("flags")
    status = 0
    for path in words[1:]:
        if not Path(path).exists():
            print(f"chflags: {path}: No such file or directory", file=sys.stderr)
            status = 1
        elif _FLAGS[words[0]]:
            done = subprocess.run(
                [shared.debian("chattr"), _FLAGS[words[0]], "--", path], capture_output=True, check=False
            )
            if done.returncode != 0:
                raise shared.Unmodelled("immutable files on this disk")
    return status
