# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job, from a Mac as it comes out of its box: dry run, rollout, a Linux build in the guest, and nothing more to do.

Once through each front end; then the two are compared.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulated_mac import Lab, SimulatedMac

from .harness import Ansible, FrontEnd, Pyinfra, Run, writes_since
from .parity import end

LABEL = "org.builderfleet.linux-builder"


class Story:
    """What happened to one Mac, in order; each test looks at one part of it."""

    def __init__(self, mac: SimulatedMac, door: FrontEnd) -> None:
        self.mac = mac
        before = mac.snapshot()
        mark = mac.mark()
        self.dry = door.run(mac, dry=True)
        self.dry_writes = writes_since(mac, mark)
        self.dry_differences = _differences(before, mac.snapshot())
        self.first = door.run(mac)
        assert self.first.code == 0, self.first.output
        self.end = end(self.first, mac)
        self.proof = mac.read("/var/lib/builderfleet/proved").decode()
        mark, spawned, commands = mac.mark(), mac.spawns(LABEL), len(mac.commands())
        self.second = door.run(mac)
        self.second_writes = writes_since(mac, mark)
        self.second_spawns = mac.spawns(LABEL) - spawned
        self.second_commands = mac.commands()[commands:]


def _differences(before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]) -> list[str]:
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


@pytest.fixture(scope="module")
def stories(lab: Lab, pyinfra: Pyinfra, ansible: Ansible) -> Iterator[dict[str, Story]]:
    told = {door.name: Story(lab.start(f"fresh-{door.name}"), door) for door in (pyinfra, ansible)}
    yield told
    for story in told.values():
        story.mac.stop()


@pytest.fixture(params=["pyinfra", "Ansible"])
def story(stories: dict[str, Story], request: pytest.FixtureRequest) -> Story:
    return stories[request.param]


def test_both_front_ends_show_the_same_and_leave_the_same(stories: dict[str, Story]) -> None:
    one, other = stories.values()
    assert one.end == other.end
    assert changes(one.dry) == changes(other.dry)
    assert (one.second.outcome, one.second.code) == (other.second.outcome, other.second.code)


def changes(run: Run) -> set[str]:
    return set(run.changes)


def test_a_dry_run_writes_nothing(story: Story) -> None:
    assert (story.dry.outcome, story.dry.code) == ("would change", 2), story.dry.output
    assert story.dry_writes == []
    assert story.dry_differences == []


def test_a_dry_run_lists_what_the_real_run_does(story: Story) -> None:
    assert changes(story.dry) == changes(story.first), (story.dry.output, story.first.output)


def test_a_fresh_mac_gets_its_builder(story: Story) -> None:
    assert (story.first.outcome, story.first.code) == ("changed", 0), story.first.output


def test_the_proof_was_built_in_the_guest(story: Story) -> None:
    """By the guest's own host name and a kernel that is not this machine's."""
    kernel = story.mac.run("uname -r").stdout.strip()
    assert "on builder for aarch64-linux" in story.proof
    assert story.proof.startswith("Linux ") and kernel not in story.proof


def test_a_user_builds_for_linux(story: Story) -> None:
    """Not builderfleet's own proof: somebody's build, over SSH, as the ordinary user that he is."""
    expression = (
        'derivation { name = "mine"; system = "aarch64-linux"; builder = "/bin/sh"; '
        'args = [ "-c" "read -r host < /proc/sys/kernel/hostname; echo made on $host > $out" ]; }'
    )
    nix = "/nix/var/nix/profiles/default/bin/nix-build"
    built = story.mac.run(
        f"cat \"$(NIX_REMOTE=daemon {nix} --no-out-link -E '{expression}')\"", user="admin", timeout=120
    )
    assert built.stdout.strip() == "made on builder"


def test_a_second_run_changes_nothing(story: Story) -> None:
    assert (story.second.outcome, story.second.code) == ("converged", 0), story.second.output
    assert story.second_writes == []
    assert story.second_spawns == 0


def test_a_converged_mac_costs_one_command(story: Story) -> None:
    assert len(story.second_commands) == 1, story.second_commands


def test_no_private_key_is_in_the_store_or_on_the_controller(story: Story) -> None:
    found = story.mac.run(
        "grep -rl 'OPENSSH PRIVATE KEY' /nix/store /tmp /var/lib/builderfleet 2>/dev/null || :"
    ).stdout
    assert found == ""
    secret = story.mac.read("/etc/nix/builderfleet_ed25519").decode().splitlines()[2]
    assert secret not in story.first.output + story.dry.output


def test_the_builder_listens_on_loopback_only(story: Story) -> None:
    listening = story.mac.run("/usr/sbin/lsof -nP -iTCP:31422 -sTCP:LISTEN -Fn").stdout
    assert [line[1:] for line in listening.splitlines() if line.startswith("n")] == ["127.0.0.1:31422"]
