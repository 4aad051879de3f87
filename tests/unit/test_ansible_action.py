# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's front end, its connection played by a sandbox: what it asks, what it makes, and what a task's result says."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from ansible import constants
from ansible._internal._datatag._tags import VaultedValue
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase
from ansible.template import Templar, trust_as_template
from ansible_collections.builderfleet.macos.plugins import action
from ansible_collections.builderfleet.macos.plugins.plugin_utils.asking import Answers, Question
from ansible_collections.builderfleet.macos.plugins.plugin_utils.files import own_file
from ansible_collections.builderfleet.macos.plugins.plugin_utils.questions.file import File
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resource import Blocked, Step
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resources.launchd_daemon import LaunchdDaemon
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resources.nix_machine import NixMachine

from tests.unit.sandbox import Sandbox


@dataclass(frozen=True)
class Text:
    """A file with a text, or a person who is needed."""

    path: str
    person: bool = False
    title: str = "text"

    def questions(self) -> Iterator[Question[Any]]:
        yield File(self.path)

    def changes(self, answers: Answers) -> Iterator[Step]:
        if self.person:
            yield Blocked("the lid is closed", "Open it")
        yield from own_file(f"write {self.path}", self.path, answers[File(self.path)], b"wanted\n")


class Action(action.MacAction):
    """An action without Ansible around it: `run_script` stands for the connection."""

    def __init__(self, resource: Any, run_script: Callable[[str], dict[str, Any]], *, check: bool, diff: bool) -> None:
        self._task = SimpleNamespace(
            args={}, check_mode=check, diff=diff, timeout=0, delegate_to=None, environment=[], no_log=False
        )
        self._connection: Any = SimpleNamespace(transport="local")
        self.resource, self.run_script, self.scripts = resource, run_script, list[str]()

    def desired(self, arguments: dict[str, Any], variables: Any) -> Any:
        return (self.resource,), ()

    def _low_level_execute_command(self, command: str, in_data: bytes, sudoable: bool) -> dict[str, Any]:
        assert (command, sudoable) == ("/bin/sh -s", True)
        self.scripts.append(in_data.decode())
        return self.run_script(in_data.decode())


@pytest.fixture(autouse=True)
def no_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})


@pytest.fixture
def act(sandbox: Sandbox) -> Callable[..., tuple[dict[str, Any], Action]]:
    def run_script(script: str) -> dict[str, Any]:
        done = sandbox.run(script)
        return {"stdout": done.stdout, "stderr": done.stderr}

    def run(resource: Any, *, check: bool = False, diff: bool = False, through: Any = None) -> Any:
        made = Action(resource, through or run_script, check=check, diff=diff)
        return made.run(task_vars={"inventory_hostname": "mac"}), made

    return run


def test_a_change_is_made_once_and_then_none(act: Any, sandbox: Sandbox) -> None:
    path = "/etc/text"
    first, made = act(Text(path), diff=True)
    assert (first["outcome"], first["changed"], first["failed"]) == ("changed", True, False), first
    assert first["changes"] == [f"write {path}"] and len(made.scripts) == 3  # ask, change and ask, give the lock back
    assert first["diff"][0]["after"] == "wanted\n"
    second, made = act(Text(path), diff=True)
    assert (second["outcome"], second["changed"], second["diff"], len(made.scripts)) == ("converged", False, [], 1)


def test_check_mode_asks_and_writes_nothing(act: Any, sandbox: Sandbox) -> None:
    path = "/etc/text"
    result, made = act(Text(path), check=True)
    assert (result["outcome"], result["changed"], result["failed"]) == ("would change", True, False)
    assert len(made.scripts) == 1 and result["diff"] == []
    assert not (sandbox / path).exists()


def test_where_a_person_is_needed_the_task_fails_with_the_remedy(act: Any, sandbox: Sandbox) -> None:
    result, _ = act(Text("/etc/text", person=True))
    assert result["failed"] and result["outcome"] == "needs a person"
    assert result["needs"] == [{"what": "the lid is closed", "remedy": "Open it"}]
    assert "the lid is closed. Open it" in result["msg"]


@pytest.fixture
def goes_away(sandbox: Sandbox) -> Any:
    """A Mac that answers so many scripts and then says that."""

    def after(answered: int, said: str) -> Any:
        calls = []

        def through(script: str) -> dict[str, Any]:
            calls.append(script)
            if len(calls) > answered:
                raise AnsibleConnectionFailure(said)
            done = sandbox.run(script)
            return {"stdout": done.stdout, "stderr": done.stderr}

        return through

    return after


@pytest.mark.parametrize(("answered", "outcome"), [(0, "needs a person"), (1, "unreachable"), (2, "unreachable")])
def test_a_mac_that_refuses_after_it_has_answered_is_going_down(
    act: Any, goes_away: Any, answered: int, outcome: str
) -> None:
    result, _ = act(
        Text("/etc/text"), through=goes_away(answered, "ssh: connect to host a port 22: Connection refused")
    )
    assert result["outcome"] == outcome, result


def test_a_mac_that_goes_away_says_what_was_made_before(act: Any, goes_away: Any) -> None:
    result, _ = act(Text("/etc/text"), through=goes_away(2, "Connection timed out"))
    assert (result["outcome"], result["unreachable"], result["failed"]) == ("unreachable", True, False)
    assert (result["changed"], result["changes"]) == (True, ["write /etc/text"])
    assert "Connection timed out (after: write /etc/text)" in result["msg"]


def test_a_password_that_is_missing_is_said_with_what_to_do(act: Any) -> None:
    def through(script: str) -> dict[str, Any]:
        raise AnsibleError("Missing sudo password")

    result, _ = act(Text("/etc/text"), through=through)
    assert result["outcome"] == "failed" and "run with --ask-become-pass" in result["msg"]


def test_a_password_that_is_not_taken_is_not_asked_for_again(act: Any) -> None:
    def through(script: str) -> dict[str, Any]:
        raise AnsibleError("Incorrect su password")

    result, _ = act(Text("/etc/text"), through=through)
    assert "su on this Mac does not take the password that was given" in result["msg"]
    assert "--ask-become-pass" not in result["msg"]


def test_a_mac_that_refuses_is_no_mac_that_sleeps(act: Any) -> None:
    def through(script: str) -> dict[str, Any]:
        raise AnsibleConnectionFailure("Failed to connect to the host via ssh: a@b: Permission denied (publickey).")

    result, _ = act(Text("/etc/text"), through=through)
    assert (result["outcome"], result["failed"]) == ("failed", True) and "unreachable" not in result


def test_that_a_mac_fell_asleep_is_noticed_whatever_the_users_configuration(act: Any) -> None:
    """Of an option's values ssh takes the first: what somebody has said himself, in ssh_args say, holds."""
    given: dict[str, Any] = {"ssh_extra_args": "-o Port=2"}
    ssh = SimpleNamespace(transport="ssh", get_option=given.get, set_option=given.__setitem__)
    made = Action(Text("/etc/text"), lambda script: {"stdout": "", "stderr": ""}, check=True, diff=False)
    made._connection = ssh
    for _ in "12":
        made.run(task_vars={})
        assert given["ssh_extra_args"] == ("-o Port=2 -o ServerAliveInterval=15 -o ServerAliveCountMax=4")


def test_what_is_asked_of_a_delegate_is_said_of_it(
    act: Any, capsys: pytest.CaptureFixture[str], sandbox: Sandbox
) -> None:
    def run_script(script: str) -> dict[str, Any]:
        done = sandbox.run(script)
        return {"stdout": done.stdout, "stderr": done.stderr}

    made = Action(Text("/etc/text"), run_script, check=False, diff=False)
    made._task.delegate_to = "other"
    made.run(task_vars={"inventory_hostname": "mac"})
    assert "[other] write /etc/text" in capsys.readouterr().out


@pytest.mark.parametrize(("stdout", "stream"), [("default", "out"), ("ansible.posix.json", "err")])
def test_beside_a_programs_output_people_are_told_on_the_standard_error(
    stdout: str, stream: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "DEFAULT_STDOUT_CALLBACK", stdout)
    action.say("a line")
    said = capsys.readouterr()
    assert {"out": said.out, "err": said.err} == {"out": "", "err": "", stream: "a line\n"}


def test_an_ansible_that_is_too_old_changes_nothing(act: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action, "ansible_version", "2.18.19")
    result, made = act(Text("/etc/text"))
    assert result["outcome"] == "failed" and made.scripts == []
    assert "wants ansible-core 2.19 or later, and this is 2.18.19: nothing was asked" in result["msg"]


class Part(action.ResourceAction):
    """An action for one resource, of which only the arguments matter."""

    def __init__(self, resource: Any, arguments: dict[str, Any]) -> None:
        self.resource = resource  # type: ignore[misc]
        self._task = SimpleNamespace(args=arguments, environment=[])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"uri": "ssh://a", "system": "x"}, "system: test_ansible_action has no such option; systems was meant?"),
        ({"uri": "ssh://a", "jobs": 1}, "jobs: test_ansible_action has no such option; max_jobs was meant?"),
        ({"uri": "ssh://a", "present": True}, "present: test_ansible_action has no such option; they are "),
        ({"uri": "ssh://a", "state": "gone"}, "test_ansible_action: state: it is present or absent"),
        ({}, "uri"),
        ({"uri": ["a"]}, "uri"),
        ({"uri": "ssh://a", "max_jobs": "many"}, "max_jobs"),
    ],
)
def test_wrong_options_are_said_in_words(arguments: dict[str, Any], said: str) -> None:
    resources, wrong = Part(NixMachine, arguments)._wanted({})
    assert not resources and said in str(wrong[0])
    assert "ansible_collections" not in str(wrong[0]) and "<class" not in str(wrong[0])


def test_options_are_taken_as_ansibles_own_modules_take_them() -> None:
    given = {"uri": "ssh://a", "systems": "aarch64-linux,x86_64-linux", "max_jobs": "4"}
    (_, machine), wrong = Part(NixMachine, given)._wanted({})
    assert not wrong and isinstance(machine, NixMachine)
    assert (machine.systems, machine.max_jobs) == (("aarch64-linux", "x86_64-linux"), 4)
    daemon = {"label": "org.example.x", "program_arguments": ["/bin/sleep", 3]}
    (_, job), wrong = Part(LaunchdDaemon, daemon)._wanted({})
    assert not wrong and isinstance(job, LaunchdDaemon) and job.program_arguments == ("/bin/sleep", "3")


def test_a_vaults_text_is_in_no_result(act: Any, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """Ansible marks what it has decrypted."""
    secret = VaultedValue(ciphertext="$ANSIBLE_VAULT;…").tag("s3cr3t-T0KEN")
    made = Action(Text("/etc/s3cr3t-T0KEN"), lambda script: vars(sandbox.run(script)), check=False, diff=True)
    made._task.args = {"token": [{"a": secret}]}
    made.options = lambda: ["token"]  # type: ignore[method-assign]
    result = made.run(task_vars={"inventory_hostname": "mac"})
    assert result["changes"] == ["write /etc/********"]
    assert "s3cr3t" not in str(result) + capsys.readouterr().out


def test_a_template_that_fails_names_its_variable() -> None:
    made = Action(None, lambda script: {}, check=True, diff=False)
    made._templar = Templar(DataLoader())
    trust = trust_as_template
    with pytest.raises(action._Unreadable) as wrong:
        made.variables({"linux_builder_cores": trust("{{ undefined_thing }}"), "linux_builder_port": 1, "other": 1})
    assert str(wrong.value).startswith("linux_builder_cores: ") and "undefined_thing" in str(wrong.value)
    found = made.variables({"nix_access_token": trust("{{ undefined_thing }}"), "nix_state": trust("{{ 'absent' }}")})
    assert found == {"nix_access_token": None, "nix_state": "absent"}, "what is not ours is not even rendered"


def test_a_mac_that_does_not_answer_is_given_up(act: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.builderfleet.macos.plugins.plugin_utils.session.PROBE_LIMIT", 1)

    def through(script: str) -> dict[str, Any]:
        signal.pause()
        raise AssertionError("it was not given up")

    result, _ = act(Text("/etc/text"), through=through)
    assert result["outcome"] == "failed" and "no answer within 1 seconds" in result["msg"]


def test_another_error_is_ansibles_own(act: Any) -> None:
    def through(script: str) -> dict[str, Any]:
        raise AnsibleError("to use passwords you must install sshpass")

    with pytest.raises(AnsibleError, match="sshpass"):
        act(Text("/etc/text"), through=through)


def test_rubbish_is_a_failure(act: Any) -> None:
    result, _ = act(Text("/etc/text"), through=lambda script: {"stdout": "hello", "stderr": "sudo: no"})
    assert result["failed"] and "sudo: no" in result["msg"] and result["changes"] == []


@pytest.mark.parametrize(
    ("variables", "checked"),
    [({}, True), ({"ansible_ssh_host_key_checking": False}, False), ({"ansible_host_key_checking": False}, False)],
)
def test_only_the_inventory_switches_off_that_host_keys_are_checked(variables: dict[str, Any], checked: bool) -> None:
    given = {"host_key_checking": False}  # from an ansible.cfg, or the environment
    made = action.MacAction.__new__(action.MacAction)
    made._connection = SimpleNamespace(transport="ssh", set_option=given.__setitem__)
    made._task = SimpleNamespace(delegate_to=None)
    made._check_host_keys(variables)
    assert given == {"host_key_checking": checked}
