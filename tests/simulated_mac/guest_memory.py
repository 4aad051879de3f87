# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory of a builder VM that runs, kept with its Mac's disk: a Mac to which that disk is restored has a guest at once.

Under software emulation a guest takes seconds of processor time to boot. QEMU writes its memory down beside the disk that it
belongs to; the emulator of the Mac that gets both (`nixpkgs/flake/pkgs/qemu-system.sh`) goes on from there, the first time that
it is started with the same words. While a share is mounted QEMU writes nothing down, so the guest lets go of the shares
first and takes them again afterwards, at a word on its second serial line (`guest/system/shares`).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import GuestError

if TYPE_CHECKING:
    from .mac import SimulatedMac

LIMIT = 60.0  # seconds for each step
_FASTEST = 2**40  # bytes a second: nothing but this machine's own disk is to slow it down
_LONGEST_PAUSE = 60_000  # milliseconds: rather a long pause than many rounds


def keep(mac: SimulatedMac) -> bool:
    """Write down the memory of a Mac's guest, which stands still from then on. False where there is not one that is up."""
    run = mac.root / ".simulated-mac/run"
    running = [path for path in run.glob("guest-*.qmp") if _listens(path)]
    if len(running) != 1:
        return False
    control = running[0]
    _obey(control.with_suffix(".serial"), "freeze", "frozen")
    place = mac.disk / "world/guest"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    with _monitor(control) as ask:
        ask("migrate-set-parameters", {"max-bandwidth": _FASTEST, "downtime-limit": _LONGEST_PAUSE})
        ask("migrate", {"uri": "exec:/bin/cat > /.simulated-mac/world/guest/memory"})
        _until(lambda: _migrated(ask("query-migrate")), f"{mac.name}: the guest's memory is not written")
    shutil.copyfile(control.with_suffix(".line"), place / "line")
    return True


def kept(mac: SimulatedMac) -> bool:
    """Whether a Mac that is off has its guest's memory."""
    return (mac.disk / "world/guest/memory").exists()


def wake(mac: SimulatedMac) -> None:
    """Wait until the guest of a Mac that was switched on goes on from the memory that was kept, and has its shares again."""
    run = mac.root / ".simulated-mac/run"
    _until(lambda: any(map(_listens, run.glob("guest-*.qmp"))), f"{mac.name}: no guest goes on from the memory kept")
    (control,) = filter(_listens, run.glob("guest-*.qmp"))
    if kept(mac):
        raise GuestError(f"{mac.name}: the guest was to go on from the memory kept, and booted; see {control}'s .line")
    with _monitor(control) as ask:
        _until(lambda: ask("query-status")["running"], f"{mac.name}: the guest's memory is not read")
    _obey(control.with_suffix(".serial"), "thaw", "thawed")


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            return False
    return True


def _until(done: Any, otherwise: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not done():
        if time.monotonic() > deadline:
            raise GuestError(f"{otherwise} after {LIMIT:.0f} seconds")
        time.sleep(0.02)


def _obey(path: Path, word: str, wanted: str) -> None:
    """Say a word to the guest, and hear that it was done."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(LIMIT)
        line.connect(str(path))
        line.sendall(f"{word}\n".encode())
        said = b""
        while wanted.encode() not in said:
            try:
                more = line.recv(256)
            except TimeoutError:
                more = b""
            if not more:
                raise GuestError(f"the guest was told to {word}, and said {said!r} in {LIMIT:.0f} seconds at {path}")
            said += more


@contextlib.contextmanager
def _monitor(path: Path) -> Iterator[Any]:
    """A function that gives QEMU's monitor a command and returns its answer (QMP)."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LIMIT)
        connection.connect(str(path))
        answers = connection.makefile("r")
        answers.readline()  # its greeting

        def ask(command: str, arguments: dict[str, Any] | None = None) -> Any:
            connection.sendall(json.dumps({"execute": command, "arguments": arguments or {}}).encode())
            for line in answers:
                answer = json.loads(line)
                if "error" in answer:
                    raise GuestError(f"QEMU refused {command}: {answer['error']['desc']}")
                if "return" in answer:
                    return answer["return"]
            raise GuestError(f"QEMU ended at {command}")

        ask("qmp_capabilities")
        yield ask


def _migrated(state: Any) -> bool:
    if state.get("status") == "failed":
        raise GuestError(f"QEMU cannot write the guest's memory down: {state}")
    return bool(state.get("status") == "completed")
