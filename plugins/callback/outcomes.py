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

from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible_collections.builderfleet.macos.plugins.plugin_utils.outcome import Outcome, exit_code
from ansible_collections.builderfleet.macos.plugins.plugin_utils.report import (
    Ledger,
    Result,
    Results,
    files,
    not_connected,
    table,
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
        self._ledger = Ledger()
        self._others: dict[str, Result] = {}  # what failed that is not ours
        self._ours = False  # whether the playbook uses anything of this collection

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self._ours = Path(playbook._file_name).resolve().parent == _PLAYBOOKS

    def v2_runner_on_ok(self, result: Any) -> None:
        self._hear(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if not self._hear(result) and not ignore_errors:
            said = result.result.get("msg", "and no message")
            self._others[result.host.get_name()] = Result(Outcome.FAILED, f"{result.task.get_name()}: {said}")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._ledger.add(result.host.get_name(), not_connected(str(result.result.get("msg", "it did not answer"))))

    def _hear(self, result: Any) -> bool:
        """Take in a result of one of the actions of this collection; whether it was one."""
        if not str(result.task.resolved_action).startswith(_OURS):
            return False
        self._ours = True
        name, dry, failed = result.host.get_name(), bool(result.task.check_mode), bool(result.result.get("failed"))
        for said in result.result.get("results", [result.result]):  # of a loop: each item's
            if "outcome" in said:
                self._ledger.add(name, Result(Outcome.named(said["outcome"]), said["remark"]), dry=dry)
            elif failed:  # it did not come to a conversation
                self._ledger.add(name, Result(Outcome.FAILED, str(said.get("msg", "and no message"))), dry=dry)
        return True

    def v2_playbook_on_stats(self, stats: Any) -> None:
        if not self._ours:
            return
        for name, result in self._others.items():
            known = self._ledger.results.get(name)
            failed = known is not None and known.outcome is Outcome.FAILED
            if stats.summarize(name)["failures"] and not failed:  # not rescued, and nothing that was said already
                self._ledger.add(name, result)
        results = self._ledger.results
        # SystemExit is no Exception, so Ansible passes it on, and ends with it.
        if not results:
            self._display.error(
                "No Mac was asked anything: wanted hosts in the group macs of the inventory, and saw none."
            )
            raise SystemExit(Outcome.FAILED.code)
        self._display.display("\n" + "\n".join(table(results)))
        if code := self._write(results) or exit_code(each.outcome for each in results.values()):
            raise SystemExit(code)

    def _write(self, results: Results) -> int:
        """Write the reports that are asked for; the exit code of a failure, or 0."""
        paths = {"json": self.get_option("report_json"), "junit": self.get_option("report_junit")}
        for path, text in files(results, paths):
            try:
                Path(path).write_text(text, encoding="utf-8")
            except OSError as error:
                self._display.error(
                    f"The report cannot be written to {path}: {error.strerror}. Name a file that can be."
                )
                return Outcome.FAILED.code
        return 0
