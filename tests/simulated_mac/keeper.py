# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper of a lab: the process that its Macs live and die with.

It makes the lab's network, serves its files over HTTP, and starts the Macs as its own children, which the kernel ends
when it ends, however it ends. A lab that belongs to a test ends when the test's process does: the keeper reads from a
pipe that only the test holds. A lab of the command line ends with its last Mac.

    python -m tests.simulated_mac.keeper DIRECTORY [--owned]
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from . import disk, web
from .network import Network, reserve

BOOT = Path(__file__).with_name("boot.py")
NAMESPACES = ["--mount", "--net", "--pid", "--uts", "--ipc"]


class Keeper:
    """The lab in `directory`. Requests and replies are one JSON line each, over the socket there."""

    def __init__(self, directory: Path, network: Network) -> None:
        self.directory, self.network = directory, network
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request.get("name", "")
        match request["do"]:
            case "power on":
                return {"leader": self.power_on(name)}
            case "power cut":
                self.power_cut(name)
            case "link":
                self.network.set_link(self.about(name)["number"], up=request["up"])
            case "end":
                return {"end": True}
            case other:
                raise ValueError(f"the keeper was asked to {other!r}")
        return {}

    def about(self, name: str) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.directory / "macs" / name / "machine.json").read_text())
        return loaded

    def power_on(self, name: str) -> int:
        if name in self.running and self.running[name].poll() is None:
            raise ValueError(f"{name} is on already")
        machine = self.directory / "macs" / name
        with (machine / "state/boot.log").open("ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", *NAMESPACES, "--fork", "--kill-child=KILL", "--",
                 "/usr/bin/python3", "-IS", str(BOOT), str(machine)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.running[name] = process
        leader = self._leader(process, machine)
        self.network.connect(self.about(name)["number"], leader)
        (machine / "leader").write_text(f"{leader}\n")
        return leader

    @staticmethod
    def _leader(process: subprocess.Popen[bytes], machine: Path) -> int:
        """The PID, on the host, of the Mac's PID 1: the child of unshare."""
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError):
                if found := children.read_text().split():
                    return int(found[0])
            time.sleep(0.002)
        raise RuntimeError(f"{machine.name} did not start: {(machine / 'state/boot.log').read_text()[-2000:]}")

    def power_cut(self, name: str) -> None:
        leader = self.directory / "macs" / name / "leader"
        process = self.running.pop(name, None)
        if process is not None:
            # The Mac's PID 1 first, which takes everything else along: then unshare, its parent, sees the end.
            if leader.exists() and process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(leader.read_text()), signal.SIGKILL)
            else:
                process.kill()
            process.wait()
        leader.unlink(missing_ok=True)

    def end(self, *, remove: bool) -> None:
        for name in list(self.running):
            self.power_cut(name)
        self.network.remove()
        if remove:
            disk.remove(self.directory)


def _serve(keeper: Keeper, connection: socket.socket) -> bool:
    """Answer a request. False when it was to end."""
    with connection:
        try:
            reply = keeper.answer(json.loads(connection.makefile("r").readline()))
        except Exception as error:  # whatever went wrong, the one who asked has to hear it
            reply = {"error": f"{type(error).__name__}: {error}"}
        with contextlib.suppress(OSError):
            connection.sendall((json.dumps(reply) + "\n").encode())
    return "end" not in reply


def main() -> None:
    directory, owned = Path(sys.argv[1]), "--owned" in sys.argv
    lock = (directory / "keeper.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held for life: who can take it knows that the keeper is dead
    try:
        network = reserve(os.getpid())
    except Exception as error:
        print(json.dumps({"error": str(error)}), flush=True)
        sys.exit(1)
    keeper = Keeper(directory, network)
    server = web.start(directory, network.gateway)
    address = directory / "keeper.socket"
    address.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(address))
    listener.listen(64)
    about = {"network": network.number, "port": server.server_port, "keeper": os.getpid()}
    (directory / "lab.json").write_text(json.dumps(about))
    woken, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ending.append(number))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    print(json.dumps({"ready": True}), flush=True)
    os.close(1)
    watched: list[socket.socket | int] = [listener, woken, *([0] if owned else [])]
    try:
        while not ending:
            readable, _, _ = select.select(watched, [], [])
            if 0 in readable and not os.read(0, 1):
                break  # the owner has gone
            if woken in readable:
                os.read(woken, 4096)
            if listener in readable and not _serve(keeper, listener.accept()[0]):
                break
    finally:
        keeper.end(remove=owned)


if __name__ == "__main__":
    main()
