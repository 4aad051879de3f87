# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of ansible-playbook on replaying hosts: the role, or the ordinary modules, and what each run took.

Hosts share one directory that stands for a Mac's file system to the ordinary modules; their own playbook makes it.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen

from tests.integration.harness import REPOSITORY, read_run

from .macs import BenchmarkError
from .processes import Room, cpu_seconds
from .replayer import Replayer, end
from .table import say

ROLE, ORDINARY = "role", "ordinary modules"
PLAYBOOKS = {ROLE: "benchmarks/role.yml", ORDINARY: "benchmarks/ordinary/playbook.yml"}
_LIMIT = 3600
_RECAP = re.compile(r"^(\S+) +: ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+) ", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What one run took: seconds, seconds of CPU of the controller and of the hosts; and a host's connections and so on."""

    wall: float
    cpu: float
    hosts_cpu: float
    connections: float
    commands: float
    tasks: int


@dataclass(frozen=True)
class _Played:
    """A run of ansible-playbook: its exit code, what it printed, seconds, and seconds of CPU."""

    code: int
    output: str
    wall: float
    cpu: float

    @property
    def recap(self) -> Mapping[str, tuple[int, int, int, int]]:
        """By host: tasks, and how many of them changed something, found it unreachable, and failed."""
        found = _RECAP.findall(self.output)
        return {name: (int(ok), int(changed), int(away), int(failed)) for name, ok, changed, away, failed in found}

    def changed(self, hosts: int) -> bool | None:
        """Whether hosts have changed; None where not so many have been done, and done without a failure."""
        if self.code != 0 or len(self.recap) != hosts or any(each[2:] != (0, 0) for each in self.recap.values()):
            return None
        return any(each[1] for each in self.recap.values())


class Bench:
    """Replaying hosts, and how either side is run on them."""

    def __init__(self, replayer: Replayer) -> None:
        self.replayer = replayer
        self.mac = replayer.directory / "mac"
        self._runs = 0

    def prepare(self) -> None:
        """Have the ordinary modules converge what stands for a Mac. Raises BenchmarkError."""
        shutil.copytree(REPOSITORY / "benchmarks/ordinary/mac", self.mac)
        for directory in ("Library/LaunchDaemons", "etc/ssh/ssh_config.d"):  # every Mac has them
            (self.mac / directory).mkdir(parents=True)
        say("converging what the ordinary modules look after")
        with Room() as room:
            played = self._play(room, ORDINARY, 1, self._sockets())
        if played.changed(1) is not True:
            raise BenchmarkError(f"wanted ordinary modules that change a fresh Mac, saw:\n{played.output[-3000:]}")

    def measure(self, side: str, hosts: int, contacts: int) -> list[Run]:
        """So many runs over the same connections; to the first the hosts are new (cold), to later ones not (warm)."""
        sockets = self._sockets()
        with Room() as room:
            return [
                self._measure(room, side, hosts, sockets, connections=0 if run else hosts) for run in range(contacts)
            ]

    def _measure(self, room: Room, side: str, hosts: int, sockets: Path, *, connections: int) -> Run:
        before = self._counts()
        played = self._play(room, side, hosts, sockets)
        after = self._counts()
        logins, commands, hosts_cpu = (now - then for now, then in zip(after, before, strict=True))
        # More are none of this benchmark's business: while other hosts are busy, a connection can outlive ControlPersist.
        if played.changed(hosts) is not False or logins < connections:
            raise BenchmarkError(
                f"{side}: wanted {hosts} hosts on which nothing changes and nothing fails, and {connections} new "
                f"connections, saw {logins:.0f} and exit code {played.code}:\n{played.output[-3000:]}"
            )
        outcomes = list(read_run(played.code, played.output).outcomes.values())
        if side == ROLE and (outcomes != ["converged"] * hosts or (logins, commands) != (connections, hosts)):
            raise BenchmarkError(
                f"{side}: wanted {hosts} converged hosts, one command each and {connections} new connections, saw "
                f"{commands:.0f} commands, {logins:.0f} connections and {outcomes}:\n{played.output[-3000:]}"
            )
        tasks = max(each[0] for each in played.recap.values())
        return Run(played.wall, played.cpu, hosts_cpu, logins / hosts, commands / hosts, tasks)

    def _counts(self) -> tuple[float, float, float]:
        return self.replayer.logins(), self.replayer.commands(), cpu_seconds(self.replayer.leader)

    def _sockets(self) -> Path:
        """A directory for the sockets of new connections; short, for a socket's name has little room."""
        self._runs += 1
        return self.replayer.directory / str(self._runs)

    def _play(self, room: Room, side: str, hosts: int, sockets: Path) -> _Played:
        inventory = self.replayer.inventory(hosts)
        given = {"mac": str(self.mac), "builder_port": 22} if side == ORDINARY else {}
        command = [
            *room.enter, *self.replayer.enter, str(Path(sys.executable).with_name("ansible-playbook")),
            "-i", "inventory", "-i", str(inventory), PLAYBOOKS[side], "-e", json.dumps(given),
        ]  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment |= {
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
            "ANSIBLE_NOCOLOR": "1",
        }
        output = self.replayer.directory / "output"
        used = _cpu_of_children() + cpu_seconds(room.leader)
        with output.open("w") as file:
            began = time.monotonic()
            process = Popen(command, cwd=REPOSITORY, env=environment, stdin=DEVNULL, stdout=file, stderr=STDOUT)
            try:
                code = process.wait(_LIMIT)
            finally:
                wall = time.monotonic() - began
                end(process)
        used = _cpu_of_children() + cpu_seconds(room.leader) - used
        return _Played(code, output.read_text(), wall, used)


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
