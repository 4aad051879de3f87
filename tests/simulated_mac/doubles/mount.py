# SPDX-License-Identifier: GPL-3.0-or-later
"""mount: what is mounted where, as a Mac says it (`macos_commands §4.1`). It mounts nothing."""

from __future__ import annotations

from . import shared


def main(arguments: list[str]) -> int:
    if arguments:
        raise shared.Unmodelled("mounting")
    print("/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)")
    print("devfs on /dev (devfs, local, nobrowse)")
    print("/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse, protect, root data)")
    for volume in shared.world()["volumes"].values():
        if volume["mount_point"]:
            print(f"/dev/{volume['device']} on {volume['mount_point']} (apfs, local, journaled, noatime, nobrowse)")
    return 0
