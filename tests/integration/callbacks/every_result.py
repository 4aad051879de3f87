# SPDX-License-Identifier: GPL-3.0-or-later
"""For tests: every result of every task, as Ansible has it, a line of JSON each."""

from __future__ import annotations

import json
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: every_result
type: stdout
short_description: every result as JSON
description: For tests.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "every_result"

    def _say(self, result: Any, **ignored: Any) -> None:
        found = {"task": result.task.get_name(), "result": result.result}
        self._display.display("RESULT " + json.dumps(found, default=str))

    v2_runner_on_ok = v2_runner_on_failed = v2_runner_on_unreachable = v2_runner_on_skipped = _say
