# SPDX-License-Identifier: GPL-3.0-or-later
"""Taken back: the Mac is as it was before, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulated_mac import Lab, SimulatedMac

from .harness import Pyinfra, writes_since

NIX_ALONE: dict[str, Any] = {"nix_state": "present", "linux_builder_state": "absent"}
NOTHING: dict[str, Any] = {"nix_state": "absent", "linux_builder_state": "absent"}

# What somebody else has on a Mac with Nix: odd, but theirs. No final newlines, where that is allowed.
FOREIGN = r"""
printf '# my builders\nssh-ng://me@elsewhere x86_64-linux - 2' > /etc/nix/machines
printf '\n# mine\nkeep-outputs = true  # why not\nbuilders-use-substitutes = false' >> /etc/nix/nix.custom.conf
printf 'Host elsewhere\n  Port 2200\n' > /etc/ssh/ssh_config.d/120-mine.conf
sed -e '/^Include/d' /etc/ssh/ssh_config > /tmp/c; cat /tmp/c > /etc/ssh/ssh_config; rm /tmp/c
launchctl kickstart -k system/org.nixos.nix-daemon
"""


@pytest.fixture
def mac_with_nix(lab: Lab, pyinfra: Pyinfra, converged_disk: str) -> SimulatedMac:
    """A Mac with a Nix of its own, and no builder."""
    mac = lab.start("taken-back")
    mac.restore(converged_disk)
    run = pyinfra.run(mac, **NIX_ALONE)
    assert run.outcome == "changed", run.output
    return mac


def differences(before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]) -> list[str]:
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def test_what_others_wrote_comes_back_byte_for_byte(mac_with_nix: SimulatedMac, pyinfra: Pyinfra) -> None:
    mac = mac_with_nix
    mac.run(FOREIGN)
    before = mac.snapshot(ignore=("/nix/*",))
    there = pyinfra.run(mac)
    assert there.outcome == "changed", there.output
    gone = pyinfra.run(mac, **NIX_ALONE)
    assert (gone.outcome, gone.code) == ("changed", 0), gone.output
    assert differences(before, mac.snapshot(ignore=("/nix/*",))) == []
    again = pyinfra.run(mac, **NIX_ALONE)
    assert again.outcome == "converged", again.output
    assert "builderfleet" not in mac.run("ls /nix/var/nix/gcroots").stdout
    mac.stop()


def test_what_others_wrote_meanwhile_stays(mac_with_nix: SimulatedMac, pyinfra: Pyinfra) -> None:
    mac = mac_with_nix
    mac.run(FOREIGN)
    assert pyinfra.run(mac).outcome == "changed"
    mac.run(
        "printf '\\nssh-ng://me@new x86_64-linux - 1\\n' >> /etc/nix/machines;"
        " printf '\\nkeep-derivations = true\\n' >> /etc/nix/nix.custom.conf"
    )
    gone = pyinfra.run(mac, **NIX_ALONE)
    assert gone.outcome == "changed", gone.output
    machines, settings = mac.read("/etc/nix/machines").decode(), mac.read("/etc/nix/nix.custom.conf").decode()
    assert "builderfleet" not in machines and "me@elsewhere" in machines and "me@new" in machines
    assert "builders-use-substitutes = false" in settings and "keep-derivations = true" in settings
    mac.stop()


def test_everything_goes_when_it_is_said_in_so_many_words(lab: Lab, pyinfra: Pyinfra) -> None:
    mac = lab.start("all-gone")
    before = mac.snapshot()
    assert pyinfra.run(mac).outcome == "changed"
    gone = pyinfra.run(mac, **NOTHING)
    assert (gone.outcome, gone.code) == ("changed", 0), gone.output
    mac.reboot()  # the empty /nix goes with the boot
    # What the installer's own uninstaller leaves: the directories that it made for shells that a Mac does not have.
    assert differences(before, mac.snapshot()) == ["/private/etc/profile.d", "/private/etc/zsh"]
    assert pyinfra.run(mac, **NOTHING).outcome == "converged"
    mac.stop()


def test_a_store_is_not_deleted_by_half_a_word(lab: Lab, pyinfra: Pyinfra) -> None:
    mac = lab.start("half-a-word")
    mark = mac.mark()
    run = pyinfra.run(mac, nix_state="absent")
    assert (run.outcome, run.code) == ("failed", 1)
    assert "nix_state = 'absent': a builder without Nix is of no use" in run.output
    assert writes_since(mac, mark) == [] and mac.commands() == []
    mac.stop()
