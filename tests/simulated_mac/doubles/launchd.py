# SPDX-License-Identifier: GPL-3.0-or-later
"""launchd: PID 1 of the simulated Mac. It really supervises processes.

The contract is `simulation_recipes §5.2`: on disk is only what the real one keeps there, the plists and the overrides;
what is loaded, and how often it ran, is lost with the power. `launchctl.py` is its client; `jobs.py` is one job.
"""

from __future__ import annotations

import contextlib
import json
import os
import plistlib
import random
import select
import signal
import socket
import stat
import struct
import time
from pathlib import Path
from typing import Any

from . import shared
from .jobs import UNDERSTOOD_KEYS, Job, Settings
from .xattr import attributes

OVERRIDES = Path("/private/var/db/com.apple.xpc.launchd/disabled.plist")
DAEMONS = (Path("/System/Library/LaunchDaemons"), Path("/Library/LaunchDaemons"))

IO_ERROR = "Bootstrap failed: 5: Input/output error"
RICHER = IO_ERROR + "\nTry re-running the command as root for richer errors."

Reply = tuple[int, str]


class Refused(Exception):
    """A plist that launchd does not take: the status and the text it gives for it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


def read_overrides() -> dict[str, bool]:
    """Label -> disabled."""
    try:
        return dict(plistlib.loads(OVERRIDES.read_bytes()))
    except FileNotFoundError:
        return {}


def write_override(label: str, disabled: bool) -> None:
    """No verb removes an override: it stays, as `enabled` (`macos_commands §2.1`)."""
    overrides = {**read_overrides(), label: disabled}
    OVERRIDES.parent.mkdir(parents=True, exist_ok=True)
    beside = OVERRIDES.with_suffix(".new")
    beside.write_bytes(plistlib.dumps(overrides))
    beside.rename(OVERRIDES)


def read_definition(path: Path) -> dict[str, Any]:
    """A plist as launchd takes it, else Refused (`macos_commands §2.1`, statuses of bootstrap)."""
    try:
        about = path.stat()
        data = path.read_bytes()
    except OSError:
        raise Refused(2, f"{path}: No such file or directory\nBootstrap failed: 2: No such file or directory") from None
    if about.st_uid != 0 or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        text = "Path had bad ownership/permissions"
        raise Refused(122, f"{path}: {text}\nBootstrap failed: 122: {text}")
    if "com.apple.quarantine" in attributes(str(path)):  # [I]: the text; the status is macos_commands §2.1
        raise Refused(155, f"{path}: Service is quarantined\nBootstrap failed: 155: Service is quarantined")
    try:
        definition = plistlib.loads(data)
        if not isinstance(definition, dict) or not isinstance(definition.get("Label"), str):
            raise ValueError("no label")
        if not (definition.get("ProgramArguments") or definition.get("Program")):
            raise ValueError("no program")
    except Exception as error:  # plistlib raises whatever its XML parser does
        raise Refused(5, RICHER) from error
    strange = set(definition) - UNDERSTOOD_KEYS
    if strange:
        shared.log(
            "unmodelled.jsonl", {"argv": ["launchd", str(path)], "uid": 0, "why": f"plist keys {sorted(strange)}"}
        )
        raise Refused(shared.EX_USAGE, f"{path}: the simulated launchd does not model {', '.join(sorted(strange))}")
    return definition


class Launchd:
    """The system domain: its jobs, and the requests that come in through the socket."""

    def __init__(self, settings: Settings, version: int, seed: int) -> None:
        self.settings = settings
        self.version = version
        self.seed = seed
        self.jobs: dict[str, Job] = {}
        self.ending = False

    # What is asked of it

    def bootstrap(self, path: Path) -> None:
        if shared.use_up("bootstrap-5"):
            raise Refused(5, IO_ERROR)
        definition = read_definition(path)
        label = definition["Label"]
        if read_overrides().get(label, bool(definition.get("Disabled", False))):
            raise Refused(119, f"{path}: Service is disabled\nBootstrap failed: 119: Service is disabled")
        if label in self.jobs:  # also while the former instance is still going away
            raise Refused(5, RICHER)
        self.jobs[label] = Job(label, path, definition, self.settings)
        if shared.use_up("spawn-lost"):
            self.jobs[label].forget_to_start()

    def bootout(self, label: str) -> Reply:
        job = self.jobs.get(label)
        if job is None:
            return 3, "Boot-out failed: 3: No such process"
        if job.leaving:
            return 36, "Boot-out failed: 36: Operation now in progress"
        job.leave(slow=float(shared.fault("bootout-slow") or 0))
        self._sweep()
        return 0, ""

    def boot(self) -> None:
        """Load every plist whose login item is allowed, in any order (`simulated_mac §1` row 2)."""
        allowed = shared.world()["login_items"]
        paths = [path for directory in DAEMONS if directory.is_dir() for path in sorted(directory.glob("*.plist"))]
        random.Random(self.seed).shuffle(paths)
        for path in paths:
            with contextlib.suppress(Refused):  # at boot, what cannot be loaded is simply not there
                definition = read_definition(path)
                if allowed.get(definition["Label"], True):
                    self.bootstrap(path)

    # The loop

    def tick(self) -> float:
        """Do what is due; the seconds until something is due again, at most one."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            for job in self.jobs.values():
                if job.pid == pid:
                    job.ended(status)
        now = time.monotonic()
        for job in list(self.jobs.values()):
            job.tick(now)
        self._sweep()
        due = [moment for job in self.jobs.values() for moment in job.due()]
        return max(0.0, min([1.0, *(moment - now for moment in due)]))

    def _sweep(self) -> None:
        for label, job in list(self.jobs.items()):
            if job.gone:
                del self.jobs[label]

    def shut_down(self) -> None:
        """Ask every job to end, in the time each was given; the rest dies with PID 1."""
        self.ending = True
        for job in self.jobs.values():
            if not job.leaving:
                job.leave()
        self._sweep()


def peer(connection: socket.socket) -> int:
    """The uid at the other end."""
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)


def serve(launchd: Launchd, connection: socket.socket) -> None:
    """Answer one request: a JSON list of words in, a JSON list [status, text] out."""
    from . import launchd_requests

    with connection:
        connection.settimeout(5)
        try:
            words = json.loads(connection.makefile("r").readline())
            reply = launchd_requests.answer(launchd, words, peer(connection))
        except shared.Unmodelled as why:
            reply = -1, str(why)
        except Refused as refusal:
            reply = refusal.status, refusal.text
        except (OSError, ValueError) as error:
            reply = 70, f"launchd: {error!r}"
        with contextlib.suppress(OSError):  # the client may be gone
            connection.sendall((json.dumps(reply) + "\n").encode())


def main() -> None:
    boot = json.loads(Path(shared.SYSTEM_BOOT).read_text())
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(shared.LAUNCHD_SOCKET)
    Path(shared.LAUNCHD_SOCKET).chmod(0o666)
    listener.listen(64)
    listener.setblocking(False)
    woken, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    settings = Settings(throttle_scale=boot["throttle_scale"])
    launchd = Launchd(settings, boot["version"], boot["seed"])
    launchd.boot()
    while not (launchd.ending and not launchd.jobs):
        watched: list[socket.socket | int] = [listener, woken]
        readable, _, _ = select.select(watched, [], [], launchd.tick())
        if woken in readable:
            os.read(woken, 4096)
        if listener in readable:
            with contextlib.suppress(BlockingIOError):
                serve(launchd, listener.accept()[0])
