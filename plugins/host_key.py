# SPDX-License-Identifier: GPL-3.0-or-later
"""The key that a host shows, and the known_hosts file that it is taken into: on purpose, by its fingerprint, never unseen."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .openssh import Destination, SshProblem, in_effect

LIMIT = 30  # seconds


class KeyProblem(Exception):
    """A key could not be remembered. The text says where, and why."""


@dataclass(frozen=True, slots=True)
class HostKey:
    """A line of known_hosts: whom it is for, what kind it is, and the key in base64."""

    line: str

    @property
    def kind(self) -> str:
        return self.line.split()[1].removeprefix("ssh-").upper()

    @property
    def fingerprint(self) -> str:
        """As ssh-keygen -l says it: SHA256:..."""
        digest = hashlib.sha256(base64.b64decode(self.line.split()[2])).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @contextmanager
    def known(self) -> Iterator[list[str]]:
        """Words by which ssh knows this key and no other."""
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "known_hosts"
            file.write_text(self.line + "\n", encoding="utf-8")
            yield ["-o", f"UserKnownHostsFile={file}"]

    def remember(self, destination: Destination) -> None:
        """Append it to the file in which ssh looks first. Raises KeyProblem."""
        answer = in_effect([destination])[destination]
        if isinstance(answer, SshProblem):
            raise KeyProblem(f"ssh does not say where it keeps host keys: {answer}")
        path = Path(next(iter(answer.paths("userknownhostsfile")), "") or "~/.ssh/known_hosts").expanduser()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(path, "a+", encoding="utf-8", opener=_private) as file:
                file.seek(0)
                text = file.read()
                file.write(("" if not text or text.endswith("\n") else "\n") + self.line + "\n")
        except (OSError, UnicodeDecodeError) as error:
            raise KeyProblem(f"the host key could not be written to {path}: {error}") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def shown(destination: Destination) -> HostKey | None:
    """The key that a host shows now, by the way on which ssh reaches it; nobody logs in. None where it shows none."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "known_hosts"
        options = (
            "StrictHostKeyChecking=accept-new", f"UserKnownHostsFile={file}", "GlobalKnownHostsFile=none", "HashKnownHosts=no",
            "PreferredAuthentications=none", "ControlPath=none", "UpdateHostKeys=no", "BatchMode=yes", "ConnectTimeout=10",
        )  # fmt: skip
        words = [word for option in options for word in ("-o", option)]
        _run(["ssh", *words, *destination.words, "--", destination.name, "true"])
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return next((HostKey(line) for line in lines if len(line.split()) >= 3), None)


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return  # it shows none, then
