# SPDX-License-Identifier: GPL-3.0-or-later
"""A real OpenSSH server on this machine, and listeners that behave as no server should: what clients say of each."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")


class Sshd:
    """sshd on 127.0.0.1 for this user, its keys and a known_hosts that knows it."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.user = getpass.getuser()
        for name, passphrase in (("host", ""), ("key", ""), ("other", ""), ("encrypted", "secret")):
            _keygen("-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", str(directory / name))
        (directory / "authorized").write_text(self.public("key") + "\n" + self.public("encrypted") + "\n")
        self.known_hosts = directory / "known_hosts"
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {self.public('host')}\n")
        config = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {directory / 'host'}",
            f"AuthorizedKeysFile {directory / 'authorized'}",
            "StrictModes no",
            "UsePAM no",
            "MaxStartups 100",  # the default begins to turn some away at 10
            "PidFile none",
            *options,
        ]
        (directory / "sshd_config").write_text("\n".join((*config, "")))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where root's sshd shuts its unprivileged half up
        self._process = subprocess.Popen(
            [str(SSHD), "-D", "-f", directory / "sshd_config", "-E", directory / "log"], stdin=subprocess.DEVNULL
        )
        wait_for(self.port)

    def public(self, name: str) -> str:
        return " ".join((self.directory / f"{name}.pub").read_text().split()[:2])

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


def _keygen(*words: str) -> None:
    subprocess.run(["ssh-keygen", *words], check=True, stdin=subprocess.DEVNULL, capture_output=True)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    if not SSHD:
        pytest.skip("needs OpenSSH's server (sshd), which is not installed")
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@contextmanager
def listener(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Something that listens on a port and does this with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with suppress(OSError):
                        answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def closes(connection: socket.socket) -> None:
    connection.close()


def resets(connection: socket.socket) -> None:
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


_SILENT: list[socket.socket] = []


def is_silent(connection: socket.socket) -> None:
    _SILENT.append(connection)


def speaks_http(connection: socket.socket) -> None:
    connection.recv(1)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n" * 1100)
    connection.close()
