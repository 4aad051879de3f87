# SPDX-License-Identifier: GPL-3.0-or-later
"""Taken back: the Mac is as it was before, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulated_mac import Lab, SimulatedMac

from .harness import FrontEnd, Pyinfra, writes_since
from .parity import Alike, end

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


@pytest.fixture(scope="module")
def disk_with_nix(lab: Lab, pyinfra: Pyinfra, converged_disk: str) -> str:
    """The name under which the disk of a Mac with a Nix of its own and no builder is kept."""
    mac = lab.start("pattern-of-nix")
    mac.restore(converged_disk)
    run = pyinfra.run(mac, **NIX_ALONE)
    assert run.outcome == "changed", run.output
    mac.save("nix-alone")
    mac.stop()
    return "nix-alone"


@pytest.fixture
def mac_with_nix(lab: Lab, disk_with_nix: str) -> SimulatedMac:
    mac = lab.start("taken-back")
    mac.restore(disk_with_nix)
    return mac


def differences(before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]) -> list[str]:
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def test_what_others_wrote_comes_back_byte_for_byte(mac_with_nix: SimulatedMac, door: FrontEnd, alike: Alike) -> None:
    mac = mac_with_nix
    mac.run(FOREIGN)
    before = mac.snapshot(ignore=("/nix/*",))
    there = door.run(mac)
    assert there.outcome == "changed", there.output
    alike("there", end(there, mac))
    gone = door.run(mac, **NIX_ALONE)
    assert (gone.outcome, gone.code) == ("changed", 0), gone.output
    alike("gone", end(gone, mac))
    assert differences(before, mac.snapshot(ignore=("/nix/*",))) == []
    again = door.run(mac, **NIX_ALONE)
    assert again.outcome == "converged", again.output
    assert "builderfleet" not in mac.run("ls /nix/var/nix/gcroots").stdout
    mac.stop()


def test_what_others_wrote_meanwhile_stays(mac_with_nix: SimulatedMac, door: FrontEnd, alike: Alike) -> None:
    mac = mac_with_nix
    mac.run(FOREIGN)
    assert door.run(mac).outcome == "changed"
    mac.run(
        "printf '\\nssh-ng://me@new x86_64-linux - 1\\n' >> /etc/nix/machines;"
        " printf '\\nkeep-derivations = true\\n' >> /etc/nix/nix.custom.conf"
    )
    gone = door.run(mac, **NIX_ALONE)
    assert gone.outcome == "changed", gone.output
    alike("meanwhile", end(gone, mac))
    machines, settings = mac.read("/etc/nix/machines").decode(), mac.read("/etc/nix/nix.custom.conf").decode()
    assert "builderfleet" not in machines and "me@elsewhere" in machines and "me@new" in machines
    assert "builders-use-substitutes = false" in settings and "keep-derivations = true" in settings
    mac.stop()


def test_with_a_ledger_that_is_gone_what_can_be_told_goes_and_the_rest_is_said(
    lab: Lab, door: FrontEnd, converged_disk: str
) -> None:
    mac = lab.start("forgotten")
    mac.restore(converged_disk)
    mac.run("echo theirs > /var/lib/builderfleet/backups/sshd.kept; rm /var/lib/builderfleet/ledger.json")
    dry, run = (door.run(mac, dry=dry, **NIX_ALONE) for dry in (True, False))
    for each in (dry, run):
        assert (each.outcome, each.code) == ("needs a person", 4), each.output
        assert "ledger.json was gone once" in each.output and "put back what is missed" in each.output
    assert "builderfleet" not in mac.run("cat /etc/nix/machines 2>/dev/null || :").stdout
    assert mac.job("org.builderfleet.linux-builder") is None
    assert mac.read("/var/lib/builderfleet/backups/sshd.kept") == b"theirs\n"
    mac.run("rm -r /var/lib/builderfleet")
    assert door.run(mac, **NIX_ALONE).outcome == "converged"
    mac.stop()


def test_everything_goes_when_it_is_said_in_so_many_words(lab: Lab, door: FrontEnd, alike: Alike) -> None:
    mac = lab.start("all-gone")
    before = mac.snapshot()
    assert door.run(mac).outcome == "changed"
    gone = door.run(mac, **NOTHING)
    assert (gone.outcome, gone.code) == ("changed", 0), gone.output
    alike("nothing", end(gone, mac))
    mac.reboot()  # the empty /nix goes with the boot
    # What the installer's own uninstaller leaves: an empty fstab, and the directories that it made for shells that a Mac
    # does not have.
    assert differences(before, mac.snapshot()) == ["/private/etc/fstab", "/private/etc/profile.d", "/private/etc/zsh"]
    assert mac.read("/etc/fstab") == b""
    assert door.run(mac, **NOTHING).outcome == "converged"
    mac.stop()


def test_a_store_is_not_deleted_by_half_a_word(lab: Lab, door: FrontEnd) -> None:
    mac = lab.start("half-a-word")
    mark = mac.mark()
    run = door.run(mac, nix_state="absent")
    assert (run.outcome, run.code) == ("failed", 1)
    assert "nix_state: a builder without Nix is of no use" in run.output
    assert writes_since(mac, mark) == [] and mac.commands() == []
    mac.stop()
