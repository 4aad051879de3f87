# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on a Mac's disk, to compare: content for "the same as before", inodes and times for "nothing was written".

Left out is what changes by itself, or is no part of what a person would call the Mac's state: logs, what a boot empties, caches,
Nix's own locks and database, and the files that only Debian's programs need (`stock.py`).
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .factory import DATA
from .stock import NOT_OF_A_MAC

Entry = tuple[Any, ...]

LEFT_OUT = (
    "/private/var/run/*",
    "/private/tmp/*",
    "/private/var/tmp/*",
    "/private/var/folders/*",
    "/private/var/log/*",
    "/private/etc/passwd",  # written from the directory service, which is compared itself
    "/private/etc/group",
    "/private/etc/shadow",
    "*/.cache/*",
    "*/.cache",
    "/nix/.nix-installer-hook.*",
    "/nix/store/.links*",
    "/nix/store/.rw*",
    "/nix/var/log/*",
    "/nix/var/nix/db/*",
    "/nix/var/nix/daemon-socket/*",
    "/nix/var/nix/gc.lock",
    "/nix/var/nix/gc-socket/*",
    "/nix/var/nix/temproots/*",
    "/nix/var/nix/userpool/*",
    "/nix/var/nix/builds/*",
    "/nix/var/nix/current-load/*",
    *NOT_OF_A_MAC,
)
_WORLD = ("users", "groups", "volumes", "keychain", "time_machine_exclusions", "login_items")


def files(disk: Path, ignore: Iterable[str] = ()) -> Iterator[tuple[str, Path]]:
    """(path of the Mac, path on the host) of everything on the disk that counts."""
    patterns = (*LEFT_OUT, *ignore)
    for root, path in _trees(disk):
        for directory, directories, names in os.walk(root):
            here = path + directory[len(str(root)) :]
            for name in [*directories, *names]:
                if not any(fnmatch.fnmatchcase(f"{here}/{name}", pattern) for pattern in patterns):
                    yield f"{here}/{name}", Path(directory, name)
            directories[:] = [name for name in directories if not Path(directory, name).is_symlink()]


def _trees(disk: Path) -> Iterator[tuple[Path, str]]:
    for name in DATA:
        yield disk / name, f"/{name}"
    for identifier, volume in _world(disk)["volumes"].items():
        # By where it belongs, whether it is mounted this moment or not.
        yield disk / "world/volumes" / identifier, volume["belongs_at"] or f"(volume {volume['name']})"


def _world(disk: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((disk / "world/world.json").read_text())
    for volume in loaded["volumes"].values():
        del volume["mount_point"]
    return loaded


def snapshot(disk: Path, ignore: Iterable[str] = ()) -> dict[str, Entry]:
    """Path -> (kind, mode, uid, gid, content's hash or link's target); `world:...` for what is in no file."""
    found: dict[str, Entry] = {}
    for path, here in files(disk, ignore):
        about = here.lstat()
        kind = stat.S_IFMT(about.st_mode)
        what = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}.get(kind, "other")
        body = ""
        if what == "file":
            body = hashlib.sha256(here.read_bytes()).hexdigest()
        elif what == "link":
            body = str(here.readlink())
        found[path] = (what, stat.S_IMODE(about.st_mode), about.st_uid, about.st_gid, body)
    world = _world(disk)
    for part in _WORLD:
        items = world[part].items() if isinstance(world[part], dict) else enumerate(world[part])
        for name, value in items:
            found[f"world:{part}/{name}"] = ("world", json.dumps(value, sort_keys=True))
    return found


def mark(disk: Path) -> dict[str, Entry]:
    """Path -> what changes when it is written, replaced, or given another owner or mode."""
    found: dict[str, Entry] = {}
    for path, here in files(disk):
        about = here.lstat()
        # A directory's times change with what is in it, which is listed itself.
        times = () if stat.S_ISDIR(about.st_mode) else (about.st_ctime_ns, about.st_mtime_ns)
        found[path] = (about.st_ino, about.st_mode, about.st_uid, about.st_gid, *times)
    world = _world(disk)
    for part in _WORLD:
        found[f"world:{part}"] = (json.dumps(world[part], sort_keys=True),)
    return found


def writes(before: dict[str, Entry], after: dict[str, Entry]) -> list[str]:
    """What was created, changed or removed, as lines."""
    created = [f"created {path}" for path in after.keys() - before.keys()]
    removed = [f"removed {path}" for path in before.keys() - after.keys()]
    changed = [f"changed {path}" for path in before.keys() & after.keys() if before[path] != after[path]]
    return sorted(created + removed + changed, key=lambda line: line.split(" ", 1)[1])
