# SPDX-License-Identifier: GPL-3.0-or-later
"""Any number of hosts that answer from a recording: one real sshd on all of 127.0.0.0/8, in namespaces of its own.

The network namespace holds nothing but a loopback device, so no port of this machine is used or opened; the PID
namespace ends everything in it together; the mount namespace gives sshd a passwd and a /run of its own. The hosts are
one machine and one process tree: what is measured is the controller and the wire.

They replay whatever they are told (replay.sh), or do as they are told but for the probe (as_told.sh).
"""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .macs import BenchmarkError
from .recording import Recording

USER = "admin"
_PROGRAMS = (
    "/usr/sbin/sshd",
    "/usr/bin/unshare",
    "/usr/bin/nsenter",
    "/usr/bin/setpriv",
    "/usr/bin/ssh-keygen",
    "/usr/bin/dash",
)
_FIRST = ipaddress.IPv4Address("127.1.0.1")
_BOOT = """set -eu
mount -t tmpfs run /run
mkdir -m 0755 /run/sshd
mount --bind "$1/passwd" /etc/passwd
ip link set lo up
exec /usr/sbin/sshd -D -f "$1/sshd_config" -E "$1/sshd.log"
"""


def requirements(*, sudo: bool = False) -> list[str]:
    """What this machine lacks for replaying hosts, a sentence each; empty when they can be started.

    `sudo`: for hosts that do as they are told, with sudo and a Python.
    """
    programs = (*_PROGRAMS, "/usr/bin/sudo", "/usr/bin/python3") if sudo else _PROGRAMS
    missing = [f"{path} is missing" for path in programs if not Path(path).exists()]
    missing += [] if shutil.which("ip") else ["ip (iproute2) is missing"]
    return missing if os.geteuid() == 0 else [*missing, "making namespaces needs root"]


class Replayer:
    """The hosts, for as long as the block lasts."""

    def __init__(self, recording: Recording, answer: str = "replay.sh") -> None:
        """`answer` is the script of this directory that answers every command."""
        self.recording, self.answer = recording, answer

    def __enter__(self) -> Self:
        missing = requirements(sudo=self.answer != "replay.sh")
        if missing:
            raise BenchmarkError("replaying hosts cannot be started: " + "; ".join(missing))
        self._temporary = tempfile.TemporaryDirectory(prefix="builderfleet-benchmark-")
        self.directory = Path(self._temporary.name)
        try:
            self._write()
            self._start()
        except BaseException:
            self._temporary.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sshd.kill()
        self._sshd.wait()
        self._temporary.cleanup()

    def _write(self) -> None:
        for name in ("host_key", "key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(self.directory / name)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        (self.directory / "records").write_text("".join(f"{record}\n" for record in self.recording.records))
        (self.directory / "count").write_text(str(len(self.recording.records)))
        for script in {"replay.sh", self.answer}:
            shutil.copy(Path(__file__).with_name(script), self.directory)
        # The account's shell is what sshd starts ForceCommand with: one that reads no start-up files. root comes first,
        # because it is whom sudo looks for.
        (self.directory / "passwd").write_text(
            f"root:x:0:0::/root:/usr/bin/dash\n{USER}:x:0:0::{self.directory}:/usr/bin/dash\n"
            "sshd:x:100:65534::/run/sshd:/bin/false\n"
        )
        (self.directory / "sshd_config").write_text(
            "Port 22\nListenAddress 0.0.0.0\nPidFile none\nUsePAM no\nUseDNS no\nStrictModes no\nLogLevel VERBOSE\n"
            "PermitRootLogin yes\nPasswordAuthentication no\nMaxStartups 2000\nLoginGraceTime 600\nPrintLastLog no\n"
            f"HostKey {self.directory}/host_key\nAuthorizedKeysFile {self.directory}/key.pub\n"
            f"ForceCommand exec /usr/bin/dash {self.directory}/{self.answer} {self.directory}\n"
        )

    def _start(self) -> None:
        # setpriv: if this process is killed, so is unshare, and with it (--kill-child) all that it started
        self._sshd = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child",
             "sh", "-c", _BOOT, "sh", str(self.directory)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        log, deadline = self.directory / "sshd.log", time.monotonic() + 20
        while not (log.exists() and "Server listening" in log.read_text()):
            if self._sshd.poll() is not None or time.monotonic() > deadline:
                self._sshd.kill()
                assert self._sshd.stderr is not None
                said = self._sshd.stderr.read() + (log.read_text() if log.exists() else "")
                raise BenchmarkError(f"wanted an sshd that listens within 20 s, saw: {said[-2000:] or 'nothing'}")
            time.sleep(0.01)
        children = Path(f"/proc/{self._sshd.pid}/task/{self._sshd.pid}/children").read_text().split()
        self.leader = int(children[0])

    @property
    def enter(self) -> list[str]:
        """The words before a command that is to run on the hosts' network. It becomes the command, no process more."""
        return ["/usr/bin/nsenter", "-t", str(self.leader), "-n"]

    def commands(self) -> int:
        """How many commands sshd was asked to run so far."""
        return (self.directory / "sshd.log").read_text().count("Starting session: ")

    def logins(self) -> int:
        return (self.directory / "sshd.log").read_text().count("Accepted publickey for ")

    def inventory(self, hosts: int) -> Path:
        """An inventory file with so many hosts in the project's group `macs`, with the variables of the recording.

        Each has a known_hosts of its own, as simulated Macs have: pyinfra searches a long one from its top for each host.
        """
        public = (self.directory / "host_key.pub").read_text()
        known = self.directory / f"known-{hosts}"
        known.mkdir(exist_ok=True)
        listed: dict[str, dict[str, Any]] = {}
        for number in range(hosts):
            address = str(_FIRST + number)
            (known / address).write_text(f"{address} {public}")
            listed[f"host-{number + 1:04}"] = {
                "ansible_host": address,
                "ansible_user": USER,
                "ansible_ssh_private_key_file": str(self.directory / "key"),
                "ansible_ssh_common_args": f"-o UserKnownHostsFile={known / address}",
                "ssh_known_hosts_file": str(known / address),
                "ssh_strict_host_key_checking": "yes",
            }
        path = self.directory / f"hosts-{hosts}.json"  # which is YAML as well
        path.write_text(json.dumps({"macs": {"hosts": listed, "vars": dict(self.recording.variables)}}))
        return path


def end(process: subprocess.Popen[Any]) -> None:
    """End a controller that is still running, and wait for it."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait()
