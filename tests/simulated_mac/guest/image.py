# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest's images: built once for a recipe, kept in the user's cache, complete or not there at all.

A recipe is this folder's sources and the versions of the packages that the image is made of. `current` beside the images is
a link to the one that was asked for last without saying of which release.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .. import releases
from ..errors import GuestError, run
from ..releases import Release
from . import acceleration, archive, kernel, system

_HERE = Path(__file__).parent
_UNFINISHED = ".building-"
_KEPT_UNUSED = 30 * 24 * 3600  # seconds that an image of another recipe is kept, for whoever goes back and forth


def cache() -> Path:
    """The folder that keeps the images: under the user's cache directory, or under BUILDERFLEET_CACHE."""
    given = os.environ.get("BUILDERFLEET_CACHE")
    return (Path(given) if given else Path.home() / ".cache" / "builderfleet") / "guest"


def requirements() -> list[str]:
    """What is missing on this machine to build and to run the guest, each in a sentence; empty when nothing is."""
    needed = {**system.PACKAGES, "qemu-system-x86": "/usr/bin/qemu-system-x86_64", "qemu-utils": "/usr/bin/qemu-img"}
    missing = sorted(package for package, program in needed.items() if not Path(program).exists())
    said = []
    if platform.machine() != "x86_64":
        said.append(f"The builder VM's guest is made for x86_64 machines, this one is {platform.machine()}.")
    if missing:
        said.append(f"The builder VM's guest needs packages: apt-get install {' '.join(missing)}")
    return said


def ensure(report: Callable[[str], None] = print, release: Release | None = None) -> Path:
    """The folder with the guest's images (see this package), built first when it is not there yet.

    Of the newest release that can be had, unless one is given. `report` gets a line for each step that takes longer.
    GuestError says what is missing and how to get it.
    """
    missing = requirements()
    if missing:
        raise GuestError(" ".join(missing))
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    of = release or releases.release("", report)
    image = folder / recipe(of)
    with _alone(folder, report):
        if not image.is_dir():
            _build(image, of, report)
        _write(image / "acceleration", acceleration.decide(image, folder / "verdict", report) + "\n")
        if release is None:
            _point(folder / "current", image.name)
        os.utime(image)
        _forget_unused(folder)
    return image


def recipe(release: Release) -> str:
    """The name of the image that a release's packages and these sources make."""
    sum_ = hashlib.sha256()
    for path in sorted(_HERE.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            sum_.update(f"{path.relative_to(_HERE)}\0".encode() + path.read_bytes() + b"\0")
    sum_.update(release.name.encode())
    query = ["dpkg-query", "--showformat", "${Package} ${Version} ${Architecture}\n", "--show", "libc6"]
    sum_.update(run([*query, *system.PACKAGES], remedy="Install what is missing with apt-get.").encode())
    return sum_.hexdigest()[:16]


@contextlib.contextmanager
def _alone(folder: Path, report: Callable[[str], None]) -> Iterator[None]:
    """One builder at a time; what a killed one left is swept away."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another process that builds the guest")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left)
        yield


def _build(image: Path, release: Release, report: Callable[[str], None]) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=image.parent))
    try:
        result = scratch / "result"
        result.mkdir()
        unpacked = kernel.fetch(image.parent, scratch, report)
        report(f"unpacking Linux {unpacked.version}")
        (result / "kernel").write_bytes(unpacked.image())
        (result / "initrd").write_bytes(_initrd(unpacked))
        report(f"putting Nix {release.nix}, sshd and busybox into a system image")
        system.build(scratch / "tree", result / "system.img", release, image.parent / "ssh_host_ed25519_key")
        shutil.copy(scratch / "tree/etc/ssh/ssh_host_ed25519_key.pub", result)
        for path in result.iterdir():
            path.chmod(0o644)
            _flush(path)
        result.chmod(0o755)
        result.rename(image)
        report(f"the guest's images are in {image}")
    finally:
        shutil.rmtree(scratch)


def _initrd(unpacked: kernel.Kernel) -> bytes:
    entries = [archive.directory(path) for path in ["bin", "dev", "modules", "proc", "root", "sys"]]
    busybox = Path("/usr/bin/busybox").read_bytes()
    entries += [archive.file("bin/busybox", busybox, 0o755), archive.link("bin/sh", "busybox")]
    entries += [
        archive.link(f"bin/{name}", "busybox") for name in ["insmod", "mount", "poweroff", "sleep", "switch_root"]
    ]
    for number, (name, content) in enumerate(unpacked.modules()):
        entries.append(archive.file(f"modules/{number:02}-{name}.ko", content))
    entries.append(archive.file("init", (_HERE / "initrd_init").read_bytes(), 0o755))
    return archive.archive(entries)


def _forget_unused(folder: Path) -> None:
    for image in folder.iterdir():
        if image.is_dir() and not image.is_symlink() and image.stat().st_mtime < time.time() - _KEPT_UNUSED:
            shutil.rmtree(image)


def _flush(path: Path) -> None:
    with path.open("rb") as opened:
        os.fsync(opened.fileno())


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        staged = path.with_name(f".{path.name}.{os.getpid()}")
        staged.write_text(text)
        staged.replace(path)


def _point(link: Path, target: str) -> None:
    if not link.is_symlink() or link.readlink() != Path(target):
        staged = link.with_name(f".{link.name}.{os.getpid()}")
        staged.symlink_to(target)
        staged.replace(link)
