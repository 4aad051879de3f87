# SPDX-License-Identifier: GPL-3.0-or-later
"""tmutil: what Time Machine leaves out (`macos_commands §1`, `simulated_mac §1` row 7)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from . import shared
from .xattr import attributes

STICKY = "com.apple.metadata:com_apple_backup_excludeItem"


def main(arguments: list[str]) -> int:
    verb, paths = (arguments[0], arguments[1:]) if arguments else ("", [])
    if verb not in ("isexcluded", "addexclusion", "removeexclusion") or not paths or paths[0].startswith("-"):
        raise shared.Unmodelled("verb")
    if verb == "isexcluded":
        for path in paths:
            print(f"{'[Excluded]' if _is_excluded(path) else '[Included]'}    {path}")
        return 0
    if not shared.full_disk_access():
        shared.log("calls.jsonl", {"argv": ["tmutil", *arguments], "uid": os.getuid(), "status": -9})
        os.kill(os.getpid(), signal.SIGKILL)
    with shared.changing() as world:
        excluded = set(world["time_machine_exclusions"])
        changed = excluded | set(paths) if verb == "addexclusion" else excluded - set(paths)
        world["time_machine_exclusions"] = sorted(changed)
    return 0


def _is_excluded(path: str) -> bool:
    """By a path of the list, or by the attribute that goes with the file, of it or of a directory above."""
    if path in shared.world()["time_machine_exclusions"]:
        return True
    return any(STICKY in attributes(str(each)) for each in (Path(path), *Path(path).parents) if each.exists())
