# SPDX-License-Identifier: GPL-3.0-or-later
"""See modules/doctor.py."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.builderfleet.macos.plugins.action import Desired, MacAction
from ansible_collections.builderfleet.macos.plugins.plugin_utils.finding import Finding, rendered
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resources.doctor import doctor, findings
from ansible_collections.builderfleet.macos.plugins.plugin_utils.session import Session, SessionError


class ActionModule(MacAction):
    """Says what is wrong with a Mac's builder; puts nothing right."""

    def desired(self, arguments: dict[str, Any], variables: Mapping[str, Any]) -> Desired:
        return doctor(self.variables(variables), time.time())

    def report(self, session: Session) -> dict[str, Any]:
        found = _findings(session)
        for line in rendered(found):
            self.say(line)
        told = [
            {"check": each.check, "state": each.state.word, "cause": each.cause, "remedy": each.remedy}
            for each in found
        ]
        return super().report(session) | {"findings": told}


def _findings(session: Session) -> tuple[Finding, ...]:
    """What was found; nothing where the Mac was not asked or has not answered: the failure says why."""
    try:
        return () if session.wrong else findings(session)
    except SessionError:
        return ()
