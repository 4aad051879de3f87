# SPDX-License-Identifier: GPL-3.0-or-later
"""Against what the contract is held: the real commands on macOS, a simulated Mac elsewhere."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator

import pytest

from tests.simulated_mac import Lab, SimulatedMac, requirements

ON_A_MAC = platform.system() == "Darwin"
MAY_CHANGE = not ON_A_MAC or os.environ.get("BUILDERFLEET_CONTRACT_MUTATE") == "1"


class Target:
    """Something that runs scripts as a Mac does."""

    def __init__(self, mac: SimulatedMac | None) -> None:
        self.mac = mac

    def run(self, script: str, *, root: bool) -> subprocess.CompletedProcess[str]:
        if self.mac is not None:
            return self.mac.run(script, user="root" if root else "admin", check=False)
        shell = ["sudo", "-n", "-H", "/bin/sh", "-s"] if root else ["/bin/sh", "-s"]
        return subprocess.run(shell, input=script, text=True, capture_output=True, timeout=120, check=False)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    missing = requirements()
    if missing:
        pytest.skip("no simulated Mac can run here: " + " ".join(missing))
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    if ON_A_MAC:
        return Target(None)
    lab: Lab = request.getfixturevalue("lab")
    return Target(lab.start("contract"))
