# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's front end: one action a resource, and `linux_builder`, which does it all. modules/ holds their documentation.

Here is the one place where a session's scripts travel over Ansible's connection: on standard input of one command each,
so that a Mac needs no Python, no temporary directory and no file transfer (`facts/ansible §1`).
"""

from __future__ import annotations

import difflib
import re
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from ansible import constants
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.common.validation import check_type_bool, check_type_dict, check_type_int, check_type_list
from ansible.plugins.action import ActionBase
from ansible.release import __version__ as ansible_version
from ansible.utils.display import Display
from ansible_collections.builderfleet.macos.plugins.plugin_utils.connection import not_connected
from ansible_collections.builderfleet.macos.plugins.plugin_utils.controller import sudo_refuses, too_old, who
from ansible_collections.builderfleet.macos.plugins.plugin_utils.outcome import AS_DESIRED, Outcome
from ansible_collections.builderfleet.macos.plugins.plugin_utils.parameters import by_itself, parameters
from ansible_collections.builderfleet.macos.plugins.plugin_utils.plain import plain
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resource import Resource
from ansible_collections.builderfleet.macos.plugins.plugin_utils.session import Script, Session, SessionError
from ansible_collections.builderfleet.macos.plugins.plugin_utils.variables import DEFAULTS, PREFIXES

Desired = tuple[Sequence[Resource], Sequence[object]]
"""Resources in their order; or what is wrong with what was asked for, each fit to be shown."""

KEEPALIVE = "-o ServerAliveInterval=15 -o ServerAliveCountMax=4"
"""By which ssh notices after a minute that a Mac fell asleep. Without it, it waits for ever."""


def say(line: str) -> None:
    """A line for people; where the standard output is some program's, such as JSON, beside it."""
    ours = str(constants.DEFAULT_STDOUT_CALLBACK).removeprefix("ansible.builtin.") == "default"
    Display().display(line, stderr=not ours)


class MacAction(ActionBase):  # type: ignore[misc]
    """An action that asks a Mac, and in a real run makes the changes."""

    TRANSFERS_FILES = False
    _requires_connection = True
    _supports_check_mode = True
    _supports_async = False

    _mac = ""
    _secrets: frozenset[str] = frozenset()  # which nothing that people read may hold

    def options(self) -> Collection[str]:
        """The names of the arguments that it takes."""
        return ()

    def desired(self, arguments: dict[str, Any], variables: Mapping[str, Any]) -> Desired:
        """What is asked for, from the task's arguments and the host's variables (which are templates still)."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it wants")

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Hold the conversation; the result is documented in modules/."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        self._mac = str(self._task.delegate_to or variables.get("inventory_hostname", ""))
        resources, wrong = self._wanted(variables)
        self._check_host_keys(variables)
        session = Session(resources, who("Ansible"), wrong)
        for script in session.converge(dry=self._task.check_mode):
            self._announce(script)
            printed = self._carry(session, script)
            if not session.failure:
                session.take(*printed)
        return result | dict(remove_values(self.report(session), self._secrets))

    def _wanted(self, variables: Mapping[str, Any]) -> Desired:
        """What is desired; whatever is wrong with that is a result like any other, not an exception."""
        if unsupported := too_old(ansible_version):
            return (), (unsupported,)
        if any(self._task.environment or ()):
            Display().warning(
                f"{self._name} takes nothing from `environment`: what it runs on the Mac has the Mac's own environment"
            )
        self._secrets |= {*_marked(self._task.args)}
        arguments = plain(self._task.args)  # Ansible tags its own types (facts/ansible §1.2)
        if unknown := [self._unknown(name) for name in arguments if name not in self.options()]:
            return (), unknown
        try:
            return self.desired(arguments, variables)
        except _Unreadable as error:
            return (), error.args

    @property
    def _name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    def _unknown(self, name: str) -> str:
        """That there is no such option, in words."""
        known = sorted(self.options())
        near = [each for each in known if each.endswith(f"_{name}")] or difflib.get_close_matches(name, known, n=1)
        meant = f"{near[0]} was meant?" if near else f"they are {', '.join(known)}" if known else "it has none"
        return f"{name}: {self._name} has no such option; {meant}"

    def variables(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The host's variables that are builderfleet's, rendered, in plain types; of others like them the names alone."""
        found: dict[str, Any] = {name: None for name in variables if name.startswith(PREFIXES)}
        wrong = []
        for name in found.keys() & DEFAULTS.keys():
            try:
                found[name] = self._templar.template(variables[name])
            except AnsibleError as error:
                wrong.append(f"{name}: {error}")
        if wrong:
            raise _Unreadable(*sorted(wrong))
        self._secrets |= {*_marked(found)}
        return dict(plain(found))

    def report(self, session: Session) -> dict[str, Any]:
        """The task's result."""
        found = session.result()
        away = found.outcome is Outcome.UNREACHABLE
        failed = found.outcome not in AS_DESIRED
        hidden = "the words are hidden by no_log" if self._task.no_log else found.remark
        return {
            "changed": any(not change.proof for change in session.shown),
            "failed": failed and not away,
            "outcome": found.outcome.word,
            "changes": [change.summary for change in session.shown],
            "needs": _needs(session),
            "remark": found.remark,
            # Ansible prints the message of a task that failed whatever its no_log says.
            "msg": f"{found.outcome.word}: {hidden}" if failed else found.outcome.word,
            "diff": [
                {"before_header": diff.name, "after_header": diff.name, "before": before, "after": after}
                for change in session.shown
                for diff in change.diffs
                for before, after in [diff.changed]
                if self._task.diff
            ],
        } | ({"unreachable": True} if away else {})

    def _announce(self, script: Script) -> None:
        """Say what begins: a task's result shows only when all of it is over, and some changes take minutes."""
        if script.change:
            slow = " (this can take a while)" if script.change.slow else ""
            self.say(f"{script.change.summary}{slow}")

    def say(self, line: str) -> None:
        """A line for people about this Mac, while the task runs."""
        if not self._task.no_log:
            say(f"    [{self._mac}] {remove_values(line, self._secrets)}")

    def _carry(self, session: Session, script: Script) -> tuple[str, str]:
        """Run a script on the Mac. Where that does not come to its end, the session's failure says why."""
        try:
            self._notice_sleep()
            with self._limited(script.limit):
                ran = self._low_level_execute_command("/bin/sh -s", in_data=script.text.encode(), sudoable=True)
        except AnsibleConnectionFailure as error:
            lost = not_connected(str(error), answered=session.answered)
            made = "; ".join(change.summary for change in session.made)
            session.failure = SessionError(lost.remark + (f" (after: {made})" if made else ""), lost.outcome)
            return "", ""
        except AnsibleError as error:
            if not (refused := re.match(r"(Incorrect|Missing) (\S+ )?password", str(error))):
                raise
            method = (refused[2] or "sudo").strip()
            session.failure = SessionError(
                f"{error}: {sudo_refuses(method, '--ask-become-pass', given=refused[1] == 'Incorrect')}"
            )
            return "", ""
        except _Late:
            session.failure = SessionError(f"no answer within {script.limit} seconds")
            return "", ""
        return ran["stdout"], ran["stderr"]

    def _check_host_keys(self, variables: Mapping[str, Any]) -> None:
        """Only the inventory's own variables switch that off, as over pyinfra; no ansible.cfg or environment, which many have
        for other machines and in which Ansible then takes whatever key answers.
        """
        own = {"ansible_host_key_checking", "ansible_ssh_host_key_checking"}
        if self._task.delegate_to:
            variables = variables.get("ansible_delegated_vars", {}).get(self._mac, {})
        if self._connection.transport == "ssh" and not own & variables.keys():
            self._connection.set_option("host_key_checking", True)

    def _notice_sleep(self) -> None:
        """Of several values of an option ssh takes the first, so what somebody has set himself holds."""
        if self._connection.transport == "ssh":
            given = self._connection.get_option("ssh_extra_args") or ""
            if KEEPALIVE not in given:
                self._connection.set_option("ssh_extra_args", f"{given} {KEEPALIVE}".strip())

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


class _Unreadable(Exception):
    """Variables whose templates have no value; the arguments say of each which and why."""


def _late(number: int, frame: object) -> None:
    raise _Late


class ResourceAction(MacAction):
    """An action for one resource by itself; its options are the resource's parameters, with `state` for `present`."""

    resource: ClassVar[type[Resource]]

    def options(self) -> Collection[str]:
        return ["state" if each.name == "present" else each.name for each in parameters(self.resource)]

    def desired(self, arguments: dict[str, Any], variables: Mapping[str, Any]) -> Desired:
        state = arguments.pop("state", "present")
        if state not in ("present", "absent"):
            return (), (f"{self._name}: state: it is present or absent",)
        given = {
            each.name: _coerced(each.kind, arguments[each.name])
            for each in parameters(self.resource)
            if each.name in arguments
        }
        resources, wrong = by_itself(self.resource, given | ({"present": False} if state == "absent" else {}))
        return resources, [f"{self._name}: {each}" for each in wrong]


def _text(value: Any) -> Any:
    """A number is its digits; `yes` without quotes is no text, because nobody can tell what was written."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


_TYPES: Mapping[str, Callable[[Any], Any]] = {
    "int": check_type_int,
    "bool": check_type_bool,
    "list": lambda value: [_text(each) for each in check_type_list(value)],
    "dict": check_type_dict,
    "str": _text,
}


def _coerced(kind: str, value: Any) -> Any:
    """A value as Ansible's own modules take it; as it is where they would not, and whoever reads it says what is wrong."""
    try:
        return value if value is None else _TYPES[kind](value)
    except (TypeError, ValueError):
        return value


def _marked(value: Any) -> Iterator[str]:
    """The texts of a vault in a value: Ansible knows where each text of its has come from."""
    from ansible.parsing.vault import VaultHelper  # which Ansible has from 2.19

    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _marked(each)
    elif isinstance(value, str) and len(value) > 3 and VaultHelper.get_ciphertext(value, with_tags=False):
        yield str(value)


def _needs(session: Session) -> list[dict[str, str]]:
    """What a person has to do, by the plan as it stands; nothing where that cannot be told."""
    try:
        return [{"what": each.summary, "remedy": each.remedy} for each in session.plan().blocked]
    except SessionError:
        return []
