# SPDX-License-Identifier: GPL-3.0-or-later
"""Rolling out to simulated Macs the way a user does, and what came of it.

A scenario says what it does to Macs and what it expects; a front end says how the desired state gets there. So one
scenario can be run through each front end, and the ends compared.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

    @property
    def outcome(self) -> str:
        """The outcome of the only Mac."""
        (word,) = self.outcomes.values()
        return word

    @property
    def changes(self) -> tuple[str, ...]:
        """The changes of the only Mac."""
        (lines,) = self.remarks.values()
        return lines


class Pyinfra:
    """The pyinfra front end, as ./rollout runs it: its own command, the project's inventory and deploy."""

    name = "pyinfra"

    def __init__(self, directory: Path, variables: Mapping[str, Any]) -> None:
        self.inventory = directory / "inventory.yml"
        self.variables = dict(variables)

    def command(self, macs: Iterable[SimulatedMac], variables: Mapping[str, Any], dry: bool) -> list[str]:
        write_inventory(self.inventory, macs, {**self.variables, **variables})
        return [
            sys.executable,
            "-m",
            "builderfleet.cli",
            "rollout",
            "inventory.py",
            "deploy.py",
            *(["--dry"] if dry else []),
        ]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "BUILDERFLEET_INVENTORY": f"inventory:{self.inventory}", "PYINFRA_PROGRESS": "off"}

    def run(self, *macs: SimulatedMac, dry: bool = False, timeout: float = 600, **variables: Any) -> Run:
        """Roll out and wait for the end."""
        done = subprocess.run(
            self.command(macs, variables, dry),
            cwd=REPOSITORY,
            env=self.environment(),
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
        return subprocess.Popen(
            self.command(macs, variables, dry=False),
            cwd=REPOSITORY,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


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
            remarks[name] = [match[3].strip()] if not match[3].strip().startswith("no changes") else []
        elif name and line.strip():
            remarks[name].append(line.strip())
    return Run(code, output, outcomes, {name: tuple(lines) for name, lines in remarks.items()})
