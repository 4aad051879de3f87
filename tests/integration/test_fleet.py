# SPDX-License-Identifier: GPL-3.0-or-later
"""Several Macs, one with each trouble: it is reported as what it is, and the others are done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.simulated_mac import Lab, SimulatedMac

from .harness import Ansible, FrontEnd, Run
from .parity import Alike, state

HOLD_THE_LOCK = r"""
/usr/bin/perl -e '
  use Fcntl ":flock"; require IO::Handle;
  open(my $lock, "+>>", "/var/run/builderfleet.lock") or die; flock($lock, LOCK_EX) or die;
  truncate $lock, 0; print $lock join("\t", "another", time + 5, "somebody\@elsewhere"), "\n"; $lock->flush;
  exit 0 if fork; close STDIN; close STDOUT; close STDERR; sleep 90'
"""


def free(mac: SimulatedMac) -> None:
    """End what HOLD_THE_LOCK began."""
    mac.run("pkill -f builderfleet.lock || :; rm -f /var/run/builderfleet.lock")


@dataclass
class Fleet:
    """Five Macs whose builder is lost from the registry, four of them in trouble; and what one run made of them."""

    macs: dict[str, SimulatedMac]
    door: FrontEnd
    run: Run


@pytest.fixture(scope="module")
def macs(lab: Lab, converged_disk: str) -> Iterator[dict[str, SimulatedMac]]:
    macs = {name: lab.start(name) for name in ("well", "asleep", "rubbish", "no-sudo", "locked")}
    for mac in macs.values():
        mac.restore(converged_disk)
    macs["rubbish"].break_("sshd-rubbish")
    macs["no-sudo"].break_("sudo-refused")
    yield macs
    for mac in macs.values():
        mac.stop()


@pytest.fixture(scope="module", params=["pyinfra", "ansible"])
def fleet(request: pytest.FixtureRequest, macs: dict[str, SimulatedMac]) -> Iterator[Fleet]:
    door: FrontEnd = request.getfixturevalue(request.param)
    for mac in macs.values():
        mac.run(": > /etc/nix/machines")
    macs["asleep"].sleep()
    macs["locked"].run(HOLD_THE_LOCK)
    door.write_inventory(macs.values())
    one_wave = ["-e", '{"rollout_waves": ["100%"]}'] if isinstance(door, Ansible) else []  # pyinfra has none
    yield Fleet(macs, door, door.execute([*door.command(dry=False), *one_wave]))
    macs["asleep"].wake()
    free(macs["locked"])


@pytest.mark.parametrize(
    ("name", "outcome", "words"),
    [
        ("well", "changed", "register ssh-ng://builder@builderfleet"),
        ("asleep", "unreachable", ""),
        ("rubbish", "failed", "wanted the whole of the Mac's answer"),
        ("no-sudo", "failed", "sudo"),
        ("locked", "locked", "somebody@elsewhere"),
    ],
)
def test_each_is_reported_as_what_it_is(name: str, outcome: str, words: str, fleet: Fleet) -> None:
    assert fleet.run.outcomes[name] == outcome, fleet.run.output
    assert words in "\n".join(fleet.run.remarks[name]), fleet.run.output


def test_the_worst_outcome_is_the_exit_code(fleet: Fleet) -> None:
    assert fleet.run.code == 1


def test_the_mac_that_is_well_has_its_builder_and_nothing_was_written_on_the_others(fleet: Fleet, alike: Alike) -> None:
    alike("well", state(fleet.macs["well"]))
    assert b"builderfleet" in fleet.macs["well"].read("/etc/nix/machines")
    assert all(fleet.macs[name].read("/etc/nix/machines") == b"" for name in ("rubbish", "no-sudo", "locked"))


def test_a_dry_run_says_the_same_of_those_that_cannot_be_asked(fleet: Fleet) -> None:
    run = fleet.door.run(*fleet.macs.values(), dry=True)
    assert run.outcomes == {
        "well": "converged",
        "asleep": "unreachable",
        "rubbish": "failed",
        "no-sudo": "failed",
        "locked": "would change",
    }, run.output
    assert run.code == 1


def test_a_mac_that_was_asleep_is_done_by_the_next_run(fleet: Fleet) -> None:
    mac = fleet.macs["asleep"]
    mac.wake()
    run = fleet.door.run(mac)
    assert (run.outcome, run.code) == ("changed", 0), run.output
