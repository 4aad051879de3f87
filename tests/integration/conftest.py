# SPDX-License-Identifier: GPL-3.0-or-later
"""What the integration tests stand on: a lab, a stub nixpkgs and an installer that Macs get over its network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.simulated_mac import Lab, SimulatedMac
from tests.simulated_mac.desired import variables_for

from .harness import Ansible, FrontEnd, Pyinfra


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """One lab for all tests of this process; skipped with the reason where it cannot be had."""
    missing = Lab.requirements()
    if missing:
        pytest.skip("; ".join(missing))
    with Lab() as lab:
        yield lab


@pytest.fixture(autouse=True)
def no_double_was_asked_what_it_does_not_model(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test is about, a command that is wrong on a real Mac fails it."""
    lab = request.getfixturevalue("lab") if "lab" in request.fixturenames else None
    yield
    assert lab is None or lab.unmodelled() == []


@pytest.fixture(scope="session")
def variables(lab: Lab) -> dict[str, Any]:
    """The variables by which a simulated Mac differs from a real one."""
    return variables_for(lab)


@pytest.fixture(scope="session")
def pyinfra(variables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Pyinfra:
    return Pyinfra(tmp_path_factory.mktemp("pyinfra"), variables)


@pytest.fixture(scope="session")
def ansible(variables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Ansible:
    return Ansible(tmp_path_factory.mktemp("ansible"), variables)


@pytest.fixture(params=["pyinfra", "ansible"])
def door(request: pytest.FixtureRequest) -> FrontEnd:
    """Each of the two front ends, for what has to hold for both."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, FrontEnd)
    return found


@pytest.fixture(scope="module")
def alike() -> Callable[[str, object], None]:
    """Says of a scenario what came of it; it has to be the same each time, whichever the front end."""
    seen: dict[str, object] = {}

    def check(scenario: str, came: object) -> None:
        assert seen.setdefault(scenario, came) == came

    return check


@pytest.fixture(scope="session")
def converged_disk(lab: Lab, pyinfra: Pyinfra) -> Iterator[str]:
    """The name under which the disk of a Mac with a working builder is kept."""
    mac = lab.start("pattern")
    run = pyinfra.run(mac)
    assert run.outcome == "changed", run.output
    mac.save("converged")
    mac.stop()
    yield "converged"


@pytest.fixture(scope="module")
def converged(
    lab: Lab, pyinfra: Pyinfra, converged_disk: str, request: pytest.FixtureRequest
) -> Iterator[SimulatedMac]:
    """A Mac with a working builder, for the tests of one module, which leave it as they found it."""
    mac = lab.start(request.module.__name__.rsplit("_", 1)[-1])
    mac.restore(converged_disk)
    run = pyinfra.run(mac)
    assert run.code == 0, run.output
    yield mac
    mac.stop()
