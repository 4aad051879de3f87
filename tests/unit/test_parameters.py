# SPDX-License-Identifier: GPL-3.0-or-later
"""A resource's parameters: read from its fields, and what is written wrongly is refused, all of it at once."""

from __future__ import annotations

from typing import Any

import pytest
from builderfleet.plugin_utils.parameters import by_itself, parameters
from builderfleet.plugin_utils.resource import Resource
from builderfleet.plugin_utils.resources.builder_vm import BuilderVm
from builderfleet.plugin_utils.resources.launchd_daemon import LaunchdDaemon
from builderfleet.plugin_utils.resources.mac_requirements import RootOnMac
from builderfleet.plugin_utils.resources.nix_machine import NixMachine
from builderfleet.plugin_utils.resources.ssh_host import SshHost
from builderfleet.plugin_utils.size import Size


def test_names_kinds_and_defaults_are_those_of_the_fields() -> None:
    found = {each.name: (each.kind, each.required, each.default) for each in parameters(LaunchdDaemon)}
    assert found["label"] == ("str", True, None)
    assert found["program_arguments"] == ("list", False, [])
    assert found["environment"] == ("dict", False, {})
    assert found["answers_on"] == ("int", False, None)
    assert found["present"] == ("bool", False, True)
    assert {each.name: each.default for each in parameters(BuilderVm)}["memory"] == "6GiB"


def test_what_only_other_resources_set_is_no_parameter() -> None:
    assert "follows" not in [each.name for each in parameters(LaunchdDaemon)]
    _, wrong = by_itself(LaunchdDaemon, {"label": "x", "follows": "y"})
    assert [each.name for each in wrong] == ["follows"]


def test_a_resource_comes_with_what_it_needs_a_mac_to_be() -> None:
    resources, wrong = by_itself(NixMachine, {"uri": "ssh://a", "systems": ["x86_64-linux"], "ssh_key": None})
    assert wrong == ()
    assert resources == (RootOnMac(), NixMachine(uri="ssh://a", systems=("x86_64-linux",)))


def test_sizes_and_pairs_are_read() -> None:
    (_, vm), _ = by_itself(BuilderVm, {"memory": "8GiB"})
    assert isinstance(vm, BuilderVm) and vm.memory == Size.parse("8GiB")
    (_, host), _ = by_itself(SshHost, {"alias": "a", "file": "f", "options": {"Port": 22, "User": "me"}})
    assert isinstance(host, SshHost) and host.options == (("Port", "22"), ("User", "me"))


@pytest.mark.parametrize(
    ("resource", "given", "said"),
    [
        (NixMachine, {}, ["uri = None: it has to be given"]),
        (
            NixMachine,
            {"uri": 5, "max_jobs": "four"},
            ["uri = 5: it is a text", "max_jobs = 'four': it is a whole number"],
        ),
        (NixMachine, {"uri": "a\nb"}, ["uri = 'a\\nb': it is a text of one line"]),
        (NixMachine, {"uri": "a", "systems": "x86_64-linux"}, ["it is a list of texts"]),
        (NixMachine, {"uri": "a", "port": 1}, ["port = 1: there is no such parameter; they are uri, systems"]),
        (NixMachine, {"uri": "a", "present": "yes"}, ["present = 'yes': it is true or false"]),
        (BuilderVm, {"memory": "8GB"}, ["memory = '8GB'", "8GiB"]),
        (
            SshHost,
            {"alias": "a", "file": "f", "options": {"BatchMode": True}},
            ["BatchMode is True", "put it in quotes"],
        ),
        (SshHost, {"alias": "a", "file": "f", "options": ["Port 22"]}, ["it is a mapping of names to texts"]),
    ],
)
def test_what_is_wrong_is_said(resource: type[Resource], given: dict[str, Any], said: list[str]) -> None:
    resources, wrong = by_itself(resource, given)
    assert resources == ()
    text = "\n".join(map(str, wrong))
    for words in said:
        assert words in text


@pytest.mark.parametrize(
    "given", [{"label": "a b", "program_arguments": ["/x"]}, {"label": "x", "program_arguments": True}]
)
@pytest.mark.parametrize("environment", [{"TOKEN": "s3cret"}, {"TOKEN": "s3cret", "FLAG": True}])
def test_what_may_be_secret_is_not_said(given: dict[str, Any], environment: dict[str, Any]) -> None:
    _, wrong = by_itself(LaunchdDaemon, {**given, "environment": environment})
    assert wrong and "s3cret" not in "\n".join(map(str, wrong))
