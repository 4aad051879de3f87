# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a run of Ansible ended on each Mac: the table, the files and the exit code that pyinfra's front end has as well."""

from __future__ import annotations

DOCUMENTATION = r"""
name: outcomes
type: aggregate
short_description: Says how builderfleet's run ended on each Mac
description:
  - Prints a table at the end of a playbook that names for each Mac whether it is converged, changed, would change, needs a
    reboot or a person, failed, is locked by another run, or was unreachable, and why.
  - Ends C(ansible-playbook) with the number of the worst outcome, so that nothing to do (0), drift (2) and a failure (1)
    are told apart. The others are 3 (reboot needed), 4 (needs a person), 5 (unreachable) and 6 (locked).
  - A playbook that uses nothing of builderfleet is left alone. What a playbook of yours ignores (C(ignore_errors),
    C(failed_when), C(ignore_unreachable)) or rescues, or only looks at by a task with C(check_mode=true), is in neither the
    table nor the number.
  - Where the standard output is some program's (another C(stdout_callback) than C(default), such as JSON), all of it is
    printed to the standard error.
  - Put it last in C(callbacks_enabled), because nothing is called after it when that number is not 0. Of several playbooks
    on one command line, those after such a one are not run.
requirements:
  - enable in configuration (C(callbacks_enabled = builderfleet.macos.outcomes))
options:
  report_json:
    description: Path of a file that the outcomes are written to as JSON.
    type: path
    env:
      - name: BUILDERFLEET_REPORT_JSON
    ini:
      - section: callback_outcomes
        key: report_json
  report_junit:
    description: Path of a file that the outcomes are written to as JUnit's XML, a test case a Mac.
    type: path
    env:
      - name: BUILDERFLEET_REPORT_JUNIT
    ini:
      - section: callback_outcomes
        key: report_junit
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__ as ansible_version
from ansible_collections.builderfleet.macos.plugins.action import say
from ansible_collections.builderfleet.macos.plugins.plugin_utils.connection import not_connected
from ansible_collections.builderfleet.macos.plugins.plugin_utils.controller import too_old
from ansible_collections.builderfleet.macos.plugins.plugin_utils.outcome import AS_DESIRED, Outcome, exit_code
from ansible_collections.builderfleet.macos.plugins.plugin_utils.report import (
    Collected,
    ReportError,
    Result,
    table,
    write,
)

_OURS = "builderfleet.macos."
_PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Listens to what the tasks of a playbook say, and reports at its end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "builderfleet.macos.outcomes"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._collected = Collected()
        self._failures: list[tuple[Any, Result]] = []  # what counts unless it is rescued
        self._ours = False  # whether the playbook uses anything of this collection
        self._asked = False  # whether a task of its was heard
        self._own_play = False  # whether the play is one of this collection's, which ignores so that the others go on
        self._waves = False  # whether there was one that asks all, and changes in waves

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self._ours = _own(playbook._file_name)
        if self._ours and (unsupported := too_old(ansible_version)):
            self._display.error(unsupported)
            raise SystemExit(Outcome.FAILED.code)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        path = play.get_path().rpartition(":")[0]
        self._own_play = _own(path)
        self._waves = self._waves or (self._own_play and Path(path).name == "rollout.yml")

    def v2_runner_on_ok(self, result: Any) -> None:
        for found in self._heard(result):
            if self._own_play or found.outcome in AS_DESIRED:
                self._add(result, found)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        found = self._heard(result)
        if not any(each.outcome not in AS_DESIRED for each in found):
            # It did not come to a conversation, or no_log hides it, or it is not ours.
            whole = dict(result.result)
            found = [Result(Outcome.FAILED, str(whole.get("msg") or whole.get("censored") or "see above"))]
        for each in found:
            if self._own_play and _is_ours(result):
                self._add(result, each)
            elif not ignore_errors and each.outcome in AS_DESIRED:  # another item of a loop
                self._failures.append((result, each))
            elif not ignore_errors:  # of many tasks
                named = f"{result.task.get_name()}: {each.remark}"
                self._failures.append((result, Result(each.outcome, named)))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        if self._own_play or not result.task.ignore_unreachable:
            found = self._heard(result) or [not_connected(str(result.result.get("msg", "")))]
            for each in found:
                self._add(result, each)

    def _heard(self, result: Any) -> list[Result]:
        """What an action of this collection came to, of its loop each item; nothing where it is none."""
        if not _is_ours(result):
            return []
        self._ours = self._asked = True
        whole = dict(result.result)
        found = [_result(said, dry=bool(result.task.check_mode)) for said in whole.get("results", [whole])]
        return [each for each in found if each]

    def _add(self, result: Any, found: Result) -> None:
        dry = bool(result.task.check_mode)
        if dry and not self._own_play and not context.CLIARGS.get("check") and found.outcome in AS_DESIRED:
            return  # its author wanted to know, and does with it what he likes
        self._collected.add(_mac(result), found, of=_asked(result.task), dry=dry)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        if not self._ours:
            return
        for result, found in self._failures:
            known = self._collected.results.get(_mac(result))
            said = known is not None and known.outcome is Outcome.FAILED and not _is_ours(result)
            if stats.summarize(result.host.get_name())["failures"] and not said:  # not rescued, nor said already
                self._add(result, found)
        results = self._collected.results
        # SystemExit is no Exception, so Ansible passes it on, and ends with it.
        if not results and self._asked:
            return  # all of it was ignored, or only looked at
        if not results:
            self._display.error(
                "No Mac was asked anything: wanted hosts in the group macs of the inventory (or in builderfleet_hosts) that "
                "--limit leaves, and saw none."
            )
            raise SystemExit(Outcome.FAILED.code)
        stopped_by, results = self._not_done(results)
        say("\n" + "\n".join([*table(results), *_stopped(stopped_by)]))
        code = exit_code(each.outcome for each in results.values())
        try:
            write(results, {"json": self.get_option("report_json"), "junit": self.get_option("report_junit")})
        except ReportError as error:
            self._display.error(str(error))
            code = Outcome.FAILED.code
        if code:
            raise SystemExit(code)

    def _not_done(self, results: Mapping[str, Result]) -> tuple[list[str], dict[str, Result]]:
        """The Macs whose failure stopped a rollout, and all results, in which those it did not come to say so."""
        looked_at = self._collected.only_looked_at
        waiting = (Outcome.WOULD_CHANGE, Outcome.NEEDS_PERSON, Outcome.REBOOT_NEEDED, Outcome.LOCKED)
        left = {name for name in looked_at if results[name].outcome in waiting}
        if not self._waves or context.CLIARGS.get("check") or not left:
            return [], dict(results)
        by = sorted(name for name in results.keys() - looked_at if results[name].outcome is Outcome.FAILED)
        why = f"the rollout stopped when {', '.join(by)} failed" if by else "the tags leave it out"
        told = {name: Result(results[name].outcome, f"not done: {why}\n{results[name].remark}") for name in left}
        return by, {**results, **told}


def _stopped(by: Sequence[str]) -> Iterator[str]:
    """What to do about a rollout that stopped."""
    if by:
        without = ":".join(f"!{name}" for name in by)
        yield f"Put {', '.join(by)} right, or leave it out for now with --limit 'all:{without}', and run it again."


def _own(path: object) -> bool:
    return Path(str(path)).resolve().parent == _PLAYBOOKS


def _is_ours(result: Any) -> bool:
    return str(result.task.resolved_action).startswith(_OURS)


def _mac(result: Any) -> str:
    """The Mac that was asked."""
    return str(result.task.delegate_to or result.host.get_name()) if _is_ours(result) else str(result.host.get_name())


def _asked(task: Any) -> Hashable:
    """What a task is about. All of the builder is one thing, whichever task it is that asks first and does it then."""
    action = str(task.resolved_action)
    return action if action == f"{_OURS}linux_builder" else task._uuid


def _result(said: Mapping[str, Any], dry: bool) -> Result | None:
    """What a task, or one item of its loop, came to; None for an item that was skipped."""
    if "outcome" in said:
        return Result(Outcome.named(said["outcome"]), said["remark"])
    if said.get("failed"):  # it did not come to a conversation
        return Result(Outcome.FAILED, str(said.get("msg") or "and no message"))
    if "censored" in said:  # no_log
        outcome = Outcome.WOULD_CHANGE if dry else Outcome.CHANGED
        return Result(outcome if said.get("changed") else Outcome.CONVERGED)
    return None
