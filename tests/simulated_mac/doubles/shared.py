# SPDX-License-Identifier: GPL-3.0-or-later
"""What the doubles have in common: the world behind them, the log of calls, and how a call ends.

One world state stands behind all of them (`simulated_mac §1`), a JSON file under a lock. Every call is logged with its
arguments, its user and its exit status. A call that a double does not model ends with status 64 and stands in a second
log, on which tests fail: a double never says yes to what it does not know.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

from . import quickly

TYPE_CHECKING = False  # every call of a double is a start of Python, of which `typing` and `pathlib` would be half
if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader
    from typing import Any, NoReturn

    World = dict[str, Any]
    Main = Callable[[list[str]], int | None]

HIDDEN = "/.simulated-mac"  # what a Mac does not have is in here, out of every PATH
STATE = f"{HIDDEN}/state"  # logs; outlive a reboot
WORLD = f"{HIDDEN}/world"  # the disk's part that is no file of a Mac: volumes, directory service, keychain
DEBIAN = f"{HIDDEN}/debian/usr"
LAUNCHD_SOCKET = f"{HIDDEN}/run/launchd"
SYSTEM_BOOT = f"{HIDDEN}/run/boot.json"

EX_USAGE = 64


class Exit(Exception):
    """A call's end: its status, and what it says on standard output and standard error."""

    def __init__(self, status: int, *, out: str = "", err: str = "") -> None:
        super().__init__(status)
        self.status, self.out, self.err = status, out, err


def fail(status: int, text: str) -> NoReturn:
    """End the call with a text on standard error."""
    raise Exit(status, err=text + "\n")


class Unmodelled(Exception):
    """The call is outside of what its double models."""


def unmodelled(why: str) -> NoReturn:
    """End the call: it is outside of what the double models."""
    raise Unmodelled(why)


def _locked(how: int) -> BufferedReader:
    """The lock on the world, which is held until the file is closed."""
    # World-readable, and flock asks for no write access: doubles that only read run as any user.
    lock = open(f"{WORLD}/lock", "rb")  # noqa: SIM115
    fcntl.flock(lock, how)
    return lock


def world() -> World:
    """The world as it is now, to read."""
    with _locked(fcntl.LOCK_SH):
        return _load()


def _load() -> World:
    with open(f"{WORLD}/world.json", encoding="utf-8") as file:
        loaded: World = quickly.loads(file.read())
    return loaded


class changing:
    """The world, to change: written back when the block ends without an exception."""

    def __enter__(self) -> World:
        self._lock = _locked(fcntl.LOCK_EX)
        self._world = _load()
        self._before = quickly.dumps(self._world)
        return self._world

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        with self._lock:
            if kind is None and quickly.dumps(self._world) != self._before:
                beside = f"{WORLD}/.world.json.new"
                with open(beside, "w") as file:
                    file.write(quickly.dumps(self._world) + "\n")
                os.rename(beside, f"{WORLD}/world.json")


def fault(name: str) -> Any:
    """The value of a fault that is switched on, else None. See `faults.py`."""
    return world()["faults"].get(name)


def use_up(name: str) -> bool:
    """Whether a fault that is to happen a number of times happens now; counts it down."""
    if not fault(name):
        return False
    with changing() as state:
        left = int(state["faults"].get(name, 0))
        if left <= 1:
            state["faults"].pop(name, None)
        else:
            state["faults"][name] = left - 1
        return left > 0


def log(name: str, record: dict[str, Any]) -> None:
    """Append a line to a log that any user may write to."""
    line = quickly.dumps({"time": round(time.time(), 3), **record}) + "\n"
    descriptor = os.open(f"{STATE}/{name}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def root_only(status: int, text: str) -> None:
    """End the call unless root makes it."""
    if os.geteuid() != 0:
        fail(status, text)


def full_disk_access() -> bool:
    """Whether the session may touch what TCC protects (`macos_commands §7`)."""
    return bool(world()["identity"]["full_disk_access"])


def debian(command: str) -> str:
    """The path of a real tool in the hidden place."""
    for directory in ("bin", "sbin"):
        path = f"{DEBIAN}/{directory}/{command}"
        if os.path.exists(path):
            return path
    raise FileNotFoundError(f"the simulated Mac's host has no {command}")


def run(command: str, main: Main) -> NoReturn:
    """Run a double as the command, log the call, and exit with its status."""
    arguments = sys.argv[1:]
    status = 0
    try:
        status = main(arguments) or 0
    except Exit as end:
        sys.stdout.write(end.out)
        sys.stderr.write(end.err)
        status = end.status
    except Unmodelled as why:
        status = EX_USAGE
        sys.stderr.write(
            f"{command}: the simulated Mac does not model this call ({why}): {command} {' '.join(arguments)}\n"
        )
        log("unmodelled.jsonl", {"argv": [command, *arguments], "uid": os.getuid(), "why": str(why)})
    except BrokenPipeError:
        status = 141
    except SystemExit as end:
        status = int(end.code or 0)
    # A command that a script gives no standard output is logged all the same.
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    log("calls.jsonl", {"argv": [command, *arguments], "uid": os.getuid(), "status": status})
    os._exit(status)
