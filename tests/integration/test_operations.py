# SPDX-License-Identifier: GPL-3.0-or-later
"""Each pyinfra operation by itself, and the fact, with plain pyinfra: changes, then none, then taken back."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.simulated_mac import SimulatedMac

from .harness import REPOSITORY, Pyinfra

PARTS = {"key pair", "ssh host", "machine", "setting", "daemon"}


def pyinfra_json(pyinfra: Pyinfra, mac: SimulatedMac, *arguments: str) -> Any:
    """What plain pyinfra answers as JSON."""
    pyinfra.write_inventory([mac])
    done = subprocess.run(
        [sys.executable, "-m", "pyinfra", "--json", "inventory.py", *arguments],
        cwd=REPOSITORY,
        env=pyinfra.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def changed(pyinfra: Pyinfra, mac: SimulatedMac, **data: object) -> set[str]:
    """The operations of tests/integration/deploys/parts.py that changed the Mac; none may fail."""
    words = [word for name, value in data.items() for word in ("--data", f"{name}={json.dumps(value)}")]
    results = pyinfra_json(pyinfra, mac, "tests/integration/deploys/parts.py", "-y", *words)["results"]
    assert not results["failed_hosts"], results
    return {name for each in results["operations"] for name in each["names"] if mac.name in each["success"]}


def test_operations_change_then_do_not_then_take_back(converged: SimulatedMac, pyinfra: Pyinfra) -> None:
    before = converged.snapshot(ignore=("/nix/*", "/private/var/lib/builderfleet*"))
    assert changed(pyinfra, converged) == PARTS
    assert converged.run("ssh -G big-builder | grep '^hostname '").stdout == "hostname 192.0.2.7\n"
    job = converged.job("org.example.parts")
    assert job is not None

    spawned = converged.spawns("org.example.parts")
    assert changed(pyinfra, converged) == set()
    assert converged.spawns("org.example.parts") == spawned

    assert changed(pyinfra, converged, parts_colour="blue") == {"daemon"}
    assert converged.spawns("org.example.parts") == spawned + 1

    assert changed(pyinfra, converged, parts_present=False) == PARTS
    after = converged.snapshot(ignore=("/nix/*", "/private/var/lib/builderfleet*"))
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} == set()


def test_of_several_operations_the_worst_counts(converged: SimulatedMac, pyinfra: Pyinfra) -> None:
    """In the project's own command: the first of them would change something, those after it nothing."""
    pyinfra.write_inventory([converged])
    words = ["inventory.py", "tests/integration/deploys/parts.py"]
    command = [sys.executable, "-m", "builderfleet.cli", "rollout", *words]
    assert pyinfra.execute(command).outcome == "changed"
    converged.run("rm /etc/nix/parts_key /etc/nix/parts_key.pub")
    dry = pyinfra.execute([*command, "--dry"])
    assert (dry.outcome, dry.code, dry.changes) == ("would change", 2, ("make SSH key pair /etc/nix/parts_key",)), (
        dry.output
    )
    assert pyinfra.execute(command).outcome == "changed"
    again = pyinfra.execute(command)
    assert (again.outcome, again.code) == ("converged", 0), again.output
    assert pyinfra.execute([*command, "--data", "parts_present=false"]).outcome == "changed"
    wrong = pyinfra.execute([sys.executable, "-m", "builderfleet.cli", "rollout", "inventory.py", "--dry"])
    assert wrong.code == 1 and "No Mac was asked anything" in wrong.output, wrong.output


def test_a_build_by_itself(converged: SimulatedMac, pyinfra: Pyinfra) -> None:
    changed(pyinfra, converged, parts_present=False)
    assert changed(pyinfra, converged, parts_present=False, parts_build="first") == {"build"}
    assert changed(pyinfra, converged, parts_present=False, parts_build="first") == set()
    assert changed(pyinfra, converged, parts_present=False, parts_build="second") == {"build"}


def test_the_fact_says_what_would_have_to_happen(converged: SimulatedMac, pyinfra: Pyinfra) -> None:
    pyinfra.run(converged)
    arguments = ("fact", "builderfleet.facts.LinuxBuilder", "--sudo")
    (facts,) = pyinfra_json(pyinfra, converged, *arguments).values()
    assert facts[converged.name]["outcome"] == "converged"
    converged.run("rm /etc/nix/machines")
    (facts,) = pyinfra_json(pyinfra, converged, *arguments).values()
    assert facts[converged.name]["outcome"] == "would change"
    assert "register ssh-ng://builder@builderfleet in /etc/nix/machines" in facts[converged.name]["steps"]
    pyinfra.run(converged)
    without_sudo = pyinfra.execute([sys.executable, "-m", "pyinfra", "inventory.py", *arguments[:2]])
    assert "Use sudo" in without_sudo.output and "would change" not in without_sudo.output, without_sudo.output
