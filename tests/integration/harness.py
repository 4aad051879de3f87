# SPDX-License-Identifier: GPL-3.0-or-later
"""Rolling out to simulated Macs the way a user does, through either front end, and what came of it.

A scenario says what it does to Macs and what it expects; a front end says how the desired state gets there. So one
scenario can be run through each front end, and the ends compared.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from builderfleet.plugin_utils.report import AS

from tests.simulated_mac import SimulatedMac
from tests.simulated_mac.desired import write_inventory

REPOSITORY = Path(__file__).parents[2]
_OUTCOME = re.compile(
    r"^  (\S+) +(converged|changed|failed|would change|reboot needed|needs a person|unreachable|locked)\b ?(.*)$"
)


@dataclass(frozen=True)
class Run:
    """What a run printed, its exit code, and by Mac the word of its outcome and the lines beside it."""

    code: int
    output: str
    outcomes: Mapping[str, str]
    remarks: Mapping[str, tuple[str, ...]]

    def of(self, name: str) -> Run:
        """What came of one Mac of several. The code is still that of all of them."""
        return Run(self.code, self.output, {name: self.outcomes[name]}, {name: self.remarks[name]})

    @property
    def outcome(self) -> str:
        """The outcome of the only Mac."""
        (word,) = self.outcomes.values()
        return word

    @property
    def changes(self) -> tuple[str, ...]:
        """The changes of the only Mac."""
        (lines,) = self.remarks.values()
        return tuple(line.partition(": built on ")[0] for line in lines)


class FrontEnd:
    """One of the two doors: how a user rolls the project's desired state out, with what differs for simulated Macs."""

    name = ""

    def __init__(self, directory: Path, variables: Mapping[str, Any]) -> None:
        self.directory = directory
        self.inventory = directory / "inventory.yml"
        self.variables = dict(variables)
        self._runs = 0

    def beside(self) -> Self:
        """The same front end once more, with files of its own: for runs at the same time."""
        directory = self.directory / "beside"
        directory.mkdir()
        return type(self)(directory, self.variables)

    def command(self, dry: bool) -> list[str]:
        """What is typed."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def write_inventory(self, macs: Iterable[SimulatedMac], variables: Mapping[str, Any] | None = None) -> None:
        write_inventory(self.inventory, macs, {**self.variables, **(variables or {})})

    def run(self, *macs: SimulatedMac, dry: bool = False, timeout: float = 600, **variables: Any) -> Run:
        """Roll out and wait for the end."""
        self.write_inventory(macs, variables)
        return self.execute(self.command(dry), timeout=timeout)

    def execute(
        self, command: Sequence[str], *, timeout: float = 600, environment: Mapping[str, str] | None = None
    ) -> Run:
        """Run a command of this front end, and read the table that ends it."""
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env={**self.environment(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        return read_run(done.returncode, done.stdout)

    def start(self, *macs: SimulatedMac, **variables: Any) -> subprocess.Popen[str]:
        """Roll out, and do not wait."""
        self.write_inventory(macs, variables)
        return subprocess.Popen(
            self.command(dry=False),
            cwd=REPOSITORY,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


class Pyinfra(FrontEnd):
    """pyinfra, as ./rollout runs it: the project's own command, inventory and deploy."""

    name = "pyinfra"

    def command(self, dry: bool) -> list[str]:
        rollout = [sys.executable, "-m", "builderfleet.cli", "rollout", "inventory.py", "deploy.py"]
        return [*rollout, "--dry"] if dry else rollout

    def environment(self) -> dict[str, str]:
        inventory = f"inventory:{self.inventory}"
        return {**super().environment(), "BUILDERFLEET_INVENTORY": inventory, "PYINFRA_PROGRESS": "off"}


class Ansible(FrontEnd):
    """Ansible, as the README tells: the project's playbooks, its inventory and its ansible.cfg."""

    name = "Ansible"

    def command(self, dry: bool) -> list[str]:
        return self.playbook("drift" if dry else "rollout")

    def playbook(self, name: str, *arguments: str) -> list[str]:
        """One of the project's playbooks, on its inventory and the simulated Macs."""
        return [
            self.program("ansible-playbook"),
            "-i",
            "inventory",
            "-i",
            str(self.inventory),
            f"playbooks/{name}.yml",
            *arguments,
        ]

    @staticmethod
    def program(name: str) -> str:
        """One of Ansible's commands, of this environment."""
        return str(Path(sys.executable).with_name(name))

    def environment(self) -> dict[str, str]:
        # Connections of its own for each run: a Mac that lost its power meanwhile is another to ssh.
        self._runs += 1
        sockets = Path(tempfile.gettempdir()) / f"bf-{os.getpid()}-{self._runs}"
        return {**super().environment(), "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets)}


def writes_since(mac: SimulatedMac, mark: Any) -> list[str]:
    """What was written on a Mac since a mark, but for what its running guest writes to its own disk."""
    return [line for line in mac.writes_since(mark) if not line.endswith("/linux-builder/nixos.qcow2")]


def read_run(code: int, output: str) -> Run:
    """Read the table of outcomes that ends a run."""
    outcomes: dict[str, str] = {}
    remarks: dict[str, list[str]] = {}
    _, _, table = output.rpartition("\nOutcome\n")
    name = ""
    for line in table.splitlines():
        if match := _OUTCOME.match(line):
            name = match[1]
            outcomes[name] = match[2]
            said = match[3].strip()
            same = remarks.get(said.removeprefix(AS)) if said.startswith(AS) else None
            remarks[name] = same or ([said] if not said.startswith("no changes") else [])
        elif name and line.startswith("  ") and line.strip():
            remarks[name].append(line.strip())
    return Run(code, output, outcomes, {name: tuple(lines) for name, lines in remarks.items()})
