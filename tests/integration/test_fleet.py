# SPDX-License-Identifier: GPL-3.0-or-later
"""Several Macs, one with each trouble: it is reported as what it is, and the others are done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulated_mac import Lab, SimulatedMac

from .harness import Pyinfra, Run

HOLD_THE_LOCK = r"""
/usr/bin/perl -e '
  use Fcntl ":flock"; require IO::Handle;
  open(my $lock, "+>>", "/var/run/builderfleet.lock") or die; flock($lock, LOCK_EX) or die;
  truncate $lock, 0; print $lock join("\t", "another", time + 5, "somebody\@elsewhere"), "\n"; $lock->flush;
  exit 0 if fork; close STDIN; close STDOUT; close STDERR; sleep 90'
"""


@pytest.fixture(scope="module")
def fleet(lab: Lab, pyinfra: Pyinfra, converged_disk: str) -> Iterator[tuple[dict[str, SimulatedMac], Run]]:
    """Five Macs whose builder is lost from the registry, four of them in trouble; and what one run made of them."""
    names = ("well", "asleep", "rubbish", "no-sudo", "locked")
    macs = {name: lab.start(name) for name in names}
    for mac in macs.values():
        mac.restore(converged_disk)
        mac.run(": > /etc/nix/machines")
    macs["asleep"].sleep()
    macs["rubbish"].break_("sshd-rubbish")
    macs["no-sudo"].break_("sudo-refused")
    macs["locked"].run(HOLD_THE_LOCK)
    run = pyinfra.run(*macs.values())
    yield macs, run
    macs["asleep"].wake()
    for mac in macs.values():
        mac.stop()


@pytest.mark.parametrize(
    ("name", "outcome", "words"),
    [
        ("well", "changed", "register ssh-ng://builder@builderfleet"),
        ("asleep", "unreachable", ""),
        ("rubbish", "failed", "wanted a transcript with an end mark"),
        ("no-sudo", "failed", "sudo"),
        ("locked", "locked", "somebody@elsewhere"),
    ],
)
def test_each_is_reported_as_what_it_is(
    name: str, outcome: str, words: str, fleet: tuple[dict[str, SimulatedMac], Run]
) -> None:
    _, run = fleet
    assert run.outcomes[name] == outcome, run.output
    assert words in "\n".join(run.remarks[name]), run.output


def test_the_worst_outcome_is_the_exit_code(fleet: tuple[dict[str, SimulatedMac], Run]) -> None:
    assert fleet[1].code == 1


def test_the_mac_that_is_well_has_its_builder(fleet: tuple[dict[str, SimulatedMac], Run]) -> None:
    assert b"builderfleet" in fleet[0]["well"].read("/etc/nix/machines")


def test_nothing_was_written_on_the_others(fleet: tuple[dict[str, SimulatedMac], Run]) -> None:
    assert all(fleet[0][name].read("/etc/nix/machines") == b"" for name in ("rubbish", "no-sudo", "locked"))


def test_a_mac_that_was_asleep_is_done_by_the_next_run(
    fleet: tuple[dict[str, SimulatedMac], Run], pyinfra: Pyinfra
) -> None:
    mac = fleet[0]["asleep"]
    mac.wake()
    run = pyinfra.run(mac)
    assert (run.outcome, run.code) == ("changed", 0), run.output
