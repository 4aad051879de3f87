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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import GuestError

if TYPE_CHECKING:
    from .mac import SimulatedMac

T = TypeVar("T")

LIMIT = 60.0  # seconds for each step
_FASTEST = 2**40  # bytes a second: nothing but this machine's own disk is to slow it down
_LONGEST_PAUSE = 60_000  # milliseconds: rather a long pause than many rounds


def keep(mac: SimulatedMac) -> bool:
    """Write down the memory of a Mac's guest, which stands still from then on. False where there is not one that is up."""
    running = _running(mac)
    if len(running) != 1:
        for other in running.values():
            other.close()
        return False
    ((control, connection),) = running.items()
    _obey(control.with_suffix(".serial"), "freeze", "frozen")
    place = mac.disk / "world/guest"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    with _monitor(connection) as ask:
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
    ((control, connection),) = _until(lambda: _running(mac), f"{mac.name}: no guest is started").items()
    if kept(mac):
        raise GuestError(f"{mac.name}: the guest was to go on from the memory kept, and booted; see {control}'s .line")
    with _monitor(connection) as ask:
        _until(lambda: ask("query-status")["running"], f"{mac.name}: the guest's memory is not read")
    _obey(control.with_suffix(".serial"), "thaw", "thawed")


def _running(mac: SimulatedMac) -> dict[Path, socket.socket]:
    """A connection to the monitor of each QEMU that is there, by its socket. What a dead one left refuses."""
    found = {}
    for path in (mac.root / ".simulated-mac/run").glob("guest-*.qmp"):
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
        except ConnectionRefusedError:
            connection.close()
        else:
            connection.settimeout(LIMIT)
            found[path] = connection
    return found


def _until(ask: Callable[[], T], otherwise: str) -> T:
    """The first answer that is true."""
    deadline = time.monotonic() + LIMIT
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise GuestError(f"{otherwise} after {LIMIT:.0f} seconds")
        time.sleep(0.02)
    return answer


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
def _monitor(connection: socket.socket) -> Iterator[Any]:
    """A function that gives QEMU's monitor a command and returns its answer (QMP)."""
    with connection:
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
