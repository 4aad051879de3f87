# SPDX-License-Identifier: GPL-3.0-or-later
"""df: the space of the volumes that paths are on, as a Mac says it (`macos_commands §1`)."""

from __future__ import annotations

import os
import sys

from . import shared, volumes


def main(arguments: list[str]) -> int:
    letters = "".join(word.removeprefix("-") for word in arguments if word.startswith("-"))
    if not set(letters) <= set("kP"):
        raise shared.Unmodelled("option")
    unit = 1024 if "k" in letters else 512
    title = f"{unit}-blocks" if "P" in letters or unit == 512 else "1024-blocks"
    paths = [word for word in arguments if not word.startswith("-")]
    status = 0
    print(f"Filesystem     {title:>11}      Used Available Capacity Mounted on")
    for path in paths or [volume["mount_point"] for volume in volumes.every(shared.world()) if volume["mount_point"]]:
        try:
            space = os.statvfs("/private" if path == "/" else path)  # here / is a file system of no size
        except OSError as error:
            print(f"df: {path}: {error.strerror}", file=sys.stderr)
            status = 1
            continue
        volume = _volume_of(path)
        total, free = space.f_blocks * space.f_frsize // unit, space.f_bavail * space.f_frsize // unit
        used = total - space.f_bfree * space.f_frsize // unit
        share = round(100 * used / max(1, used + free))
        print(f"/dev/{volume['device']:<9} {total:>11} {used:>9} {free:>9} {share:>7}% {volume['mount_point']}")
    return status


def _volume_of(path: str) -> volumes.Volume:
    real = os.path.realpath(path)
    mounted = [volume for volume in volumes.every(shared.world()) if volume["mount_point"]]
    holding = [volume for volume in mounted if f"{real}/".startswith(f"{volume['mount_point'].rstrip('/')}/")]
    deepest = max(holding, key=lambda volume: len(volume["mount_point"]))
    return deepest if deepest["mount_point"] != "/" else mounted[1]
