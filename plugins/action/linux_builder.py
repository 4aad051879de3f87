# SPDX-License-Identifier: GPL-3.0-or-later
"""See modules/linux_builder.py."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.builderfleet.macos.plugins.action import Desired, MacAction
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resources.linux_builder import PHASES, desired
from ansible_collections.builderfleet.macos.plugins.plugin_utils.variables import DEFAULTS


class ActionModule(MacAction):
    """All of it: the host's variables say what is wanted, as they do for pyinfra; the task's arguments come first."""

    def options(self) -> Collection[str]:
        return ["phases", *DEFAULTS]

    def desired(self, arguments: dict[str, Any], variables: Mapping[str, Any]) -> Desired:
        phases = arguments.pop("phases", None)
        if isinstance(phases, str):
            phases = phases.split(",")
        return desired(self.variables(variables) | arguments, PHASES if phases is None else phases)
