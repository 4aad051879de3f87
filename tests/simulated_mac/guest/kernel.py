# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest's kernel: Debian's package is fetched and unpacked, never installed.

It has to be the generic one, the cloud one has no 9p (simulation_recipes §2.1). Under software emulation unpacking the
kernel takes longer than booting it (3.3 of 5.2 seconds), so that is done here, once; QEMU starts a plain ELF kernel by
its PVH entry.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import GuestError, run

META_PACKAGE = "linux-image-amd64"

# In the order in which they are asked for; each brings what it depends on.
MODULES = ("virtio_pci", "virtio_blk", "ext4", "crc32c_generic", "virtio_net", "9pnet_virtio", "9p", "virtio_rng")

_XZ = b"\xfd7zXZ\0"
_REFRESH = "Run `apt-get update` as root, see that this machine reaches a Debian mirror, and try again."


@dataclass(frozen=True, slots=True)
class Kernel:
    """An unpacked kernel package: its version and its folder."""

    version: str
    folder: Path

    def image(self) -> bytes:
        """The kernel as an ELF file if it is packed with xz, as Debian's are; otherwise as it is, to unpack itself."""
        places = (
            self.folder / "boot" / f"vmlinuz-{self.version}",
            self.folder / "lib/modules" / self.version / "vmlinuz",
        )
        packed = next(place for place in places if place.exists()).read_bytes()
        start = packed.find(_XZ)
        if start < 0:
            return packed
        plain = lzma.LZMADecompressor().decompress(packed[start:])
        return plain if plain.startswith(b"\x7fELF") else packed

    def modules(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of the modules that the guest needs, each after those that it depends on."""
        depends = self._depends()
        done: set[str] = set()
        for name in MODULES:
            for path in _with_dependencies(name, depends):
                if path not in done:
                    done.add(path)
                    yield Path(path).name.split(".")[0], self._plain_module(path)

    def _depends(self) -> dict[str, tuple[str, list[str]]]:
        """For each module's name its path and the paths of what it depends on, from depmod's list."""
        folder = self.folder / "lib" / "modules" / self.version
        if not (folder / "modules.dep").exists():
            run(["busybox", "depmod", "-b", self.folder, self.version], remedy="Install busybox-static.")
        depends = {}
        for line in (folder / "modules.dep").read_text().splitlines():
            path, _, needs = line.partition(":")
            depends[_module_name(path)] = (path, needs.split())
        return depends

    def _plain_module(self, path: str) -> bytes:
        file = self.folder / "lib" / "modules" / self.version / path
        return lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes()


def _module_name(path: str) -> str:
    return Path(path).name.split(".")[0].replace("-", "_")


def _with_dependencies(name: str, depends: dict[str, tuple[str, list[str]]]) -> Iterator[str]:
    if name not in depends:
        return  # built into this kernel
    path, needs = depends[name]
    for need in needs:
        yield from _with_dependencies(_module_name(need), depends)
    yield path


def fetch(cache: Path, scratch: Path, report: Callable[[str], None]) -> Kernel:
    """Unpack the newest kernel of this machine's package lists; its packages are kept in `cache` for the next time."""
    packages = packages_of_kernel()
    for package in packages:
        if not list(cache.glob(f"{package}_*.deb")):
            _download(packages, cache, scratch, report)
            break
    folder = scratch / "kernel"
    kept = [max(cache.glob(f"{package}_*.deb")) for package in packages]
    for file in kept:
        report(f"unpacking {file.name}")
        run(["dpkg-deb", "-x", file, folder], remedy=f"Delete {file} if it is damaged, and try again.")
    library = folder / "lib" if (folder / "lib").is_dir() else folder / "usr" / "lib"
    if library.parent != folder:
        (folder / "lib").symlink_to("usr/lib")
    versions = [each.name for each in (library / "modules").iterdir()]
    if len(versions) != 1:
        names = ", ".join(map(str, kept))
        raise GuestError(f"wanted one kernel in {names}, saw {versions or 'none'}. Delete them and try again.")
    return Kernel(versions[0], folder)


def packages_of_kernel() -> list[str]:
    """The packages that a kernel comes in: one, and in newer releases one more for itself and one for its modules."""
    depends = run(["apt-cache", "depends", META_PACKAGE], remedy=_REFRESH)
    found = re.search(r"Depends: (linux-image-\S+)", depends)
    if found is None:
        raise GuestError(f"wanted the kernel that {META_PACKAGE} stands for; the package lists know none. {_REFRESH}")
    more = run(["apt-cache", "depends", found[1]], remedy=_REFRESH)
    return [found[1], *re.findall(r"^  Depends: (linux-(?:binary|modules)-\S+)", more, re.MULTILINE)]


def _download(packages: list[str], cache: Path, scratch: Path, report: Callable[[str], None]) -> None:
    report(f"fetching {', '.join(packages)} (about 100 MB)")
    folder = scratch / "download"
    folder.mkdir()
    # The user that apt drops its rights to may not enter a private cache; it fetches just as well as ourselves.
    alone = ["-o", f"APT::Sandbox::User={'root' if os.geteuid() == 0 else ''}"]
    run(["apt-get", *alone, "download", "-qq", *packages], cwd=folder, remedy=_REFRESH)
    found = list(folder.glob("*.deb"))
    if len(found) != len(packages):
        raise GuestError(f"wanted a file each from `apt-get download`, saw {len(found)} of {len(packages)}. {_REFRESH}")
    for former in cache.glob("linux-*.deb"):
        former.unlink()
    for file in found:
        shutil.move(file, cache / file.name)
