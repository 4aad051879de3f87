# SPDX-License-Identifier: GPL-3.0-or-later
"""From power-on to launchd: puts a Mac's root together in its new namespaces, and becomes PID 1.

Run by `keeper.py` as the first process of fresh mount, network, PID, UTS and IPC namespaces, with the machine's directory as
its argument. The root is a small read-only tmpfs; the system is bound from the tree that all Macs share, the data from
the Mac's disk. No overlay, so this works where overlays do not (in containers, in user namespaces).
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

# linux/mount.h
RDONLY, NOSUID, NODEV, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
DETACH = 2
# What statvfs(3) says of a mount and mount(2) wants to hear again: a user namespace may not take any of it away.
KEPT = {2: NOSUID, 4: NODEV, 8: 8, 1024: 1024, 2048: 2048, 4096: 1 << 21}  # ... noexec, noatime, nodiratime, relatime

DATA = ("private", "Users", "Library", "Applications", "opt", "Volumes", "cores", "usr/local")
SYSTEM = ("bin", "sbin", "usr", "System")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
OPTIONAL_DEVICES = ("kvm",)

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str, flags: int = 0, options: str = "") -> None:
    if _libc.mount(source.encode(), bytes(target), kind.encode(), ctypes.c_ulong(flags), options.encode()):
        number = ctypes.get_errno()
        raise OSError(number, f"cannot mount {source} at {target}: {os.strerror(number)}")


def bind(source: Path, target: Path, *, read_only: bool = False) -> None:
    target.mkdir(parents=True, exist_ok=True)
    mount(str(source), target, "", BIND | REC)
    if read_only:
        has = os.statvfs(target).f_flag
        mount("", target, "", BIND | REMOUNT | RDONLY | sum(flag for bit, flag in KEPT.items() if has & bit))


def own_sudo(hidden: Path) -> None:
    """In a user namespace the host's root is nobody, and sudo refuses to run as that: a copy that is our root's."""
    debian, copy = hidden / "debian/usr", hidden / "sudo"
    if (debian / "bin/sudo").stat().st_uid == 0:
        return
    # A file system of its own, because the user's may be mounted without set-user-ID programs.
    copy.mkdir(mode=0o755)
    mount("sudo", copy, "tmpfs", NODEV, "mode=755,size=16m")
    shutil.copytree(debian / "libexec/sudo", copy / "plugins", symlinks=True)
    shutil.copyfile(debian / "bin/sudo", copy / "sudo")
    (copy / "sudo").chmod(0o4755)
    mount(str(copy / "plugins"), debian / "libexec/sudo", "", BIND)
    mount(str(copy / "sudo"), debian / "bin/sudo", "", BIND)


def assemble(root: Path, machine: Path, about: dict[str, object]) -> None:
    """Mount everything below `root`."""
    base, disk = Path(str(about["base"])), machine / "disk"
    mount("", Path("/"), "", REC | PRIVATE)
    mount("mac", root, "tmpfs", 0, "mode=755,size=64m")
    for name in SYSTEM:
        bind(base / name, root / name, read_only=True)
    for name in DATA:
        bind(disk / name, root / name)
    hidden = root / ".simulated-mac"
    hidden.mkdir(mode=0o755)
    for name in ("python", "userland", "nix"):
        bind(base / name, hidden / name, read_only=True)
    bind(Path("/usr"), hidden / "debian/usr")
    if about.get("release"):
        bind(Path(str(about["release"])), hidden / "release", read_only=True)
    own_sudo(hidden)
    bind(machine / "state", hidden / "state")
    bind(disk / "world", hidden / "world")
    if about.get("guest"):
        bind(Path(str(about["guest"])), hidden / "guest", read_only=True)
    (hidden / "run").mkdir(mode=0o755)
    mount("run", hidden / "run", "tmpfs", NOSUID | NODEV, "mode=755,size=4m")
    for name, target in (("etc", "private/etc"), ("var", "private/var"), ("tmp", "private/tmp")):
        (root / name).symlink_to(target)
    for name in ("lib", "lib32", "lib64"):  # where programs of Linux look for their loader
        if Path("/usr", name).exists():
            (root / name).symlink_to(f".simulated-mac/debian/usr/{name}")
    (root / "run/sshd").mkdir(parents=True)
    (root / "proc").mkdir()
    mount("proc", root / "proc", "proc", NOSUID | NODEV)
    devices(root / "dev")


def devices(directory: Path) -> None:
    directory.mkdir()
    mount("dev", directory, "tmpfs", NOSUID, "mode=755,size=16m")
    for name in (*DEVICES, *(name for name in OPTIONAL_DEVICES if Path("/dev", name).exists())):
        (directory / name).touch()
        mount(f"/dev/{name}", directory / name, "", BIND)
    for name in ("pts", "shm", "fd", "stdin", "stdout", "stderr", "ptmx"):
        if name in ("pts", "shm"):
            (directory / name).mkdir()
        elif name == "fd":
            (directory / name).symlink_to("/proc/self/fd")
        elif name == "ptmx":
            (directory / name).symlink_to("pts/ptmx")
        else:
            (directory / name).symlink_to(f"/proc/self/fd/{('stdin', 'stdout', 'stderr').index(name)}")
    mount("devpts", directory / "pts", "devpts", NOSUID, "newinstance,ptmxmode=0666,mode=620,gid=4")
    mount("shm", directory / "shm", "tmpfs", NOSUID | NODEV, "mode=1777")


def synthesise(root: Path) -> None:
    """The empty directories at the root that /etc/synthetic.conf asks for."""
    configuration = root / "private/etc/synthetic.conf"
    if configuration.exists():
        for line in configuration.read_text().splitlines():
            words = line.split("#")[0].split("\t")
            if words[0]:
                (root / words[0]).mkdir(exist_ok=True)


def empty(directory: Path) -> None:
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            subprocess.run(["rm", "-rf", entry], check=True)
        else:
            entry.unlink()


def main() -> None:
    machine = Path(sys.argv[1])
    about = json.loads((machine / "machine.json").read_text())
    identity = json.loads((machine / "disk/world/world.json").read_text())["identity"]
    root = machine / "root"
    root.mkdir(exist_ok=True)
    assemble(root, machine, about)
    for volatile in ("private/var/run", "private/tmp"):
        empty(root / volatile)
    synthesise(root)
    socket.sethostname(about["name"])
    boot = {
        "time": time.time(),
        "session": str(uuid.uuid4()).upper(),
        "version": int(identity["version"].split(".")[0]),
        "throttle_scale": identity["throttle_scale"],
        "seed": random.randrange(2**32),
    }
    (root / ".simulated-mac/run/boot.json").write_text(json.dumps(boot))
    (root / ".simulated-mac/run/system").write_text(identity["system"] + "\n")
    os.chdir(root)
    subprocess.run(["pivot_root", ".", "."], check=True)
    # The old root now lies on top of the new one: take it off.
    if _libc.umount2(b".", DETACH):
        raise OSError(ctypes.get_errno(), "cannot let go of the host's root")
    os.chdir("/")
    mount("", Path("/"), "", BIND | REMOUNT | RDONLY)
    os.umask(0o022)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.execve("/sbin/launchd", ["/sbin/launchd"], {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"})


if __name__ == "__main__":
    main()
