# SPDX-License-Identifier: GPL-3.0-or-later
"""ssh's way into a lab whose network only its own processes see: a ProxyCommand.

    /usr/bin/python3 -IS relay.py LAB_DIRECTORY ADDRESS PORT

Joins the namespaces that the lab's keeper lives in, connects there, and hands on the bytes. Run by its path, from any
directory, so it imports nothing of this package.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import sys
import threading
from pathlib import Path

NAMESPACES = ("user", "net")

_libc = ctypes.CDLL(None, use_errno=True)


def keeper_of(directory: Path) -> int | None:
    """The PID of a lab's keeper; None when there is none, which is when nobody holds its lock."""
    lock, about = directory / "keeper.lock", directory / "lab.json"
    if not lock.exists() or not about.exists():
        return None
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            keeper: int | None = json.loads(about.read_text()).get("keeper")
            return keeper
    return None


def same(one: str, other: str) -> bool:
    """Whether two processes are in the same user namespace, as far as we may see it."""
    try:
        return Path(f"/proc/{one}/ns/user").stat().st_ino == Path(f"/proc/{other}/ns/user").stat().st_ino
    except PermissionError:
        return False


def join(keeper: int) -> None:
    """Go into the keeper's namespaces, and be root there. For a process with a single thread that made them, or is root."""
    if same(str(keeper), "self"):
        return
    files = [os.open(f"/proc/{keeper}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in NAMESPACES]
    for name, file in zip(NAMESPACES, files, strict=True):
        if _libc.setns(file, 0):
            number = ctypes.get_errno()
            raise OSError(number, f"cannot join the {name} namespace of process {keeper}: {os.strerror(number)}")
        os.close(file)


def _copy(source: int, target: socket.socket) -> None:
    while data := os.read(source, 1 << 16):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


def main() -> None:
    directory, address, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    keeper = keeper_of(directory)
    if keeper is None:
        sys.exit(f"relay: wanted the keeper of the lab in {directory}, which has ended: start its Macs again")
    join(keeper)
    with socket.create_connection((address, port), timeout=30) as connection:
        connection.settimeout(None)
        threading.Thread(target=_copy, args=(0, connection), daemon=True).start()
        while data := connection.recv(1 << 16):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(1, rest) :]


if __name__ == "__main__":
    main()
