# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab: a network with simulated Macs in it, and a web server for what they would fetch from the internet.

    with Lab() as lab:
        mac = lab.start("mac", version="26.6", memory=8 * GIB)
        mac.run("sw_vers")

A lab made so ends with the process that made it, however that ends. `Lab.of_the_user()` is the one of the command line,
which lasts until its last Mac is taken down.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import disk, guest, releases, user_namespace
from .factory import base, cache
from .identity import Identity
from .mac import ANSWER_LIMIT, SimulatedMac, SimulatedMacError
from .network import Network
from .relay import same

REPOSITORY = Path(__file__).parents[2]
_PROGRAMS = {
    "iproute2": ("ip",),
    "util-linux": ("unshare", "nsenter", "setpriv"),
    "util-linux-extra": ("pivot_root",),  # up to Debian 13 in util-linux
    "openssh-server": ("sshd",),
    "openssh-client": ("ssh", "ssh-keygen"),
    "sudo": ("sudo",),
    "bash": ("bash",),
    "dash": ("dash",),
    "zsh": ("zsh",),
    "perl": ("perl", "shasum"),
    "curl": ("curl",),
    "lsof": ("lsof",),
    "original-awk": ("original-awk",),
    "nix-bin": ("nix", "nix-daemon"),
    "python3": ("python3",),
}


def _missing_packages() -> list[str]:
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    return [package for package, names in _PROGRAMS.items() if not all(shutil.which(name, path=path) for name in names)]


def enter_tier(command: list[str]) -> list[str]:
    """For a command line, before anything else: root stays, anybody else becomes `command` in a `user_namespace`.

    Returns only with what this machine lacks, as `requirements` does.
    """
    if os.geteuid() == 0:
        return requirements()
    packages = _missing_packages()
    missing = [f"Programs are missing: as root, apt-get install {' '.join(packages)}"] if packages else []
    missing += user_namespace.requirements()
    if not missing:
        try:
            user_namespace.enter(command, cache() / "labs/default")
        except user_namespace.RootlessError as error:
            missing.append(str(error))
    return missing


def requirements() -> list[str]:
    """What this process lacks for simulated Macs, a sentence each; empty when they can be started."""
    missing = []
    packages = _missing_packages()
    if packages:
        missing.append(f"Programs are missing: apt-get install {' '.join(packages)}")
    if os.geteuid() != 0:
        missing.append(
            "Only root starts simulated Macs, which an ordinary user is in a namespace of his own: run it with "
            "python -m tests.simulated_mac.rootless COMMAND, or with sudo"
        )
        missing += user_namespace.requirements()
    elif not packages:
        probe = ["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "mount", "--make-rprivate", "/"]
        done = subprocess.run(probe, capture_output=True, text=True)
        if done.returncode:
            missing.append(f"Linux does not let us make namespaces here: {done.stderr.strip()}")
        name = f"bfp{os.getpid() % 10**8}"
        done = subprocess.run(["ip", "link", "add", name, "type", "bridge"], capture_output=True, text=True)
        if done.returncode:
            missing.append(f"Linux does not let us make a network here: {done.stderr.strip()}")
        else:
            subprocess.run(["ip", "link", "del", name], check=True)
    return missing


class Lab:
    """A lab. `guest_directory` is what the Macs see as /.simulated-mac/guest: the images of the builder's guest.

    Whose Nix a Mac has, and whose its guest, is said when it starts, by version; otherwise both are the newest.
    """

    def __init__(self, *, guest_directory: Path | None = None, _directory: Path | None = None) -> None:
        self.owned = _directory is None
        self.directory = _directory or cache() / "labs" / secrets.token_hex(4)
        self.guest_directory = guest_directory or cache().parent / "guest"
        self.tier = "rootless" if user_namespace.inside() else "network"
        self.network = Network(-1)
        self.port = 0
        self.not_modelled: list[str] = []  # of Macs that were stopped
        self._lifeline: int | None = None

    @staticmethod
    def requirements() -> list[str]:
        return requirements()

    def left_out(self) -> list[str]:
        """What this lab does not have and another machine or user would, a sentence each, with the reason."""
        if self.tier == "network":
            return []
        said = [
            "Without root, the Macs' addresses exist only in a network namespace of this user's: from outside, ssh gets there "
            "with the lab's ssh_config, and pyinfra with `python -m tests.simulated_mac.rootless` before it.",
            "Without root, there are no loop devices: tests that cut the power of a real file system need root.",
        ]
        if Path("/dev/kvm").exists() and not os.access("/dev/kvm", os.R_OK | os.W_OK):
            said.append("The builder VM is emulated in software, because /dev/kvm may not be opened by this user.")
        return said

    @classmethod
    def of_the_user(cls) -> Self:
        """The lab of the command line, started if it is not there."""
        lab = cls(_directory=cache() / "labs" / "default")
        lab.open()
        return lab

    # Its life

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Start the keeper, or find the one that runs. Raises SimulatedMacError where that is not possible."""
        missing = requirements()
        if missing:
            raise SimulatedMacError("No simulated Mac can run here.\n" + "\n".join(missing))
        remove_dead_labs()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.guest_directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "opening.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _alive(self.directory):
                self._start_keeper()
        about = json.loads((self.directory / "lab.json").read_text())
        if self.tier == "rootless" and not same(str(about["keeper"]), "self"):
            raise SimulatedMacError(
                "The lab was started elsewhere at the same moment, in a namespace of its own: run it again."
            )
        self.network, self.port = Network(about["network"]), about["port"]
        key = self.directory / "key"
        if not key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", key], check=True)

    def _start_keeper(self) -> None:
        for stale in self.directory.glob("macs/*/leader"):
            stale.unlink()
        command = [sys.executable, "-m", "tests.simulated_mac.keeper", str(self.directory)]
        reading, writing = os.pipe()  # the keeper of a test reads from it until the test is gone
        with (self.directory / "keeper.log").open("ab") as log:
            keeper = subprocess.Popen(
                [*command, "--owned"] if self.owned else command,
                stdin=reading if self.owned else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                start_new_session=True, cwd=REPOSITORY,
            )  # fmt: skip
        os.close(reading)
        self._lifeline = writing
        if not self.owned:
            os.close(writing)
            self._lifeline = None
        assert keeper.stdout is not None
        line = keeper.stdout.readline()
        keeper.stdout.close()
        self._keeper = keeper
        reply = json.loads(line) if line else {"error": (self.directory / "keeper.log").read_text()[-2000:]}
        if "error" in reply:
            raise SimulatedMacError(f"The lab's keeper did not start: {reply['error']}")

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """A request to the keeper."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_LIMIT)
            connection.connect(str(self.directory / "keeper.socket"))
            connection.sendall((json.dumps(request) + "\n").encode())
            reply: dict[str, Any] = json.loads(connection.makefile("r").readline())
        if "error" in reply:
            raise SimulatedMacError(f"{request}: {reply['error']}")
        return reply

    def close(self) -> None:
        """End every Mac and the network, and wait until they are gone. An owned lab leaves nothing behind."""
        if not _alive(self.directory):
            return
        self.ask({"do": "end"})
        with (self.directory / "keeper.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
            self._keeper.wait()

    # Its Macs

    def macs(self) -> list[SimulatedMac]:
        """Every Mac of the lab, on or off."""
        return [SimulatedMac(self, path.parent.name) for path in sorted(self.directory.glob("macs/*/machine.json"))]

    def mac(self, name: str) -> SimulatedMac:
        """The Mac of that name."""
        found = [mac for mac in self.macs() if mac.name == name]
        if not found:
            names = ", ".join(mac.name for mac in self.macs()) or "none"
            raise SimulatedMacError(f"There is no simulated Mac {name}; there are: {names}")
        return found[0]

    def start(self, name: str = "mac", *, nix: str = "", guest_nix: str = "", **identity: Any) -> SimulatedMac:
        """A new Mac, on and greeting; `identity` as in identity.Identity. One of that name that is off is switched on.

        `nix` and `guest_nix` are the versions of its Nix and of its guest's, as `releases.release` takes them.
        """
        if not name or not name.replace("-", "").isalnum():
            raise ValueError(f"name: wanted letters, digits and hyphens, saw {name!r}")
        mac = SimulatedMac(self, name)
        if not (mac.machine / "made").exists():  # or its making was cut off
            self._number(mac, nix, guest_nix)
            (mac.machine / "identity.json").write_text(json.dumps(identity))
            self.make(mac)
        if not mac.on:
            mac.power_on()
        return mac

    def start_many(self, count: int, prefix: str = "mac", **identity: Any) -> list[SimulatedMac]:
        """Several new Macs: mac1, mac2, ..."""
        names = [f"{prefix}{number}" for number in range(1, count + 1)]
        with ThreadPoolExecutor(max_workers=4) as pool:
            return list(pool.map(lambda name: self.start(name, **identity), names))

    def _number(self, mac: SimulatedMac, nix: str, guest_nix: str) -> None:
        """Give a new Mac its number, and with it its address; and what it is made of."""
        release = releases.release(nix)
        images = guest.ensure(lambda line: None, releases.release(guest_nix)) if guest_nix else self.guest_directory
        with (self.directory / "opening.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            taken = {other.about["number"] for other in self.macs() if other.name != mac.name}
            number = next(number for number in range(1, 254) if number not in taken)
            mac.machine.mkdir(parents=True, exist_ok=True)
            about = {
                "name": mac.name, "number": number, "base": str(base(release)), "guest": str(images),
                "release": "" if release.own else str(release.root),
            }  # fmt: skip
            (mac.machine / "machine.json").write_text(json.dumps(about))

    def make(self, mac: SimulatedMac) -> None:
        """Give a Mac the disk that it leaves the factory with."""
        identity = Identity(**json.loads((mac.machine / "identity.json").read_text()))
        disk.remove(mac.disk)
        mac.disk.mkdir()
        disk.make(
            mac.disk, Path(mac.about["base"], "template"), mac.name, identity, (self.directory / "key.pub").read_text()
        )
        mac.make_state()
        (mac.machine / "made").touch()

    def forget(self, mac: SimulatedMac) -> None:
        """A Mac was thrown away; the lab of the command line ends with its last."""
        if not self.owned and not self.macs():
            self.close()
            disk.remove(self.directory)

    def unmodelled(self) -> list[str]:
        """What any Mac of this lab, stopped or not, was asked that no double models, since this was asked last."""
        found, self.not_modelled = self.not_modelled, []
        for mac in self.macs():
            found += [f"{mac.name}: {call}" for call in mac.unmodelled()]
            mac.forget_unmodelled()
        return found

    # Its web server

    def serve(self, path: str, data: bytes | Path, *, fault: str = "") -> str:
        """Put a file on the web server; its URL. `fault` is "404", "truncated" or "wrong"."""
        file = self.directory / "www" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data if isinstance(data, bytes) else data.read_bytes())
        faults = self.directory / "www-faults.json"
        listed = json.loads(faults.read_text()) if faults.exists() else {}
        faults.write_text(json.dumps({**listed, path: fault}))
        return f"{self.url}/{path}"

    @property
    def url(self) -> str:
        """The web server as the Macs reach it."""
        return f"http://{self.network.gateway}:{self.port}"

    def requests(self) -> list[dict[str, str]]:
        """What was fetched: from (address), host (which a proxy was asked for, else empty), path, fault."""
        log = self.directory / "requests.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def _alive(directory: Path) -> bool:
    """Whether a lab has a keeper, which holds a lock for as long as it lives."""
    lock = directory / "keeper.lock"
    if not lock.exists():
        return False
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def remove_dead_labs(besides: Iterable[str] = ("default",)) -> None:
    """Take away what is left of labs whose keeper was killed. Their processes died with it."""
    for directory in (cache() / "labs").glob("*"):
        if directory.name not in besides and (directory / "keeper.lock").exists() and not _alive(directory):
            disk.remove(directory)
