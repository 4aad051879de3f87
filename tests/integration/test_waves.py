# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts in waves over a fleet of twelve: Macs that sleep, fail, go away, are locked, or want a password for sudo.

What is rolled out is that there is no builder, to Macs that have a line of one: a change that needs neither Nix nor a
VM, so that the fleet is small enough for this machine. Everything around it is as it is for any other change.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from tests.simulated_mac import Lab, SimulatedMac

from .harness import Ansible, FrontEnd, Pyinfra, Run, read_run
from .test_fleet import HOLD_THE_LOCK, free

ABSENT: dict[str, Any] = {"linux_builder_state": "absent"}
LINE = b"ssh-ng://builder@builderfleet aarch64-linux - 4\n"
CHANGE = "take ssh-ng://builder@builderfleet out of /etc/nix/machines"
COUNT = 12
SECRET = "s3same-open"


class Fleet:
    """Twelve Macs, the first of them the canary, and Ansible's front end on them."""

    def __init__(self, macs: Sequence[SimulatedMac], ansible: Ansible) -> None:
        self.macs, self.ansible = list(macs), ansible
        self.canary, *self.others = self.macs

    def drift(self) -> None:
        for mac in self.macs:
            if not mac.on:
                mac.power_on()
            mac.wake()
            mac.run("mkdir -p /etc/nix")
            mac.write("/etc/nix/machines", LINE)

    def inventory(self, **of_one: dict[str, Any]) -> None:
        """The inventory with the canary in its group; `of_one` are variables of single Macs, `_` for `-` in names."""
        self.ansible.write_inventory(self.macs, ABSENT)
        inventory = yaml.safe_load(self.ansible.inventory.read_text())
        inventory["macs"]["children"] = {"canary": {"hosts": {self.canary.name: {}}}}
        for name, variables in of_one.items():
            inventory["macs"]["hosts"][name.replace("_", "-")] |= variables
        self.ansible.inventory.write_text(yaml.safe_dump(inventory))

    def command(self, playbook: str = "rollout", waves: Sequence[object] = (3, "100%")) -> list[str]:
        return self.ansible.playbook(playbook, "-e", json.dumps({"rollout_waves": list(waves)}))

    def run(self, playbook: str = "rollout", waves: Sequence[object] = (3, "100%"), **environment: str) -> Run:
        return self.ansible.execute(self.command(playbook, waves), environment=environment)

    def changed(self) -> set[str]:
        """The Macs on which the change was made."""
        return {mac.name for mac in self.macs if mac.on and not (mac.exists("/etc/nix/machines") and _line(mac))}


def _line(mac: SimulatedMac) -> bool:
    return LINE in mac.read("/etc/nix/machines")


@contextmanager
def failing(mac: SimulatedMac) -> Iterator[None]:
    """A Mac on which the change fails, and nothing shows it before."""
    mac.run("chmod 0755 /etc/nix; mkdir -p /etc/nix/.machines.builderfleet-new/in-the-way")
    yield
    mac.run("rm -r /etc/nix/.machines.builderfleet-new")


@pytest.fixture(scope="module")
def all_macs(lab: Lab, ansible: Ansible) -> Iterator[Fleet]:
    fleet = Fleet(lab.start_many(COUNT, "wave-"), ansible)
    yield fleet
    for mac in fleet.macs:
        mac.wake()
        mac.stop()


@pytest.fixture
def fleet(all_macs: Fleet) -> Fleet:
    """Every Mac awake and with something to do."""
    all_macs.drift()
    all_macs.inventory()
    return all_macs


def names(macs: Sequence[SimulatedMac]) -> set[str]:
    return {mac.name for mac in macs}


def test_a_sleeping_canary_stops_nothing_and_is_done_by_the_next_run(fleet: Fleet) -> None:
    fleet.canary.sleep()
    run = fleet.run()
    assert run.code == 5, run.output
    assert run.outcomes[fleet.canary.name] == "unreachable", run.output
    assert {run.outcomes[mac.name] for mac in fleet.others} == {"changed"}, run.output
    fleet.canary.wake()
    commands = {mac.name: len(mac.commands()) for mac in fleet.others}
    again = fleet.run()
    assert again.code == 0 and again.outcomes[fleet.canary.name] == "changed", again.output
    assert {again.outcomes[mac.name] for mac in fleet.others} == {"converged"}, again.output
    assert {len(mac.commands()) - commands[mac.name] for mac in fleet.others} == {1}


def test_the_canary_is_done_before_anybody_else_is_touched(fleet: Fleet) -> None:
    """Whatever the strategy that somebody has set for his own playbooks."""
    with failing(fleet.canary):
        run = fleet.run(ANSIBLE_STRATEGY="free")
    assert run.code == 1, run.output
    assert run.outcomes[fleet.canary.name] == "failed" and CHANGE in run.output, run.output
    assert fleet.changed() == set()
    # Those that were not reached are named all the same, with what they would get.
    assert {run.outcomes[mac.name] for mac in fleet.others} == {"would change"}, run.output
    stopped = f"not done: the rollout stopped when {fleet.canary.name} failed"
    assert {run.remarks[mac.name] for mac in fleet.others} == {(stopped, CHANGE)}, run.output
    assert f"--limit 'all:!{fleet.canary.name}'" in run.output


def test_a_wave_that_fails_is_the_last(fleet: Fleet) -> None:
    """But a Mac that fails when it is asked, before any change, holds up nobody."""
    *first, last = sorted(names(fleet.others))[:4]
    bad, rubbish = (next(mac for mac in fleet.others if mac.name == name) for name in (first[1], last))
    rubbish.break_("sshd-rubbish")
    with failing(bad):
        run = fleet.run(waves=[3, 3, "100%"])
    assert run.code == 1, run.output
    assert {run.outcomes[bad.name], run.outcomes[rubbish.name]} == {"failed"}, run.output
    # Its wave is finished, and none comes after it.
    assert fleet.changed() == {fleet.canary.name, *first} - {bad.name}
    left = names(fleet.others) - {*first, rubbish.name}
    assert {run.remarks[name][0] for name in left} == {f"not done: the rollout stopped when {bad.name} failed"}
    again = fleet.run(waves=[3, 3, "100%"])
    rubbish.mend("sshd-rubbish")
    assert again.code == 1 and "wanted the whole of" in again.output, again.output
    assert fleet.changed() == names(fleet.macs) - {rubbish.name} and "not done" not in again.output
    assert again.outcomes[fleet.canary.name] == "converged"


def _act_when(command: Sequence[str], door: FrontEnd, said: str, act: Callable[[subprocess.Popen[str]], None]) -> Run:
    """Run a command, and do something at the moment when it says something."""
    run = subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        env=door.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert run.stdout is not None
    output = []
    for line in run.stdout:
        output.append(line)
        if said in line:
            act(run)
            said = "\0"
    return read_run(run.wait(120), "".join(output))


def test_a_wave_that_fell_asleep_does_not_stop_the_rollout(fleet: Fleet) -> None:
    """All of one wave went to sleep after they were asked, while the wave before was at work."""
    order = sorted(names(fleet.others))
    second = [mac for mac in fleet.others if mac.name in order[1:3]]

    def sleep(run: subprocess.Popen[str]) -> None:
        for mac in second:
            mac.power_cut()

    run = _act_when(fleet.command(waves=[1, 2, "100%"]), fleet.ansible, f"[{order[0]}] {CHANGE}", sleep)
    assert run.code == 5, run.output
    assert {run.outcomes[mac.name] for mac in second} == {"unreachable"}, run.output
    assert fleet.changed() == names(fleet.macs) - names(second)


def test_a_mac_that_goes_away_in_the_middle_of_its_change(fleet: Fleet) -> None:
    gone = fleet.others[0]
    gone.run(HOLD_THE_LOCK)  # so that its change waits
    run = _act_when(fleet.command(), fleet.ansible, f"[{gone.name}] {CHANGE}", lambda run: gone.power_cut())
    assert run.code == 5, run.output
    assert run.outcomes[gone.name] == "unreachable", run.output
    assert fleet.changed() == names(fleet.macs) - {gone.name}
    gone.power_on()
    again = fleet.run()
    assert again.code == 0 and again.outcomes[gone.name] == "changed", again.output


def test_a_lid_that_is_closed_in_the_middle_of_a_change(fleet: Fleet, pyinfra: Pyinfra) -> None:
    """Nothing comes back and nothing is refused: only that nobody answers for a minute shows it, through either front end."""
    first, second = fleet.others[:2]
    for mac in (first, second):
        mac.run(HOLD_THE_LOCK)
    pyinfra.write_inventory([first], ABSENT)

    def run_until_the_lid_is_closed(mac: SimulatedMac, door: FrontEnd, command: Sequence[str]) -> Run:
        return _act_when(command, door, f"[{mac.name}] {CHANGE}", lambda run: mac.sleep())

    with ThreadPoolExecutor() as pool:
        one = pool.submit(run_until_the_lid_is_closed, first, pyinfra, pyinfra.command(dry=False))
        alone = [*fleet.command(), "--limit", second.name]
        other = pool.submit(run_until_the_lid_is_closed, second, fleet.ansible, alone)
    for mac, run in ((first, one.result()), (second, other.result())):
        mac.wake()
        free(mac)
        assert (run.outcome, run.code) == ("unreachable", 5), run.output


def test_an_interrupted_rollout_goes_on_where_it_was(fleet: Fleet) -> None:
    order = sorted(names(fleet.others))
    held = next(mac for mac in fleet.others if mac.name == order[3])
    held.run(HOLD_THE_LOCK)
    commands = len(held.commands())

    def interrupt(run: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + 30
        while len(held.commands()) < commands + 3:  # it was asked twice, and is being changed
            assert time.monotonic() < deadline, held.commands()
            time.sleep(0.02)
        os.killpg(run.pid, signal.SIGINT)

    run = _act_when(fleet.command(waves=[1]), fleet.ansible, f"[{held.name}] {CHANGE}", interrupt)
    free(held)
    assert run.code == 99, run.output  # Ansible's own
    done = fleet.changed()
    assert done == {fleet.canary.name, *order[:3]}
    before = {mac.name: len(mac.commands()) for mac in fleet.macs}
    again = fleet.run()
    assert again.code == 0 and fleet.changed() == names(fleet.macs), again.output
    for mac in fleet.macs:
        if mac.name in done:
            assert again.outcomes[mac.name] == "converged"
            assert len(mac.commands()) - before[mac.name] == 1


def test_a_mac_that_needs_a_person_or_is_locked_stops_no_wave(fleet: Fleet) -> None:
    toml, locked = fleet.others[0], fleet.others[1]
    toml.write("/etc/nix/machines", b"version = 1\n[machines.x]\nuri = 'ssh-ng://builder@builderfleet'\n")
    toml.run("mkdir -p /var/lib/builderfleet; mv /etc/nix/machines /etc/nix/m; ln -s /etc/nix/m /etc/nix/machines")
    locked.run(HOLD_THE_LOCK)
    run = fleet.run()
    toml.run("rm -rf /etc/nix/machines /etc/nix/m /var/lib/builderfleet")
    assert run.outcomes[locked.name] == "locked", run.output
    assert "somebody@elsewhere" in "\n".join(run.remarks[locked.name])
    assert run.code == 6, run.output
    assert names(fleet.others[2:]) <= fleet.changed()
    free(locked)


def test_two_controllers_at_once(fleet: Fleet, pyinfra: Pyinfra) -> None:
    """pyinfra and Ansible roll out to the same Macs at the same moment: each change is made once, and nobody is confused."""
    pyinfra.write_inventory(fleet.macs, ABSENT)
    other = pyinfra.start(*fleet.macs, **ABSENT)
    run = fleet.run(waves=["100%"])
    said, _ = other.communicate(timeout=300)
    both = read_run(other.returncode, said)
    assert run.code in (0, 6) and both.code in (0, 6), (run.output, said)
    for name in names(fleet.macs):
        assert {run.outcomes[name], both.outcomes[name]} <= {"changed", "converged", "locked"}
        assert "changed" in (run.outcomes[name], both.outcomes[name])
    assert fleet.changed() == names(fleet.macs)


def test_the_other_controller_is_named(fleet: Fleet, pyinfra: Pyinfra) -> None:
    """A lock that pyinfra holds is one that Ansible sees, and says whose it is."""
    mac = fleet.others[0]
    mac.run(HOLD_THE_LOCK.replace("somebody\\@elsewhere", "anna\\@studio (pyinfra, pid 4711)"))
    run = fleet.ansible.execute([*fleet.command(), "--limit", mac.name])
    free(mac)
    assert (run.outcome, run.code) == ("locked", 6), run.output
    assert "locked by anna@studio (pyinfra, pid 4711)" in run.output


def test_a_lock_that_pyinfra_holds_is_named_or_waited_for(lab: Lab, pyinfra: Pyinfra, ansible: Ansible) -> None:
    """A real rollout of pyinfra's is at work, for longer than anybody waits, when Ansible wants the same Mac."""
    mac = lab.start("contended")
    first = pyinfra.start(mac)
    assert first.stdout is not None
    said = []
    for line in first.stdout:
        said.append(line)
        if f"[{mac.name}] install Nix" in line:
            break
    run = ansible.run(mac)
    said += first.stdout.readlines()
    first.wait(120)
    assert "changed" in "".join(said).rpartition("Outcome")[2], "".join(said)
    assert run.outcome in ("locked", "changed", "converged"), run.output
    if run.outcome == "locked":
        assert f"(pyinfra, pid {first.pid})" in run.output and "waited 20 seconds for it" in run.output
    last = ansible.run(mac)
    assert last.outcome == "converged", last.output
    mac.stop()


@pytest.mark.parametrize(
    ("password", "outcome", "words"),
    [(SECRET, "changed", CHANGE), ("wr0ng-sesame", "failed", "Incorrect sudo password"), (None, "failed", "sudo")],
    ids=["right", "wrong", "none"],
)
def test_sudo_with_a_password(fleet: Fleet, pyinfra: Pyinfra, password: str | None, outcome: str, words: str) -> None:
    mac = fleet.others[0]
    mac.break_("sudo-password", SECRET)
    try:
        # Through pyinfra first, which changes nothing here: the same password, the same outcome.
        given: dict[str, Any] = {"ansible_become_password": password} if password else {}
        other = pyinfra.run(mac, dry=True, **{**ABSENT, **given})
        assert other.outcome == ("would change" if outcome == "changed" else outcome), other.output
        assert password is None or password not in other.output
        assert outcome == "changed" or (words in other.output and "sudo on this Mac" in other.output), other.output
        fleet.inventory(**{mac.name.replace("-", "_"): {"ansible_become_password": password} if password else {}})
        run = fleet.ansible.execute([*fleet.command(), "--limit", mac.name])
    finally:
        mac.mend("sudo-password")
    assert run.outcome == outcome, run.output
    assert words in "\n".join(run.changes) + run.output
    assert password is None or password not in run.output


def test_drift_for_ci(fleet: Fleet, tmp_path: Path) -> None:
    """The exit code, JSON and JUnit tell drift from nothing to do, from sleep and from failure; nothing is written."""
    for mac in fleet.macs[2:]:
        mac.run("rm /etc/nix/machines")
    fleet.macs[1].sleep()
    report, junit = tmp_path / "report.json", tmp_path / "report.xml"
    files = {"BUILDERFLEET_REPORT_JSON": str(report), "BUILDERFLEET_REPORT_JUNIT": str(junit)}
    run = fleet.run("drift", **files)
    assert run.code == 5, run.output  # somebody could not be asked, so this is not all there is
    found = json.loads(report.read_text())
    assert found["exit_code"] == 5
    assert found["macs"][fleet.canary.name] == {"outcome": "would change", "remarks": [CHANGE]}
    assert found["macs"][fleet.macs[1].name]["outcome"] == "unreachable"
    assert found["macs"][fleet.macs[2].name] == {"outcome": "converged", "remarks": []}
    suite = ElementTree.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped")) == (
        "12",
        "1",
        "0",
        "1",
    )
    fleet.macs[1].wake()
    assert fleet.run("drift").code == 2
    assert _line(fleet.canary)
    fleet.run()
    clean = fleet.run("drift", **files)
    assert clean.code == 0, clean.output
    assert ElementTree.parse(junit).getroot().get("failures") == "0"


def test_a_module_that_needs_python_fails_with_the_reason(fleet: Fleet) -> None:
    mac = fleet.others[0]
    commands = len(mac.commands())
    program = str(Path(fleet.command()[0]).with_name("ansible"))
    done = subprocess.run(
        [program, "-i", "inventory", "-i", str(fleet.ansible.inventory), mac.name, "-m", "stat", "-a", "path=/etc/nix"],
        cwd=Path(__file__).parents[2],
        env=fleet.ansible.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Macs have no Python of their own" in done.stdout + done.stderr
    assert len(mac.commands()) == commands  # not even a connection
