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
  - A playbook that uses nothing of builderfleet is left alone.
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

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible_collections.builderfleet.macos.plugins.plugin_utils.outcome import AS_DESIRED, Outcome, exit_code
from ansible_collections.builderfleet.macos.plugins.plugin_utils.report import (
    Collected,
    ReportError,
    Result,
    not_connected,
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
        self._others: dict[str, Result] = {}  # what failed that is not ours
        self._ours = False  # whether the playbook uses anything of this collection

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self._ours = Path(playbook._file_name).resolve().parent == _PLAYBOOKS

    def v2_runner_on_ok(self, result: Any) -> None:
        self._hear(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if not self._hear(result, failed=True) and not ignore_errors:
            said = result.result.get("msg", "and no message")
            self._others[result.host.get_name()] = Result(Outcome.FAILED, f"{result.task.get_name()}: {said}")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._add(result, not_connected(str(result.result.get("msg", "it did not answer"))))

    def _hear(self, result: Any, failed: bool = False) -> bool:
        """Take in a result of one of the actions of this collection; whether it was one."""
        if not str(result.task.resolved_action).startswith(_OURS):
            return False
        self._ours = True
        whole = dict(result.result)
        found = [_result(said, dry=bool(result.task.check_mode)) for said in whole.get("results", [whole])]
        if failed and not any(each and each.outcome not in AS_DESIRED for each in found):
            # It did not come to a conversation, or no_log hides it: that it failed is no part of what callbacks see.
            found = [Result(Outcome.FAILED, str(whole.get("msg") or whole.get("censored") or "see above"))]
        for each in filter(None, found):
            self._add(result, each)
        return True

    def _add(self, result: Any, found: Result) -> None:
        self._collected.add(result.host.get_name(), found, of=_asked(result.task), dry=bool(result.task.check_mode))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        if not self._ours:
            return
        for name, result in self._others.items():
            known = self._collected.results.get(name)
            failed = known is not None and known.outcome is Outcome.FAILED
            if stats.summarize(name)["failures"] and not failed:  # not rescued, and nothing that was said already
                self._collected.add(name, result, of="others")
        results = self._collected.results
        # SystemExit is no Exception, so Ansible passes it on, and ends with it.
        if not results:
            self._display.error(
                "No Mac was asked anything: wanted hosts in the group macs of the inventory that --limit leaves, and saw none."
            )
            raise SystemExit(Outcome.FAILED.code)
        self._display.display("\n" + "\n".join(table(results)))
        code = exit_code(each.outcome for each in results.values())
        try:
            write(results, {"json": self.get_option("report_json"), "junit": self.get_option("report_junit")})
        except ReportError as error:
            self._display.error(str(error))
            code = Outcome.FAILED.code
        if code:
            raise SystemExit(code)


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
