# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that were replaced hold after a power cut: they were flushed before they were renamed.

A copy of the backing file of a mounted file system is what the disk held at that moment. `noauto_da_alloc` takes away
ext4's special care for files that are replaced (facts/simulation_recipes §3).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from builderfleet.plugin_utils.files import replaced
from builderfleet.plugin_utils.questions.file import Found, Kind
from builderfleet.plugin_utils.shell import LIBRARY

OLD, NEW = b"old content\n", b"new content, which is longer than the old\n"


class Disk:
    """A small ext4 file system, and what it would be after a power cut right now."""

    def __init__(self, directory: Path) -> None:
        self.image, self.mounted, self.directory = directory / "disk.img", directory / "mounted", directory
        self.mounted.mkdir()
        with self.image.open("wb") as file:
            file.truncate(32 * 2**20)
        run("mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0", str(self.image))
        run("mount", "-o", "loop,noauto_da_alloc,commit=300", str(self.image), str(self.mounted))

    def after_a_power_cut(self, name: str) -> bytes:
        cut, there = self.directory / "cut.img", self.directory / "there"
        shutil.copyfile(self.image, cut)
        there.mkdir()
        run("mount", "-o", "loop", str(cut), str(there))
        try:
            return (there / name).read_bytes()
        finally:
            run("umount", str(there))


def run(*command: str) -> None:
    subprocess.run(command, check=True, env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        pytest.skip("needs root and loop devices, to mount a file system of its own")
    disk = Disk(tmp_path)
    file = disk.mounted / "nix.conf"
    file.write_bytes(OLD)
    run("sync")
    yield disk
    run("umount", str(disk.mounted))


def test_a_replaced_file_is_whole_after_a_power_cut(disk: Disk) -> None:
    script = replaced(f"{disk.mounted}/nix.conf", Found(Kind.FILE, 0o644, 0, 0, OLD), NEW, mode=0o644)
    run("sh", "-c", f"set -eu\n{LIBRARY}\n{script}")
    assert disk.after_a_power_cut("nix.conf") == NEW


def test_without_the_flush_it_would_not_be(disk: Disk) -> None:
    """The test can fail: a rename alone leaves what was never written."""
    (disk.mounted / "new").write_bytes(NEW)
    (disk.mounted / "new").rename(disk.mounted / "nix.conf")
    assert disk.after_a_power_cut("nix.conf") != NEW
