# SPDX-License-Identifier: GPL-3.0-or-later
"""A resource's parameters: read from its fields, and what is written wrongly is refused, all of it at once."""

from __future__ import annotations

from typing import Any

import pytest
from builderfleet.plugin_utils.parameters import by_itself, parameters
from builderfleet.plugin_utils.resource import Resource
from builderfleet.plugin_utils.resources.builder_vm import BuilderVm
from builderfleet.plugin_utils.resources.launchd_daemon import LaunchdDaemon
from builderfleet.plugin_utils.resources.linux_build import LinuxBuild
from builderfleet.plugin_utils.resources.mac_requirements import RootOnMac
from builderfleet.plugin_utils.resources.nix_installation import NixInstallation
from builderfleet.plugin_utils.resources.nix_machine import NixMachine
from builderfleet.plugin_utils.resources.nix_setting import NixSetting
from builderfleet.plugin_utils.resources.ssh_host import SshHost
from builderfleet.plugin_utils.resources.ssh_keypair import SshKeypair
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
        (NixMachine, {}, ["uri: it has to be given"]),
        (
            NixMachine,
            {"uri": 5, "max_jobs": "four"},
            ["uri: it is a store URI such as", "max_jobs: it is a whole number from 1"],
        ),
        (NixMachine, {"uri": "a\nb"}, ["uri: it is a store URI"]),
        (
            NixMachine,
            {"uri": "a://b", "systems": {"x86_64-linux": 1}},
            ["systems: it is a list, and each item is a system"],
        ),
        (NixMachine, {"uri": "a", "port": 1}, ["port: there is no such parameter; they are uri, systems"]),
        (NixMachine, {"uri": "ssh://a", "present": "maybe"}, ["present: it is true or false"]),
        (BuilderVm, {"memory": "8GB"}, ["memory: ", "8GiB"]),
        (
            SshHost,
            {"alias": "a", "file": "f", "options": {"BatchMode": True}},
            ["options: BatchMode: it is a text", "put it in quotes"],
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


VM: dict[str, Any] = {}
JOB = {"label": "org.example.x", "program_arguments": ["/bin/true"]}
HOST = {"alias": "a", "file": "f.conf"}
MACHINE = {"uri": "ssh-ng://builder"}


@pytest.mark.parametrize(
    ("resource", "given", "name", "values"),
    [
        (BuilderVm, VM, "cores", [0, -1, 999, "08"]),
        (BuilderVm, VM, "memory", ["8GB", "1MiB"]),
        (BuilderVm, VM, "disk", ["1MiB", "six"]),
        (BuilderVm, VM, "port", [22, 99999]),
        (BuilderVm, VM, "nixpkgs", ["nixpkgs", "github:NixOS/nixpkgs/nixos-25.11", ""]),
        (BuilderVm, VM, "host_key", ["garbage", "ssh-ed25519 AAAA", ""]),
        (BuilderVm, VM, "label", ["a b", "../x"]),
        (BuilderVm, VM, "alias", ["*", "a b"]),
        (BuilderVm, VM, "key", ["relative", "/a b"]),
        (BuilderVm, VM, "certificates", ["relative"]),
        (LaunchdDaemon, JOB, "label", ["../x", "a b", ""]),
        (LaunchdDaemon, JOB, "program_arguments", [[], [""], {"a": "b"}, ["a\nb"], [True]]),
        (LaunchdDaemon, JOB, "exit_timeout", [-3, "x"]),
        (LaunchdDaemon, JOB, "answers_on", [0, 99999]),
        (LaunchdDaemon, JOB, "start_limit", [0]),
        (LaunchdDaemon, JOB, "log", ["relative", "/var/log/"]),
        (LaunchdDaemon, JOB, "working_directory", ["relative"]),
        (LaunchdDaemon, JOB, "keep_alive", ["maybe"]),
        (LaunchdDaemon, JOB, "environment", ["A=1", {"A": True}, {"A": None}]),
        (NixMachine, MACHINE, "uri", ["a", "", 5, "ssh://a b", "ssh://a;b"]),
        (NixMachine, MACHINE, "ssh_key", ["relative", "/a b"]),
        (NixMachine, MACHINE, "max_jobs", [0, "four"]),
        (NixMachine, MACHINE, "speed_factor", [0, 1.5]),
        (NixMachine, MACHINE, "systems", [["linux"], "a b"]),
        (NixMachine, MACHINE, "supported_features", [["a b"], ["-"], ["a;b"]]),
        (NixMachine, MACHINE, "host_key", ["AAAA", "ssh-ed25519 AAAA"]),
        (NixSetting, {"setting": "cores"}, "setting", ["a b", "include", "a=b", "", "# x"]),
        (NixSetting, {"setting": "cores"}, "value", [{"a": "b"}, "4 # many", "a\nb", [{"a": "b"}], 1.5]),
        (SshHost, HOST, "alias", ["*", "a b", ""]),
        (SshHost, HOST, "file", ["../y", "", "..", "a b"]),
        (SshHost, HOST, "options", [{"Port": "abc"}, {"Port": 0}, {"Host": "x"}, {"User": 'a"b'}, ["Port 22"]]),
        (SshKeypair, {"path": "/k"}, "path", ["relative", "/", "/etc/"]),
        (NixInstallation, {}, "extra_conf", [["garbage line"], ["a=b"]]),
        (NixInstallation, {}, "sha256", ["xyz"]),
        (LinuxBuild, {}, "systems", [["riscv"], ["x86_64-darwin"]]),
    ],
)
def test_a_resource_alone_refuses_what_cannot_work_before_any_mac_is_asked(
    resource: type[Resource], given: dict[str, Any], name: str, values: list[Any]
) -> None:
    assert by_itself(resource, given)[1] == ()
    for value in values:
        resources, wrong = by_itself(resource, {**given, name: value})
        assert (resources, [each.name for each in wrong]) == ((), [name]), value
        assert str(wrong[0]).startswith(f"{name}: ") and "garbage" not in str(wrong[0])


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "true"),
        (False, "false"),
        (4, "4"),
        ("yes", "yes"),
        (["root", "@admin"], "root @admin"),
        ("root  @admin ", "root @admin"),
        ([], ""),
    ],
)
def test_the_value_of_a_setting_is_written_as_nix_writes_it(value: Any, written: str) -> None:
    (_, setting), wrong = by_itself(NixSetting, {"setting": "it", "value": value})
    assert (setting, wrong) == (NixSetting(setting="it", value=written), ())


def test_what_a_command_line_gives_is_taken_as_ansible_takes_it() -> None:
    (_, machine), _ = by_itself(
        NixMachine, {"uri": "ssh://a", "systems": "x86_64-linux, aarch64-linux", "max_jobs": "4", "present": "yes"}
    )
    assert machine == NixMachine(uri="ssh://a", systems=("x86_64-linux", "aarch64-linux"), max_jobs=4)
    (_, job), _ = by_itself(LaunchdDaemon, {"label": "x", "program_arguments": ["/bin/sleep", 3], "keep_alive": "off"})
    assert job == LaunchdDaemon(label="x", program_arguments=("/bin/sleep", "3"), keep_alive=False)
