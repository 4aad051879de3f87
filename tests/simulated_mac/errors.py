# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong while the guest, or another release's Nix, is made, and how helper programs are run so that one learns why."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

# Where Debian keeps its programs; an ordinary user's PATH lacks the last two.
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


class GuestError(RuntimeError):
    """What simulated Macs are made of cannot be made here. The message says what to do."""


def run(command: Sequence[str | Path], *, cwd: Path | None = None, remedy: str) -> str:
    """The command's output; GuestError with its own words and the remedy when it fails or is not there."""
    words = [str(word) for word in command]
    environment = {**os.environ, "PATH": _PATH, "LC_ALL": "C"}
    try:
        done = subprocess.run(words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError:
        raise GuestError(f"wanted to run {words[0]}, which is not installed here: {remedy}") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip() or "it said nothing"
        raise GuestError(f"`{' '.join(words)}` ended with status {done.returncode}: {said}\n{remedy}")
    return done.stdout
