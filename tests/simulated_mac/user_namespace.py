# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated Macs for an ordinary user: root in a user namespace, with a network that nobody else sees.

A process goes into the namespaces itself and then becomes the command, so signals, the terminal and the exit code are as
ever. The user is root there, and the user's subordinate ids (subuid(5)) are everybody else, which is what a Mac
with several users, sshd, sudo and Nix's builders need (simulation_recipes §1.2). Files keep the same owners from one
such namespace to the next, because each has the same map. Whoever comes while the lab of the command line runs joins its keeper.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from .relay import join, keeper_of

NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # linux/sched.h
WANTED_IDS = 65535  # nearly all ids of sixteen bits, those of Nix's builders among them, and a Mac's nobody
NOBODY = 2**32 - 2  # a Mac's, as which the proof of a build is made
VARIABLE = "BUILDERFLEET_ROOTLESS"  # says that the process was brought in here
_SBIN = ("/usr/sbin", "/sbin")  # where ip and sshd are, and what an ordinary user's PATH lacks

_libc = ctypes.CDLL(None, use_errno=True)


class RootlessError(Exception):
    """The namespaces cannot be had; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Ids:
    """Whose namespace it is, and the first and the number of the subordinate ids in its map."""

    uid: int
    gid: int
    first_uid: int
    first_gid: int
    count: int

    def map(self, kind: str) -> list[int]:
        """Triples of (inside, outside, how many), as newuidmap(1) and newgidmap(1) take them."""
        own, first = (self.uid, self.first_uid) if kind == "uid" else (self.gid, self.first_gid)
        last = self.count - 1
        return [0, own, 1, 1, first, last, NOBODY, first + last, 1]


def inside() -> bool:
    """Whether this process was brought into such a namespace."""
    return os.geteuid() == 0 and VARIABLE in os.environ


def _range(file: str, names: tuple[str, str]) -> int | None:
    """The first of enough subordinate ids in a file as in subuid(5)."""
    path = Path(file)
    for line in path.read_text().splitlines() if path.exists() else []:
        fields = line.split(":")
        if len(fields) == 3 and fields[0] in names and int(fields[2]) >= WANTED_IDS:
            return int(fields[1])
    return None


def _who() -> tuple[str, str]:
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name, str(uid)
    except KeyError:
        return str(uid), str(uid)


def own_ids() -> Ids | None:
    """Those of this user; None when there are too few."""
    first_uid, first_gid = _range("/etc/subuid", _who()), _range("/etc/subgid", _who())
    if first_uid is None or first_gid is None:
        return None
    return Ids(os.getuid(), os.getgid(), first_uid, first_gid, WANTED_IDS)


def requirements() -> list[str]:
    """What this machine lacks for an ordinary user's simulated Macs, a sentence each."""
    missing = []
    name = _who()[0]
    if not all(shutil.which(program) for program in ("newuidmap", "newgidmap")):
        missing.append("An ordinary user needs newuidmap: as root, apt-get install uidmap")
    for file in ("/etc/subuid", "/etc/subgid"):
        if _range(file, _who()) is None:
            missing.append(
                f"An ordinary user needs {WANTED_IDS} subordinate ids, and {file} gives {name} fewer: as root, "
                f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}, or another range that nobody has"
            )
            break
    if not missing and (refusal := _refusal()):
        missing.append(refusal)
    return missing


def _refusal() -> str:
    """What Linux says against it, found out by doing it."""
    # /proc of a new PID namespace, because that is what containers forbid when they hide parts of their own.
    probe = ["unshare", "--user", "--map-root-user", "--map-auto", "--net", "--mount", "--pid", "--fork", "--", "mount"]
    done = subprocess.run([*probe, "-t", "proc", "proc", "/proc"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    return (
        f"Linux does not let an ordinary user make namespaces here ({done.stderr.strip()}): see whether the sysctls "
        "user.max_user_namespaces, kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns forbid it, "
        "or whether a container's policy does; or run it as root"
    )


def enter(command: Sequence[str], lab: Path, ids: Ids | None = None) -> NoReturn:
    """Become `command`, as root in a user namespace: in that of the keeper of `lab` if there is one, or else in a new one.

    `ids` is for root, who may become anybody. Raises RootlessError. For a process with a single thread.
    """
    keeper = keeper_of(lab)
    if keeper is not None:
        _become(ids)
        try:
            join(keeper)
        except OSError as error:
            raise RootlessError(f"{error}. It keeps the lab in {lab}; was that started by another user?") from error
    else:
        _make(ids)
    path = os.environ.get("PATH", "/usr/bin:/bin").split(":")
    os.environ["PATH"] = ":".join([*path, *(directory for directory in _SBIN if directory not in path)])
    os.environ[VARIABLE] = "1"
    os.execvp(command[0], list(command))


def _make(given: Ids | None) -> None:
    """Unshare, have the map written by a helper that stayed outside, and switch the loopback device on."""
    ids = given or own_ids()
    if ids is None:
        raise RootlessError(" ".join(requirements()))
    turn, ready = os.pipe()
    target = os.getpid()
    helper = os.fork()
    if helper == 0:
        os.close(ready)
        os.read(turn, 1)
        os._exit(_write_maps(target, ids, as_root=given is not None))
    os.close(turn)
    _become(given)
    refused = ctypes.get_errno() if _libc.unshare(NEW_USER | NEW_NETWORK) else 0
    os.write(ready, b"x")
    os.close(ready)
    _, status = os.waitpid(helper, 0)
    if refused:
        raise RootlessError(f"Linux refuses a user namespace: {os.strerror(refused)}. {_refusal()}")
    if status:
        raise RootlessError("The map of the user namespace could not be written; above stands why.")
    subprocess.run(["/usr/sbin/ip", "link", "set", "lo", "up"], check=True)


def _become(ids: Ids | None) -> None:
    if ids is not None:
        os.setgroups([])
        os.setresgid(ids.gid, ids.gid, ids.gid)
        os.setresuid(ids.uid, ids.uid, ids.uid)


def _write_maps(target: int, ids: Ids, *, as_root: bool) -> int:
    """Root writes it itself; an ordinary user has newuidmap do it, which looks into /etc/subuid. 0, or what went wrong."""
    for kind in ("uid", "gid"):
        triples = ids.map(kind)
        if as_root:
            lines = [" ".join(map(str, triples[start : start + 3])) for start in range(0, len(triples), 3)]
            try:
                Path(f"/proc/{target}/{kind}_map").write_text("\n".join(lines) + "\n")
            except OSError as error:
                print(f"cannot write the {kind} map {lines}: {error}", file=sys.stderr)
                return 1
        elif code := subprocess.run([f"new{kind}map", str(target), *map(str, triples)], check=False).returncode:
            return code
    return 0
