# SPDX-License-Identifier: GPL-3.0-or-later
"""StoreVolume: the volume of a Nix store that is missing is asked for by what names it, and only where something does."""

from __future__ import annotations

import pytest
from builderfleet.plugin_utils.asking import Replies, Unknown, probe_of
from builderfleet.plugin_utils.questions.store_volume import StoreVolume, Volume
from builderfleet.plugin_utils.transcript import Transcript

from tests.unit.sandbox import Sandbox

UUID = "1f1f1f1f-0000-4000-8000-000000000000"
NOT_FOUND = 'echo "Could not find disk: $2"; exit 1'
FOUND = "echo '   Volume Name:               Nix Store'; echo '   Mounted:                   {}'"


def ask(sandbox: Sandbox) -> Volume | None:
    probe = probe_of([StoreVolume()])
    return probe.answers(Transcript.parse(sandbox.run(probe.script("t0")).stdout, "t0"))[StoreVolume()]


@pytest.fixture
def mac(sandbox: Sandbox) -> Sandbox:
    sandbox.double("/usr/sbin/diskutil", f'echo "$2" >> /asked; {NOT_FOUND}')
    (sandbox / "/etc/fstab").write_text("# UUID=0 /nix apfs rw\nUUID=9 /other apfs rw\n")
    (sandbox / "/Library/LaunchDaemons").mkdir(parents=True)
    return sandbox


def asked(mac: Sandbox) -> str:
    return (mac / "/asked").read_text().strip() if (mac / "/asked").exists() else ""


def test_a_mac_that_has_nothing_of_a_nix_is_not_asked(mac: Sandbox) -> None:
    assert (ask(mac), asked(mac)) == (None, "")
    (mac / "/etc/fstab").unlink()
    assert (ask(mac), asked(mac)) == (None, "")


def test_a_mac_that_has_its_store_is_not_asked(mac: Sandbox) -> None:
    (mac / "/nix/store").mkdir(parents=True)
    (mac / "/etc/fstab").write_text(f"UUID={UUID} /nix apfs rw\n")
    assert (ask(mac), asked(mac)) == (None, "")


@pytest.mark.parametrize(
    ("fstab", "plist", "name"),
    [
        (f"UUID={UUID} /nix apfs rw,noauto\n", "", UUID),
        ("LABEL=Nix\\040Store /nix apfs rw,nobrowse\n", "", "Nix Store"),
        ("", "org.nixos.darwin-store", "Nix Store"),
        ("", "systems.determinate.nix-daemon", "Nix Store"),
        (f"UUID={UUID} /nix apfs rw\n", "org.nixos.nix-daemon", UUID),
    ],
)
def test_a_volume_that_is_not_there(mac: Sandbox, fstab: str, plist: str, name: str) -> None:
    (mac / "/etc/fstab").write_text(fstab)
    if plist:
        (mac / f"/Library/LaunchDaemons/{plist}.plist").touch()
    assert (ask(mac), asked(mac)) == (Volume(name, there=False), name)


@pytest.mark.parametrize(
    ("said", "mounted_at"),
    [
        (FOUND.format("No"), ""),
        (f"{FOUND.format('Yes')}; echo '   Mount Point:               /Volumes/Nix Store'", "/Volumes/Nix Store"),
    ],
)
def test_a_volume_that_is_there(mac: Sandbox, said: str, mounted_at: str) -> None:
    mac.double("/usr/sbin/diskutil", said)
    (mac / "/etc/fstab").write_text(f"UUID={UUID} /nix apfs rw\n")
    assert ask(mac) == Volume(UUID, there=True, mounted_at=mounted_at)


def test_a_diskutil_that_hangs_or_fails_says_nothing_of_the_volume() -> None:
    for reply in (
        {"unknown": b"/bin/sh took longer than 20 seconds and was ended"},
        {"output": b"Nix Store\nsomething else\n", "errors": b"", "status": b"1"},
    ):
        with pytest.raises(Unknown, match=r"took longer|something else"):
            StoreVolume().answer(Replies((reply,)))
