# SPDX-License-Identifier: GPL-3.0-or-later
"""A Mac's disk on the host: the data of its file systems, its volumes, and the world state.

disk/private, disk/Users, disk/Library ...   what is bound at these paths of the Mac
disk/world/world.json                        directory service, volumes, keychain, faults
disk/world/volumes/UUID                      the files of an APFS volume
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from . import stock
from .doubles import accounts
from .identity import Identity

ADMIN = (501, 20)


def make(disk: Path, template: Path, name: str, identity: Identity, public_key: str) -> None:
    """A disk as it leaves the factory."""
    subprocess.run(["cp", "-a", "--reflink=auto", f"{template}/.", disk], check=True)
    etc = disk / "private/etc"
    hosts = "127.0.0.1\tlocalhost\n255.255.255.255\tbroadcasthost\n::1\tlocalhost\n"
    # Not on a Mac; without it sudo complains that it cannot find the host.
    (etc / "hosts").write_text(hosts + f"127.0.0.1\t{name}\n")
    key = etc / "ssh/ssh_host_ed25519_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
    (disk / "private/var/select/sh").symlink_to(f"/bin/{identity.shell}")
    home = disk / "Users/admin"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    (home / ".ssh/authorized_keys").write_text(public_key)
    (home / ".ssh/authorized_keys").chmod(0o600)
    for path in (home, home / ".ssh", home / ".ssh/authorized_keys"):
        os.chown(path, *ADMIN)
    home.chmod(0o750)
    world = {
        "identity": identity.record(name),
        "users": accounts.USERS,
        "groups": accounts.GROUPS,
        "volumes": {},
        "keychain": [],
        "time_machine_exclusions": [],
        "login_items": {},
        "faults": {},
    }
    (disk / "world/volumes").mkdir(parents=True)
    (disk / "world").chmod(0o755)
    (disk / "world/lock").touch()
    (disk / "world/world.json").write_text(json.dumps(world, indent=1) + "\n")
    accounts.write_files(world, etc)
    guard_privacy_database(disk, readable=identity.full_disk_access)


def guard_privacy_database(disk: Path, *, readable: bool) -> None:
    """Root may do anything on Linux. A name of no file is what even root cannot read, as without Full Disk Access."""
    database = disk / "Library/Application Support/com.apple.TCC/TCC.db"
    database.unlink(missing_ok=True)
    if readable:
        database.write_text(stock.PRIVACY_DATABASE)
    else:
        os.mknod(database, 0o140644)  # a socket: open(2) refuses it


def copy(source: Path, target: Path) -> None:
    """A copy of a whole disk, in place of what is there."""
    beside = target.with_name(f".{target.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    subprocess.run(["cp", "-a", "--reflink=auto", f"{source}/.", beside], check=True)
    remove(target)
    beside.rename(target)


def remove(tree: Path) -> None:
    """Remove a tree that is full of read-only directories (a Nix store)."""
    if tree.exists():
        subprocess.run(["rm", "-rf", "--one-file-system", tree], check=True)


def rename(disk: Path, name: str) -> None:
    """Give a copied disk the name of the Mac that it is now in."""
    world = json.loads((disk / "world/world.json").read_text())
    before, world["identity"]["hostname"] = world["identity"]["hostname"], name
    (disk / "world/world.json").write_text(json.dumps(world, indent=1) + "\n")
    hosts = disk / "private/etc/hosts"
    hosts.write_text(hosts.read_text().replace(f"127.0.0.1\t{before}\n", f"127.0.0.1\t{name}\n"))
