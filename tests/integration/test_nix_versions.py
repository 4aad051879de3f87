# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job and what comes after it, with each Nix and each guest that Debian's releases have.

The other modules run with the newest. One Mac a version tells all of it, in order.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulated_mac import Lab
from tests.simulated_mac.errors import GuestError
from tests.simulated_mac.releases import release

from .harness import Pyinfra
from .test_absent import NIX_ALONE
from .test_doctor import CHECKS, doctor
from .test_drift import DRIFTS, EVERYTHING, KEY, wait_until
from .test_main_job import LABEL, Story, changes
from .test_rotate import is_rotated

# A Mac's Nix and its guest's, whose sshd is of the same release: 9.2 with Nix 2.8, 10.0 with 2.26.
PAIRS = {"2.8": "2.26", "2.26": "2.8"}


@pytest.fixture(scope="module", params=PAIRS, ids=lambda nix: f"nix-{nix}-guest-{PAIRS[nix]}")
def story(lab: Lab, pyinfra: Pyinfra, request: pytest.FixtureRequest) -> Iterator[Story]:
    nix, guest = request.param, PAIRS[request.param]
    try:
        release(nix), release(guest)
    except GuestError as error:
        pytest.skip(str(error))
    mac = lab.start(f"nix-{nix.replace('.', '-')}", nix=nix, guest_nix=guest)
    yield Story(mac, pyinfra)
    mac.stop()


def test_the_versions_are_those(story: Story, request: pytest.FixtureRequest) -> None:
    nix = request.node.callspec.params["story"]
    seen = story.mac.run("/nix/var/nix/profiles/default/bin/nix --version; ssh builderfleet nix --version").stdout
    versions = [line.split()[-1] for line in seen.splitlines()]
    assert [version.rpartition(".")[0] for version in versions] == [nix, PAIRS[nix]]


def test_the_main_job(story: Story) -> None:
    assert (story.dry.outcome, story.dry.code, story.dry_writes) == ("would change", 2, []), story.dry.output
    assert changes(story.dry) == changes(story.first), (story.dry.output, story.first.output)
    assert "on builder for aarch64-linux" in story.proof
    assert (story.second.outcome, story.second.code) == ("converged", 0), story.second.output
    assert (story.second_writes, story.second_spawns, len(story.second_commands)) == ([], 0, 1)


def test_registration(story: Story, pyinfra: Pyinfra) -> None:
    """What stands beside our line comes through, and this Nix reads both."""
    mac = story.mac
    ours = mac.read("/etc/nix/machines")
    mac.write("/etc/nix/machines", b"# mine\nssh-ng://me@a x86_64-linux\n" + ours + ours)
    run = pyinfra.run(mac)
    assert (run.outcome, run.code) == ("changed", 0), run.output
    assert mac.read("/etc/nix/machines") == b"# mine\nssh-ng://me@a x86_64-linux\n" + ours
    mac.write("/etc/nix/machines", ours)


def test_the_doctor(story: Story, pyinfra: Pyinfra, lab: Lab) -> None:
    mac = story.mac
    found = doctor(pyinfra, mac)
    assert list(found.marks) == [*CHECKS, "build"], found.run.output
    assert (set(found.marks.values()), found.run.code) == ({"ok"}, 0), found.run.output
    good = lab.serve("cache/nix-cache-info", b"StoreDir: /nix/store\n").removesuffix("/nix-cache-info")
    nobody = f"{good.rpartition(':')[0]}:9"
    for url, cause in (
        (good, f"the guest gets at {good}"),
        (f"{good}/elsewhere", "is no binary cache"),
        (nobody, f"the guest cannot fetch from {nobody}: error: unable to download"),
    ):
        mac.run(f"ssh builderfleet 'mkdir -p .config/nix; echo substituters = {url} > .config/nix/nix.conf'")
        found = doctor(pyinfra, mac, build=False)
        assert cause in found.causes["cache"], found.run.output
        assert found.wrong == ([] if url == good else ["cache"]), found.run.output
    mac.run("ssh builderfleet rm -r .config")


def test_drift(story: Story, pyinfra: Pyinfra) -> None:
    scripts = {drift.name: drift.script for drift in DRIFTS}
    for name in EVERYTHING:
        story.mac.run(scripts[name])
    wait_until(story.mac, f"! launchctl print system/{LABEL} >/dev/null 2>&1")
    run = pyinfra.run(story.mac)
    assert (run.outcome, run.code) == ("changed", 0), run.output
    assert pyinfra.run(story.mac).outcome == "converged"


def test_rotation(story: Story, pyinfra: Pyinfra) -> None:
    before = story.mac.read(f"{KEY}.pub")
    run = pyinfra.run(story.mac, linux_builder_key_rotation="2026-11")
    assert (run.outcome, run.code) == ("changed", 0), run.output
    is_rotated(story.mac, before)


def test_absent(story: Story, pyinfra: Pyinfra) -> None:
    run = pyinfra.run(story.mac, **NIX_ALONE)
    assert (run.outcome, run.code) == ("changed", 0), run.output
    assert b"builderfleet" not in story.mac.read("/etc/nix/machines") if story.mac.exists("/etc/nix/machines") else True
    assert pyinfra.run(story.mac, **NIX_ALONE).outcome == "converged"
