# SPDX-License-Identifier: GPL-3.0-or-later
"""A converged simulated Mac to measure, and the front end that made it so."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.harness import Pyinfra
from tests.simulated_mac import Lab, SimulatedMac
from tests.simulated_mac.desired import variables_for

from .table import say


class BenchmarkError(Exception):
    """A benchmark cannot be run here, or what it measured is not what it was meant to measure."""


@dataclass(frozen=True)
class ConvergedMac:
    """A simulated Mac whose builder works, and pyinfra's front end with the variables that hold for it."""

    mac: SimulatedMac
    pyinfra: Pyinfra


@contextmanager
def converged_mac() -> Iterator[ConvergedMac]:
    """Such a Mac, rolled out to from fresh. It is gone when the block ends. Raises BenchmarkError."""
    missing = Lab.requirements()
    if missing:
        raise BenchmarkError("no simulated Mac can run here. " + ". ".join(missing))
    with Lab() as lab, tempfile.TemporaryDirectory() as directory:
        variables = variables_for(lab, say)
        say("starting a simulated Mac and rolling out to it (some 20 seconds)")
        mac = lab.start("benchmark")
        pyinfra = Pyinfra(Path(directory), variables)
        run = pyinfra.run(mac)
        if run.code != 0:
            raise BenchmarkError(f"the rollout ended with exit code {run.code}, not 0:\n{run.output[-3000:]}")
        yield ConvergedMac(mac, pyinfra)
