# SPDX-License-Identifier: GPL-3.0-or-later
"""MacRequirements: what a Mac must be, said before anything on it is changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builderfleet.plugin_utils.asking import Answers, Unknown
from builderfleet.plugin_utils.parameters import by_itself
from builderfleet.plugin_utils.questions.launchd import LaunchdJob
from builderfleet.plugin_utils.questions.mac import Mac, MacFacts
from builderfleet.plugin_utils.questions.network import Listeners, Process
from builderfleet.plugin_utils.questions.nix import NixVersion
from builderfleet.plugin_utils.resources.builder_vm import BuilderVm
from builderfleet.plugin_utils.resources.mac_requirements import MacRequirements, RoomForVm, RootOnMac
from builderfleet.plugin_utils.size import Size

from tests.unit.answers import APPLE_SILICON, INTEL, Case, Person, World, answers, loaded

LABEL = "org.builderfleet.linux-builder"
WANTED = MacRequirements(label=LABEL, port=31422, cores=4, memory=Size.parse("6GiB"), nixpkgs_release="25.11")
UNWANTED = MacRequirements(label=LABEL, port=31422, present=False)
NIX: World = {NixVersion(): "nix (Nix) 2.35.2"}


def listening(pid: int, group: int, parent: int = 1, command: str = "qemu-system-aarch64") -> Process:
    return Process(pid=pid, group=group, parent=parent, command=command, addresses=("127.0.0.1:31422",))


def taken(process: Process, port: int = 31422) -> World:
    return {Listeners(port): (process,), LaunchdJob(LABEL): loaded(LABEL, pid=411)}


CASES = [
    Case("fresh", WANTED),
    Case("our VM listens", WANTED, taken(listening(500, 411))),
    Case("our VM in a group of its own", WANTED, taken(listening(500, 500, 411))),
    Case("our job itself listens", WANTED, taken(listening(411, 411))),
    Case(
        "somebody listens",
        WANTED,
        taken(listening(9, 9, command="nc")),
        (Person(r"31422 is taken by nc \(pid 9\)$", "linux_builder_port"),),
    ),
    Case(
        "somebody listens, ours is not loaded", WANTED, {Listeners(31422): (listening(9, 9),)}, (Person("pid 9", "."),)
    ),
    Case(
        "a peer listens",
        replace(WANTED, port=31022),
        taken(listening(9, 9), 31022),
        (Person("it is the port of the stock darwin.linux-builder", "another port"),),
    ),
    Case("whoever listens does not matter", UNWANTED, taken(listening(9, 9))),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_it_says(case: Case) -> None:
    case.check()


def refused(requirements: MacRequirements | RoomForVm, mac: MacFacts, world: World | None = None) -> list[str]:
    return [str(each) for each in requirements.refusals(answers(requirements, {Mac(): mac} | (world or {})))]


@pytest.mark.parametrize(
    ("requirements", "mac"),
    [
        (WANTED, APPLE_SILICON),
        (WANTED, replace(APPLE_SILICON, version=(14, 0))),
        (WANTED, replace(APPLE_SILICON, version=(26, 0, 1))),
        (WANTED, replace(APPLE_SILICON, memory=12 * 2**30, cores=4)),
        (UNWANTED, replace(INTEL, version=(12,), can_virtualise=False, memory=2**30, translated=True)),
    ],
)
def test_a_mac_that_will_do(requirements: MacRequirements, mac: MacFacts) -> None:
    assert refused(requirements, mac) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"uid": 501}, "become: the session has uid 501, not root. Use sudo (pyinfra: _sudo=True, Ansible: become:"),
        ({"version": (13, 7)}, "macOS: it has 13.7, and 14 is the oldest that is supported. Update that Mac"),
        ({"translated": True}, "the session runs under Rosetta"),
        ({"can_virtualise": False}, "this Mac cannot run virtual machines"),
        ({"memory": 8 * 2**30}, "linux_builder_memory: this Mac has 8GiB of memory, and the VM would take more "
         "than half of it. Take at most 4GiB"),
        ({"cores": 2}, "linux_builder_cores: this Mac has 2 cores. Take at most 2"),
    ],
)  # fmt: skip
def test_a_mac_that_will_not_do(change: dict[str, Any], said: str) -> None:
    (text,) = refused(WANTED, replace(APPLE_SILICON, **change))
    assert said in text


@pytest.mark.parametrize(
    ("cores", "mac", "said"),
    [
        (8, replace(APPLE_SILICON, cores=32), []),
        (9, replace(APPLE_SILICON, cores=32), ["virt with gic-version=2", "at most 8 processors", "Take at most 8"]),
        (
            12,
            replace(APPLE_SILICON, cores=10),
            ["this Mac has 10 cores; and", "at most 8 processors", "Take at most 8"],
        ),
        (6, replace(APPLE_SILICON, cores=4), ["this Mac has 4 cores. Take at most 4"]),
        (12, replace(INTEL, cores=16), []),
        (17, replace(INTEL, cores=16), ["this Mac has 16 cores. Take at most 16"]),
    ],
)
def test_the_vm_has_no_more_processors_than_its_machine_can(cores: int, mac: MacFacts, said: list[str]) -> None:
    """QEMU's machine on Apple silicon ends at once when it is asked for more than 8 (its hw/arm/virt.c)."""
    text = "\n".join(refused(replace(WANTED, cores=cores), mac))
    assert bool(text) == bool(said) and all(words in text for words in said), text
    alone = "\n".join(refused(RoomForVm(cores, Size.parse("1GiB")), mac))
    assert alone == text.replace("linux_builder_cores", "cores")


@pytest.mark.parametrize(
    ("systems", "mac", "said"),
    [
        (("aarch64-linux",), APPLE_SILICON, ""),
        (("x86_64-linux",), INTEL, ""),
        (("aarch64-linux", "x86_64-linux"), APPLE_SILICON, "builds for aarch64-linux, and not for x86_64-linux"),
        (("x86_64-linux",), APPLE_SILICON, "linux_builder_systems: the builder on this Mac builds for aarch64-linux"),
        (("aarch64-linux",), INTEL, "builds for x86_64-linux, and not for aarch64-linux"),
    ],
)
def test_it_is_registered_for_no_system_that_its_guest_cannot_build(
    systems: tuple[str, ...], mac: MacFacts, said: str
) -> None:
    text = "\n".join(refused(replace(WANTED, systems=systems), mac))
    assert bool(text) == bool(said) and said in text


def test_a_vm_by_itself_wants_room_as_well() -> None:
    resources, wrong = by_itself(BuilderVm, {"memory": "9GiB", "cores": 4})
    assert (resources[0], wrong) == (RoomForVm(4, Size.parse("9GiB")), ())
    assert refused(RoomForVm(4, Size.parse("9GiB")), APPLE_SILICON) == [
        "memory: this Mac has 16GiB of memory, and the VM would take more than half of it. Take at most 8GiB"
    ]
    assert by_itself(BuilderVm, {"present": False})[0][0] == RootOnMac()


def test_everything_that_is_wrong_is_said_at_once() -> None:
    assert len(refused(WANTED, replace(APPLE_SILICON, uid=501, version=(13,), cores=1, memory=2**30))) == 4


@pytest.mark.parametrize(("release", "count"), [("25.11", 0), ("26.05", 0), ("26.11", 1), ("", 1)])
def test_an_intel_mac_wants_a_nixpkgs_that_knows_it(release: str, count: int) -> None:
    said = refused(replace(WANTED, nixpkgs_release=release), INTEL)
    assert len(said) == count
    assert all("nixpkgs dropped after 26.05" in each for each in said)


@pytest.mark.parametrize("requirements", [WANTED, UNWANTED])
def test_what_is_no_mac_is_said_first(requirements: MacRequirements) -> None:
    linux = replace(APPLE_SILICON, kernel="Linux", version=(), memory=0, cores=0, uid=-1, can_virtualise=False)
    (text,) = refused(requirements, linux)
    assert "this is no Mac: its kernel is Linux" in text
    assert "./rollout" in text


def test_what_could_not_be_asked_is_unknown() -> None:
    with pytest.raises(Unknown):
        list(WANTED.refusals(Answers.given({})))
