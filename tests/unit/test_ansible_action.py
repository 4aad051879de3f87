# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's front end, its connection played by a sandbox: what it asks, what it makes, and what a task's result says."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.builderfleet.macos.plugins import action
from ansible_collections.builderfleet.macos.plugins.plugin_utils.asking import Answers, Question
from ansible_collections.builderfleet.macos.plugins.plugin_utils.files import own_file
from ansible_collections.builderfleet.macos.plugins.plugin_utils.questions.file import File
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resource import Blocked, Step

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
        self._task = SimpleNamespace(args={}, check_mode=check, diff=diff, timeout=0)
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


def test_a_mac_that_goes_away_says_what_was_made_before(act: Any, sandbox: Sandbox) -> None:
    calls = []

    def through(script: str) -> dict[str, Any]:
        calls.append(script)
        if len(calls) == 3:
            raise AnsibleConnectionFailure("Connection closed")
        done = sandbox.run(script)
        return {"stdout": done.stdout, "stderr": done.stderr}

    with pytest.raises(AnsibleConnectionFailure, match=r"Connection closed \(after: write .*text\)"):
        act(Text("/etc/text"), through=through)


def test_a_password_that_is_missing_is_said_with_what_to_do(act: Any) -> None:
    def through(script: str) -> dict[str, Any]:
        raise AnsibleError("Missing sudo password")

    result, _ = act(Text("/etc/text"), through=through)
    assert result["outcome"] == "failed" and "run with --ask-become-pass" in result["msg"]


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
