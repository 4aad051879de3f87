# SPDX-License-Identifier: GPL-3.0-or-later
"""Enrolling simulated Macs over real ssh: each gets the groups that it belongs to, and nothing is written on it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from builderfleet.shared_inventory import InventoryHost, load

from tests.simulated_mac import Lab, SimulatedMac

from .harness import REPOSITORY, Run, read_run

MACS: dict[str, dict[str, Any]] = {
    "laptop": {},
    "desktop": {"battery": False, "version": "13.7", "hv_support": False},
    "intel": {"architecture": "x86_64", "battery": False},
    "asleep": {},
}


@dataclass(frozen=True)
class Fleet:
    """Macs, the ssh configuration that knows them, and the inventory that they are enrolled in."""

    macs: dict[str, SimulatedMac]
    ssh_config: Path
    inventory: Path

    def enroll(self, *words: str) -> Run:
        done = subprocess.run(
            [sys.executable, "-m", "builderfleet.cli", "enroll", f"--ssh-option=-F {self.ssh_config}",
             "--inventory", str(self.inventory), *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
        )  # fmt: skip
        return read_run(done.returncode, done.stdout)

    def hosts(self) -> dict[str, InventoryHost]:
        return {host.name: host for host in load([str(self.inventory)])}


@pytest.fixture(scope="module")
def fleet(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("enroll")
    shutil.copytree(REPOSITORY / "inventory", directory / "inventory")
    macs = {name: lab.start(name, **identity) for name, identity in MACS.items()}
    config = directory / "ssh_config"
    config.write_text("".join(mac.ssh_config.read_text() for mac in macs.values()))
    macs["asleep"].sleep()
    yield Fleet(macs, config, directory / "inventory/fleet.yml")
    macs["asleep"].wake()
    for mac in macs.values():
        mac.stop()


def test_dry_writes_nothing_anywhere(fleet: Fleet) -> None:
    before = fleet.inventory.read_bytes()
    marks = {name: mac.mark() for name, mac in fleet.macs.items() if name != "asleep"}
    run = fleet.enroll("laptop", "desktop", "--dry")
    assert (run.code, run.outcomes) == (2, {"laptop": "would change", "desktop": "would change"}), run.output
    assert fleet.inventory.read_bytes() == before
    assert sorted(path.name for path in fleet.inventory.parent.iterdir()) == ["fleet.yml", "group_vars"]
    assert all(fleet.macs[name].writes_since(mark) == [] for name, mark in marks.items())


def test_macs_are_enrolled_and_then_they_are_known(fleet: Fleet) -> None:
    before = {name: len(fleet.macs[name].commands()) for name in ("laptop", "desktop", "intel")}
    run = fleet.enroll(*MACS, "--user", "admin")
    assert run.outcomes == {"laptop": "changed", "desktop": "changed", "intel": "changed", "asleep": "unreachable"}
    assert run.code == 5, run.output
    assert {name: len(fleet.macs[name].commands()) - count for name, count in before.items()} == dict.fromkeys(
        before, 1
    )

    hosts = fleet.hosts()
    assert {name: set(host.groups) for name, host in hosts.items()} == {
        "laptop": {"macs", "laptops"},
        "desktop": {"macs", "desktops"},
        "intel": {"macs", "desktops", "intel"},
    }
    assert {host.connection["ssh_user"] for host in hosts.values()} == {"admin"}

    assert run.remarks["laptop"] == ("laptops: Apple silicon, macOS 26.6, 8 cores, 16GiB",)
    remarks = "\n".join(run.remarks["desktop"])
    assert "it has 13.7, and 14 is the oldest" in remarks
    assert "kern.hv_support is 0" in remarks
    assert "become" not in remarks, "it was asked without root, which is no shortcoming of the Mac"
    assert run.remarks["intel"][0] == "desktops, intel: Intel, macOS 26.6, 8 cores, 16GiB"

    written = fleet.inventory.read_text()
    rest = iter(written.splitlines())
    shipped = (REPOSITORY / "inventory/fleet.yml").read_text().splitlines()
    assert all(line in rest for line in shipped if line.strip() != "hosts: {}")

    again = fleet.enroll("laptop", "intel")
    assert (again.code, again.outcomes) == (0, {"laptop": "converged", "intel": "converged"}), again.output
    assert "in the inventory already" in again.output
    assert fleet.inventory.read_text() == written


def test_by_address_and_in_a_group_of_ones_own(fleet: Fleet) -> None:
    mac = fleet.macs["laptop"]
    way = f"-i {mac.key} -o UserKnownHostsFile={mac.machine / 'known_hosts'}"
    run = fleet.enroll(f"canary-1={mac.address}", "--user=admin", "--group=canary", f"--ssh-option={way}")
    assert (run.code, run.outcome) == (0, "changed"), run.output
    host = fleet.hosts()["canary-1"]
    assert set(host.groups) == {"macs", "canary"}
    assert host.connection == {"ssh_hostname": mac.address, "ssh_user": "admin"}


def test_a_key_that_is_not_let_in_is_a_failure(fleet: Fleet) -> None:
    mac = fleet.macs["laptop"]
    way = f"-i {mac.key} -o UserKnownHostsFile={mac.machine / 'known_hosts'} -o HostName={mac.address}"
    run = fleet.enroll("laptop-2", "--user", "nobody", f"--ssh-option={way}")
    assert (run.code, run.outcome) == (1, "failed"), run.output
    assert "Permission denied" in run.output
    assert "laptop-2" not in fleet.hosts()
