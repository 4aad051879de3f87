# SPDX-License-Identifier: GPL-3.0-or-later
"""One simulated Mac, as tests and the command line hold it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import disk, faults, guest_memory, snapshot
from .doubles.jobs import DEFAULT_PATH

if TYPE_CHECKING:
    from .lab import Lab

LOGS = ("calls.jsonl", "unmodelled.jsonl", "jobs.jsonl")
START_LIMIT = 60.0  # seconds
ANSWER_LIMIT = 60.0  # a machine under load is slow; one that hangs is to be seen
SETTLE_LIMIT = 3.0


class SimulatedMacError(Exception):
    """Something that was asked of a simulated Mac did not happen; the text says what was seen."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a double."""

    argv: tuple[str, ...]
    uid: int
    status: int


Mark = dict[str, snapshot.Entry]


class SimulatedMac:
    """A Mac in a lab. Made by `Lab.start`; every path is the Mac's own unless it says `host`."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab, self.name = lab, name
        self.machine = lab.directory / "macs" / name
        self.disk = self.machine / "disk"
        self.state = self.machine / "state"

    def __repr__(self) -> str:
        return f"<simulated Mac {self.name} at {self.address}>"

    # Where it is

    @property
    def about(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.machine / "machine.json").read_text())
        return loaded

    @property
    def address(self) -> str:
        return self.lab.network.address(self.about["number"])

    @property
    def ssh_config(self) -> Path:
        """A file for `ssh -F`, in which the Mac's name is the host's alias."""
        return self.machine / "ssh_config"

    @property
    def key(self) -> Path:
        """The private key with which `admin` logs in."""
        return self.lab.directory / "key"

    @property
    def leader(self) -> int:
        """The host's PID of the Mac's PID 1."""
        try:
            return int((self.machine / "leader").read_text())
        except FileNotFoundError:
            raise SimulatedMacError(f"{self.name} is off; switch it on with power_on()") from None

    @property
    def root(self) -> Path:
        """The Mac's / as the host's root sees it. Absolute links in it lead to the host: prefer read() and write()."""
        return Path(f"/proc/{self.leader}/root")

    @property
    def on(self) -> bool:
        return (self.machine / "leader").exists() and Path(f"/proc/{self.leader}/root").exists()

    # Doing things on it, not through ssh

    def run(
        self, script: str, *, user: str = "root", check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a script with the Mac's /bin/sh. Raises SimulatedMacError on another status than 0 if `check`."""
        command = [*self.enter(user), "/bin/sh", "-s"]
        environment = self.environment(user)
        done = subprocess.run(
            command,
            input=script,
            text=True,
            errors="replace",
            capture_output=True,
            timeout=timeout,
            env=environment,
            check=False,
        )
        if check and done.returncode:
            raise SimulatedMacError(
                f"{self.name}: a script of {user} ended with status {done.returncode}\n{script}\n{done.stdout}{done.stderr}"
            )
        return done

    @staticmethod
    def environment(user: str) -> dict[str, str]:
        """What a session of that user begins with."""
        home = "/var/root" if user == "root" else f"/Users/{user}"
        return {"PATH": DEFAULT_PATH, "HOME": home, "USER": user, "LOGNAME": user, "SHELL": "/bin/sh"}

    def enter(self, user: str) -> list[str]:
        """The command that runs another one on the Mac, from the host and not through ssh."""
        # nsenter's own path, because PATH is already the Mac's.
        enter = ["/usr/bin/nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "--root", "--wdns=/"]
        become = ["/.simulated-mac/debian/usr/bin/setpriv", "--reuid", user, "--init-groups"]
        return enter if user == "root" else [*enter, *become, "--regid", "20"]

    def host_path(self, path: str) -> Path:
        """Where on the host a path of the Mac is, links of the Mac resolved. Works while the Mac is off, but for /nix."""
        clean = os.path.normpath(path)
        for link in ("/etc", "/var", "/tmp"):
            if clean == link or clean.startswith(f"{link}/"):
                clean = "/private" + clean
        if clean == "/nix" or clean.startswith("/nix/"):
            return self.root / clean.lstrip("/")
        return self.disk / clean.lstrip("/")

    def read(self, path: str) -> bytes:
        """The bytes of a file."""
        return self.host_path(path).read_bytes()

    def write(self, path: str, data: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        """Write a file, and the directories above it if they are missing."""
        host = self.host_path(path)
        host.parent.mkdir(parents=True, exist_ok=True)
        host.write_bytes(data)
        os.chown(host, uid, gid)
        host.chmod(mode)

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.host_path(path))

    # What it is like

    def snapshot(self, *, ignore: Iterable[str] = ()) -> dict[str, snapshot.Entry]:
        """What is on the disk and in the directory service. What is left out stands in snapshot.py; `ignore` adds patterns."""
        return snapshot.snapshot(self.disk, ignore)

    def mark(self) -> Mark:
        """A point in time, for writes_since()."""
        return snapshot.mark(self.disk)

    def writes_since(self, mark: Mark) -> list[str]:
        """Every file that was created, changed (its metadata too), replaced or removed since; empty if none was."""
        return snapshot.writes(mark, snapshot.mark(self.disk))

    # What has happened

    def commands(self) -> list[str]:
        """The sessions that sshd has opened since boot, one per command: "command", "shell on pts/0", "subsystem 'sftp'"."""
        log = self.state / "sshd.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return [line.split("Starting session: ")[1].strip() for line in lines if "Starting session: " in line]

    def logins(self) -> int:
        """The connections that sshd has let in since boot."""
        return (self.state / "sshd.log").read_text(errors="replace").count("Accepted publickey for ")

    def calls(self, command: str | None = None) -> list[Call]:
        """The calls of doubles since the factory, of all or of one command."""
        records = self._log("calls.jsonl")
        made = [Call(tuple(record["argv"]), record["uid"], record["status"]) for record in records]
        return [call for call in made if command in (None, call.argv[0])]

    def unmodelled(self) -> list[str]:
        """What was called that no double models, with the reason. A test in which this is not empty has failed."""
        return [f"{' '.join(record['argv'])}: {record['why']}" for record in self._log("unmodelled.jsonl")]

    def forget_unmodelled(self) -> None:
        """For tests of the doubles themselves, which make such calls on purpose."""
        os.truncate(self.state / "unmodelled.jsonl", 0)

    def spawns(self, label: str) -> int:
        """How many processes launchd has started for a job since the factory, reboots included."""
        return sum(record["label"] == label and record["event"] == "spawn" for record in self._log("jobs.jsonl"))

    def _log(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.state / name).read_text().splitlines()]

    def job(self, label: str) -> dict[str, Any] | None:
        """launchd's view of a job: state, pid, runs, path, program, arguments; None when it is not loaded."""
        return next((job for job in self._launchd([" jobs"]) if job["label"] == label), None)

    def _launchd(self, words: list[str]) -> Any:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_LIMIT)
            connection.connect(f"/proc/{self.leader}/root/.simulated-mac/run/launchd")
            connection.sendall((json.dumps(words) + "\n").encode())
            status, text = json.loads(connection.makefile("r").readline())
        if status:
            raise SimulatedMacError(f"{self.name}: launchd answered {words} with {status}: {text}")
        return json.loads(text)

    # The world behind the doubles

    @property
    def world(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.disk / "world/world.json").read_text())
        return loaded

    @contextlib.contextmanager
    def changing_world(self) -> Iterator[dict[str, Any]]:
        """The world state, to change: written back when the block ends."""
        path = self.disk / "world/world.json"
        with (self.disk / "world/lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            world = json.loads(path.read_text())
            yield world
            beside = path.with_name(".world.json.new")
            beside.write_text(json.dumps(world, indent=1) + "\n")
            beside.rename(path)

    def break_(self, fault: str, value: object = True) -> None:
        """Switch a fault on. faults.py has them all, each with what it does."""
        faults.find(fault).on(self, value)

    def mend(self, fault: str) -> None:
        """Switch a fault off."""
        faults.find(fault).off(self)

    # Power

    def power_on(self) -> None:
        """Switch it on; wait until sshd greets and what runs once at boot has run."""
        (self.state / "sshd.log").unlink(missing_ok=True)
        self._write_ssh_config()
        self.lab.ask({"do": "power on", "name": self.name})
        self._wait_for_ssh()
        self._settle()

    def power_cut(self) -> None:
        """Everything ends at once; the disk stays."""
        self.lab.ask({"do": "power cut", "name": self.name})
        with self.changing_world() as world:
            for volume in world["volumes"].values():
                volume["mount_point"] = ""

    def shut_down(self) -> None:
        """In order: launchd asks every job to end, then the power goes."""
        if not self.on:
            return
        leader = self.leader
        self._launchd([" shut down"])
        deadline = time.monotonic() + 120
        while Path(f"/proc/{leader}/ns/pid").exists():
            if time.monotonic() > deadline:
                raise SimulatedMacError(f"{self.name} did not shut down in 120 s; {self.state} has what its jobs did")
            time.sleep(0.01)
        self.power_cut()

    def reboot(self) -> None:
        """Shut down in order and switch on again."""
        self.shut_down()
        self.power_on()

    def sleep(self) -> None:
        """The lid is closed: sshd answers nobody, and the network card is off."""
        self._signal_sshd(signal.SIGSTOP)
        self.lab.ask({"do": "link", "name": self.name, "up": False})

    def wake(self) -> None:
        self.lab.ask({"do": "link", "name": self.name, "up": True})
        self._signal_sshd(signal.SIGCONT)
        self._wait_for_ssh()

    def _signal_sshd(self, number: signal.Signals) -> None:
        inside = f"/.simulated-mac/debian/usr/bin/pkill -{number.value} -x sshd"
        self.run(inside)

    def _wait_for_ssh(self) -> None:
        deadline = time.monotonic() + START_LIMIT
        seen = "nothing"
        while time.monotonic() < deadline and self.on:
            try:
                with socket.create_connection((self.address, 22), timeout=1) as connection:
                    greeting = connection.recv(64)
                    if greeting.startswith(b"SSH-"):
                        return
                    seen = repr(greeting)
            except OSError as error:
                seen = str(error)
            time.sleep(0.01)
        log = self.state / "boot.log"
        raise SimulatedMacError(
            f"{self.name} ({self.address}) did not greet as SSH does in {START_LIMIT:.0f} s, or died; last seen: {seen}\n"
            f"{log.read_text()[-2000:] if log.exists() else ''}"
        )

    def _settle(self) -> None:
        """Give what runs once at boot (the mount of /nix) a moment, so that tests need not; some of it may wait for ever."""
        deadline = time.monotonic() + SETTLE_LIMIT
        waiting = ("running", "spawn scheduled")
        while time.monotonic() < deadline:
            if not any(job["state"] in waiting and not job["keep_alive"] for job in self._launchd([" jobs"])):
                return
            time.sleep(0.02)

    def _write_ssh_config(self) -> None:
        public = (self.disk / "private/etc/ssh/ssh_host_ed25519_key.pub").read_text()
        known = self.machine / "known_hosts"
        known.write_text(f"{self.address} {public}")
        way = ""
        if self.lab.tier == "rootless":
            relay = Path(__file__).with_name("relay.py")
            words = shlex.join(["/usr/bin/python3", "-IS", str(relay), str(self.lab.directory)]).replace("%", "%%")
            way = f"  ProxyCommand {words} %h %p\n"
        self.ssh_config.write_text(
            f"Host {self.name}\n  HostName {self.address}\n  User admin\n  IdentityFile {self.key}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {known}\n  StrictHostKeyChecking yes\n{way}"
        )

    # The disk

    def save(self, name: str) -> None:
        """Copy the whole disk under a name of the lab's, with the memory of the builder VM if one runs.

        The Mac is switched off for it and on again: in order, but where the VM is to go on, which then stands still.
        """
        was_on = self.on
        if was_on and guest_memory.keep(self):
            self.power_cut()
        self.shut_down()
        saved = self.lab.directory / "saved" / name
        saved.parent.mkdir(exist_ok=True)
        disk.copy(self.disk, saved)
        if was_on:
            self._power_on_with_guest()

    def restore(self, name: str) -> None:
        """Put a saved disk, of this Mac or another of the lab, in place of its own. It is on afterwards."""
        self._off()
        disk.copy(self.lab.directory / "saved" / name, self.disk)
        disk.rename(self.disk, self.name)
        self._power_on_with_guest()

    def _power_on_with_guest(self) -> None:
        has_guest = guest_memory.kept(self)
        self.power_on()
        if has_guest:
            guest_memory.wake(self)

    def reset(self) -> None:
        """Back to the factory: nothing stays. It is on afterwards."""
        self._off()
        disk.remove(self.disk)
        self.lab.make(self)
        self.power_on()

    def stop(self) -> None:
        """Switch it off and throw it away."""
        self._off()
        self.lab.not_modelled += [f"{self.name}: {call}" for call in self.unmodelled()]
        disk.remove(self.machine)
        self.lab.forget(self)

    def _off(self) -> None:
        for fault in faults.FAULTS.values():
            fault.before_off(self)
        self.power_cut()

    def make_state(self) -> None:
        """Empty logs, to which any user may append."""
        shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir(parents=True)
        self.state.chmod(0o755)
        for name in LOGS:
            (self.state / name).touch()
            (self.state / name).chmod(0o666)
