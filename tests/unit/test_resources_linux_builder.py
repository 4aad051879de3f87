# SPDX-License-Identifier: GPL-3.0-or-later
"""linux_builder: all resources together, on a new Mac, a converged one, and one that does not tell everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from builderfleet.plugin_utils.asking import Answers, Unknown, probe_of
from builderfleet.plugin_utils.formats import plist, ssh_config
from builderfleet.plugin_utils.ledger import LEDGER, Ledger
from builderfleet.plugin_utils.questions.file import File, Metadata
from builderfleet.plugin_utils.questions.launchd import LaunchdJob
from builderfleet.plugin_utils.questions.network import Greeting
from builderfleet.plugin_utils.questions.nix import DAEMONS, DaemonReply, NixConfiguration, NixDaemonReply
from builderfleet.plugin_utils.resource import Resource, Step
from builderfleet.plugin_utils.resources.builder_vm import KNOWN_HOSTS, WRAPPER, BuilderVm, RootNames
from builderfleet.plugin_utils.resources.launchd_daemon import LaunchdDaemon
from builderfleet.plugin_utils.resources.linux_build import PROOF, Proof
from builderfleet.plugin_utils.resources.linux_builder import desired
from builderfleet.plugin_utils.resources.mac_requirements import MacRequirements
from builderfleet.plugin_utils.resources.nix_machine import NixMachine
from builderfleet.plugin_utils.resources.ssh_host import SshHost

from tests.unit import test_resources_builder_vm as vm
from tests.unit import test_resources_launchd_daemon as daemon
from tests.unit import test_resources_nix_installation as installation
from tests.unit import test_resources_nix_machine as machine
from tests.unit.answers import GIVEN, SSHD, Case, World, answers, file, link, loaded, nix, stock


def resources(**given: Any) -> tuple[Resource, ...]:
    found, wrong = desired(GIVEN | given)
    assert not wrong
    return found


PRESENT, ABSENT = resources(), resources(linux_builder_state="absent")
NIX_ABSENT = resources(linux_builder_state="absent", nix_state="absent")


def the(kind: type[Any], among: Sequence[Resource] = PRESENT) -> Any:
    (found,) = (each for each in among if isinstance(each, kind))
    return found


def converged() -> World:
    """What a Mac answers on which everything is as desired."""
    builder, job, host = the(BuilderVm), the(LaunchdDaemon), the(SshHost)
    world = vm.CONVERGED | installation.INSTALLED | machine.world(file(machine.OURS))
    del world[vm.ROOT]
    return world | {
        LEDGER: file(Ledger().dump()),
        Metadata(builder.root): link("/nix/store/x-vm"),
        Metadata(builder.sized_root): link("/nix/store/x-vm"),
        RootNames(): tuple(each.rsplit("/", 1)[1] for each in (builder.root, builder.sized_root)),
        File(WRAPPER): file(builder.wrapper(), 0o755),
        KNOWN_HOSTS: file(f"builderfleet {builder.host_key}\n"),
        File(job.path): file(plist.dump(job.definition())),
        vm.JOB: daemon.running(job),
        Greeting(31422): SSHD,
        File(host.path): file(_rendered(host)),
        NixConfiguration(): nix(builders="@/etc/nix/machines", builders_use_substitutes="true"),
        NixDaemonReply(): DaemonReply(True),
        LaunchdJob(DAEMONS[-1]): loaded(DAEMONS[-1]),
        PROOF: file(Proof("Linux 6 on builder for aarch64-linux", "aarch64-linux", machine.WANTED.uri).row()),
    }


def _rendered(host: SshHost) -> bytes:
    return ssh_config.Host(host.alias, host.options).render()


FRESH: World = {}
CONVERGED = converged()
WORLDS = [
    pytest.param(each, world, id=f"{kind}-{world_name}-{each.title.replace(' ', '-')}")
    for kind, every in (("present", PRESENT), ("absent", NIX_ABSENT))
    for world_name, world in (("fresh", FRESH), ("converged", CONVERGED))
    for each in every
]


def summaries(every: Sequence[Resource], world: World) -> list[str]:
    return [step.summary for each in every for step in Case("", each, world).steps()]


def test_a_new_mac() -> None:
    assert summaries(PRESENT, FRESH) == [
        "install Nix with nix-installer 2.35.2",
        "set builders-use-substitutes in /etc/nix/nix.custom.conf",
        "make SSH key pair /etc/nix/builderfleet_ed25519",
        "put the state directory /var/lib/builderfleet right",
        "hand the client's public key to the builder VM",
        "realise the builder VM",
        "write the builder VM's start script",
        "pin the builder VM's host key",
        "load launchd daemon org.builderfleet.linux-builder",
        "wait until org.builderfleet.linux-builder answers on port 31422",
        "write ssh host builderfleet",
        "register ssh-ng://builder@builderfleet in /etc/nix/machines",
        "prove it with a Linux build for aarch64-linux",
    ]


def test_the_key_of_a_new_mac_is_made_once() -> None:
    assert summaries(resources(linux_builder_key_rotation="2026-11"), FRESH) == summaries(PRESENT, FRESH)


def test_a_converged_mac() -> None:
    assert summaries(PRESENT, CONVERGED) == []


def test_ssh_trusts_the_host_key_that_nix_trusts_and_no_other() -> None:
    options, builder = dict(the(SshHost).options), the(BuilderVm)
    assert options["UserKnownHostsFile"] == KNOWN_HOSTS.path
    assert options["HostKeyAlias"] == builder.alias
    assert options["StrictHostKeyChecking"] == "yes"
    assert builder.host_key == the(NixMachine).host_key != ""


def test_a_mac_without_anything_stays_so() -> None:
    assert summaries(ABSENT, FRESH) == []
    assert summaries(NIX_ABSENT, FRESH) == []


def test_everything_is_taken_back_in_the_opposite_order() -> None:
    assert summaries(NIX_ABSENT, CONVERGED) == [
        "take ssh-ng://builder@builderfleet out of /etc/nix/machines",
        "remove launchd daemon org.builderfleet.linux-builder",
        "remove ssh host builderfleet",
        "remove the builder VM with its disk",
        "remove SSH key pair /etc/nix/builderfleet_ed25519",
        "uninstall Nix with its store",
        "remove /var/lib/builderfleet",
    ]
    assert "uninstall Nix with its store" not in summaries(ABSENT, CONVERGED)


def test_what_is_asked_is_asked_once() -> None:
    """Everything that all resources have to know is one probe, and none of its requests is there twice."""
    script = probe_of(question for each in PRESENT for question in each.questions()).script("token")
    requests = [line.split("\t", 1)[1] for line in script.splitlines() if line[:1].isdigit() and "\t" in line]
    assert len(requests) == len(set(requests)) > 30


@pytest.mark.parametrize(("resource", "world"), WORLDS)
def test_an_answer_that_is_unknown_is_never_a_change(resource: Resource, world: World) -> None:
    """Whichever answer is missing: either it did not matter, or it is said to be unknown before anything else is."""
    known = answers(resource, world)
    every = {question: known[question] for question in resource.questions()}
    steps = list(resource.changes(known))
    for missing in every:
        given = Answers.given({question: answer for question, answer in every.items() if question != missing})
        seen: list[Step] = []
        try:
            seen.extend(resource.changes(given))
            assert seen == steps
        except Unknown as unknown:
            assert str(missing) in str(unknown)
            assert seen == steps[: len(seen)]


@pytest.mark.parametrize("every", [PRESENT, NIX_ABSENT], ids=["present", "absent"])
def test_a_mac_that_answers_nothing_is_unknown(every: Sequence[Resource]) -> None:
    for each in every:
        if list(each.questions()) and not (isinstance(each, MacRequirements) and not each.present):
            with pytest.raises(Unknown):
                list(each.changes(Answers.given({})))


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"linux_builder_nixpkgs": ""}, ["linux_builder_nixpkgs: it has to be set"]),
        ({"nix_state": "absent"}, ["nix_state: a builder without Nix is of no use"]),
        (
            {"linux_builder_cores": 0, "linux_builder_port": "x"},
            ["linux_builder_cores: it", "linux_builder_port: it"],
        ),
        (
            {"linux_builder_core": 4},
            ["linux_builder_core: there is no such variable; linux_builder_cores was meant?"],
        ),
    ],
)
def test_wrong_variables_make_no_resources(given: dict[str, Any], wrong: list[str]) -> None:
    found, problems = desired(GIVEN | given)
    assert found == ()
    assert len(problems) == len(wrong)
    assert all(said in str(problem) for said, problem in zip(wrong, problems, strict=True))


@pytest.mark.parametrize("nix_state", ["present", "absent"])
def test_taking_back_needs_no_other_variable(nix_state: str) -> None:
    found, wrong = desired({"linux_builder_state": "absent", "nix_state": nix_state})
    assert (bool(found), wrong) == (True, ())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"linux_builder_build": "never"}, []),
        ({"linux_builder_build": "always"}, ["prove it with a Linux build for aarch64-linux"]),
        ({"linux_builder_max_jobs": 2}, ["register ssh-ng://builder@builderfleet in /etc/nix/machines"]),
        ({"linux_builder_use_substitutes": False}, []),  # what was there before us is not ours to remove
        ({"linux_builder_start_limit": 400}, []),
        ({"linux_builder_key_rotation": "2026-11"}, ["make SSH key pair /etc/nix/builderfleet_ed25519.next",
         "let the builder VM accept the next client key as well",
         "change to the next client key, once a login with it has worked",
         "let the builder VM accept the client key alone"]),
        ({"linux_builder_cores": 3}, ["realise the builder VM", "write the builder VM's start script",
         "reload launchd daemon org.builderfleet.linux-builder, which ends the builds that run in it",
         "wait until org.builderfleet.linux-builder answers on port 31422",
         "register ssh-ng://builder@builderfleet in /etc/nix/machines",
         "let the garbage collector have former builder VMs"]),
        ({"linux_builder_disk": "61GiB"}, ["realise the builder VM for a disk of 61GiB, which counts when one is made:"
         " one that is there keeps its size", "let the garbage collector have former builder VMs"]),
    ],
)  # fmt: skip
def test_what_a_variable_changes_on_a_converged_mac(given: dict[str, Any], expected: list[str]) -> None:
    every = resources(**given)
    world = stock(question for each in every for question in each.questions()) | CONVERGED
    assert summaries(every, world) == expected
