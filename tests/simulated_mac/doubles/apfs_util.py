# SPDX-License-Identifier: GPL-3.0-or-later
"""apfs.util: the empty directories of synthetic.conf, and a volume's UUID (`macos_commands §4.1`)."""

from __future__ import annotations

import subprocess
from pathlib import Path

from . import shared, volumes


def main(arguments: list[str]) -> int:
    match arguments:
        case ["-t"] | ["-B"]:
            if not shared.fault("synthetic-needs-reboot"):
                _synthesise()
            return 253  # its status means nothing: look at the effect
        case ["-k", device]:
            volume = volumes.find(volumes.every(shared.world()), device)
            if volume is None:
                return 252
            print(volume["uuid"])
            return 253  # which is its success
    raise shared.Unmodelled("option")


def _synthesise() -> None:
    """The root is read-only for everybody but the kernel, whose part this plays."""
    configuration = Path("/etc/synthetic.conf")
    lines = configuration.read_text().splitlines() if configuration.exists() else []
    names = [line.split("#")[0].split("\t")[0].strip() for line in lines]
    wanted = [name for name in names if name and not Path("/", name).exists()]
    if not wanted:
        return
    mount = shared.debian("mount")
    subprocess.run([mount, "-o", "remount,bind,rw", "/"], check=True)
    try:
        for name in wanted:
            Path("/", name).mkdir(mode=0o755)
    finally:
        subprocess.run([mount, "-o", "remount,bind,ro", "/"], check=True)
