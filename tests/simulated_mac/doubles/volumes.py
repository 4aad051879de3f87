# SPDX-License-Identifier: GPL-3.0-or-later
"""APFS volumes: one container, and the volumes that were added to it (`simulated_mac §1` row 3).

A volume's files are in a directory of the world's; mounting binds it. So data stay over unmounting and over a reboot.
"""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import shared

CONTAINER = "disk3"
FIRST_FREE_SLICE = 7  # s1 to s6 are the system's own
CONTENT = "41504653-0000-11AA-AA11-00306543ECAC"
SIZE, FREE = 494_384_795_648, 300_000_000_000

Volume = dict[str, Any]

# The system's own, as far as anybody asks: the root volume and the data volume.
SYSTEM = (
    {"name": "Macintosh HD", "device": "disk3s1s1", "uuid": "11111111-0000-4000-8000-000000000001", "mount_point": "/"},
    {
        "name": "Data",
        "device": "disk3s5",
        "uuid": "11111111-0000-4000-8000-000000000005",
        "mount_point": "/System/Volumes/Data",
    },
)


def backing(volume: Volume) -> Path:
    return Path(shared.WORLD, "volumes") / str(volume["uuid"])


def every(world: dict[str, Any]) -> list[Volume]:
    """The system's and the added ones, each with all its fields."""
    system = [{"encrypted": False, "ownership": True, "system": True, **volume} for volume in SYSTEM]
    return [*system, *world["volumes"].values()]


def find(volumes: Iterable[Volume], name: str) -> Volume | None:
    """By name, device, UUID in any case, or mount point. Names may repeat: the first counts."""
    for volume in volumes:
        if name in (volume["name"], volume["device"], f"/dev/{volume['device']}", volume["mount_point"] or None):
            return volume
        if name.upper() == volume["uuid"]:
            return volume
    return None


def add(world: dict[str, Any], name: str) -> Volume:
    """A new volume, not mounted; a second one of the same name if there is one already."""
    taken = {volume["device"] for volume in world["volumes"].values()}
    numbers = range(FIRST_FREE_SLICE, 100)
    device = next(f"{CONTAINER}s{number}" for number in numbers if f"{CONTAINER}s{number}" not in taken)
    identifier = str(uuid.uuid4()).upper()
    volume: Volume = {
        "name": name, "device": device, "uuid": identifier, "mount_point": "", "belongs_at": "", "encrypted": False,
        "ownership": False,
    }  # fmt: skip
    world["volumes"][identifier] = volume
    backing(volume).mkdir()
    return volume


def mount(volume: Volume, mount_point: str) -> bool:
    """Bind the volume's files at the mount point; False when that is no directory."""
    if not Path(mount_point).is_dir():
        return False
    done = subprocess.run(
        [shared.debian("mount"), "--bind", backing(volume), mount_point], capture_output=True, check=False
    )
    if done.returncode == 0:
        volume["mount_point"] = volume["belongs_at"] = mount_point
    return done.returncode == 0


def unmount(volume: Volume, *, force: bool) -> bool:
    """False when somebody uses it."""
    lazy = ["-l"] if force else []
    done = subprocess.run([shared.debian("umount"), *lazy, volume["mount_point"]], capture_output=True, check=False)
    if done.returncode == 0:
        volume["mount_point"] = ""
    return done.returncode == 0
