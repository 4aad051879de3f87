# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's front end: one action a resource, and `linux_builder`, which does it all. modules/ holds their documentation.

Here is the one place where a session's scripts travel over Ansible's connection: on standard input of one command each,
so that a Mac needs no Python, no temporary directory and no file transfer (`facts/ansible §1`).
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.builderfleet.macos.plugins.plugin_utils.controller import sudo_wants_a_password, who
from ansible_collections.builderfleet.macos.plugins.plugin_utils.outcome import AS_DESIRED
from ansible_collections.builderfleet.macos.plugins.plugin_utils.parameters import by_itself, parameters
from ansible_collections.builderfleet.macos.plugins.plugin_utils.plain import plain
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resource import Resource
from ansible_collections.builderfleet.macos.plugins.plugin_utils.session import Script, Session, SessionError
from ansible_collections.builderfleet.macos.plugins.plugin_utils.variables import PREFIXES, WrongVariable

Desired = tuple[tuple[Resource, ...], tuple[WrongVariable, ...]]
"""Resources in their order; or what is wrong with what was asked for."""


class MacAction(ActionBase):  # type: ignore[misc]
    """An action that asks a Mac, and in a real run makes the changes."""

    TRANSFERS_FILES = False
    _requires_connection = True
    _supports_check_mode = True
    _supports_async = False

    def desired(self, arguments: dict[str, Any], variables: Mapping[str, Any]) -> Desired:
        """What is asked for, from the task's arguments and the host's variables (which are templates still)."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it wants")

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Hold the conversation; the result is documented in modules/."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = plain(self._task.args)  # Ansible tags its own types (facts/ansible §1.2)
        resources, wrong = self.desired(arguments, task_vars or {})
        session = Session(resources, who("Ansible"), wrong)
        for script in session.converge(dry=self._task.check_mode):
            self._announce((task_vars or {}).get("inventory_hostname", ""), script)
            printed = self._carry(session, script)
            if not session.failure:
                session.take(*printed)
        return result | self.report(session, (task_vars or {}).get("inventory_hostname", ""))

    def variables(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The host's variables that are builderfleet's, rendered, in plain types."""
        ours = {name: self._templar.template(value) for name, value in variables.items() if name.startswith(PREFIXES)}
        return dict(plain(ours))

    def report(self, session: Session, host: str) -> dict[str, Any]:
        """The task's result."""
        found = session.result()
        failed = found.outcome not in AS_DESIRED
        return {
            "changed": any(not change.proof for change in session.shown),
            "failed": failed,
            "outcome": found.outcome.word,
            "changes": [change.summary for change in session.shown],
            "needs": _needs(session),
            "remark": found.remark,
            "msg": f"{found.outcome.word}: {found.remark}" if failed else found.outcome.word,
            "diff": [
                {"before_header": diff.name, "after_header": diff.name, "before": diff.before, "after": diff.after}
                for change in session.shown
                for diff in change.diffs
                if self._task.diff
            ],
        }

    def _announce(self, host: str, script: Script) -> None:
        """Say what begins: a task's result shows only when all of it is over, and some changes take minutes."""
        if script.change:
            slow = " (this can take a while)" if script.change.slow else ""
            self.say(host, f"{script.change.summary}{slow}")

    @staticmethod
    def say(host: str, line: str) -> None:
        """A line for people, while the task runs."""
        Display().display(f"    [{host}] {line}")

    def _carry(self, session: Session, script: Script) -> tuple[str, str]:
        """Run a script on the Mac. Raises AnsibleConnectionFailure where the Mac cannot be reached."""
        try:
            with self._limited(script.limit):
                ran = self._low_level_execute_command("/bin/sh -s", in_data=script.text.encode(), sudoable=True)
        except AnsibleConnectionFailure as error:
            made = "; ".join(change.summary for change in session.made)
            raise AnsibleConnectionFailure(f"{error}" + (f" (after: {made})" if made else "")) from error
        except AnsibleError as error:
            if not re.match("(Incorrect|Missing) .*password", str(error)):
                raise
            session.failure = SessionError(f"{error}: {sudo_wants_a_password('--ask-become-pass')}")
            return "", ""
        except _Late:
            session.failure = SessionError(f"no answer within {script.limit} seconds")
            return "", ""
        return ran["stdout"], ran["stderr"]

    @contextmanager
    def _limited(self, seconds: int) -> Iterator[None]:
        """Raises _Late after that time, as Ansible does for a task's own `timeout`, which comes first."""
        if self._task.timeout:
            yield
            return
        former = signal.signal(signal.SIGALRM, _late)
        signal.alarm(seconds)
        try:
            yield
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, former)


class _Late(BaseException):
    """No Exception, because Ansible's ssh takes every one of those for a lost connection, and tries again."""


def _late(number: int, frame: object) -> None:
    raise _Late


class ResourceAction(MacAction):
    """An action for one resource by itself; its options are the resource's parameters, and `state`."""

    resource: ClassVar[type[Resource]]

    def desired(self, arguments: dict[str, Any], variables: Mapping[str, Any]) -> Desired:
        spec = {
            each.name: {"type": each.kind, "required": each.required}
            for each in parameters(self.resource)
            if each.name != "present"
        }
        if any(each.name == "present" for each in parameters(self.resource)):
            spec["state"] = {"type": "str", "choices": ["present", "absent"], "default": "present"}
        _result, given = self.validate_argument_spec(argument_spec=spec)
        state = given.pop("state", None)
        if state:
            given["present"] = state == "present"
        return by_itself(self.resource, plain(given))


def _needs(session: Session) -> list[dict[str, str]]:
    """What a person has to do, by the plan as it stands; nothing where that cannot be told."""
    try:
        return [{"what": each.summary, "remedy": each.remedy} for each in session.plan().blocked]
    except SessionError:
        return []
