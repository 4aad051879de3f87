# SPDX-License-Identifier: GPL-3.0-or-later
"""See modules/linux_builder.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.builderfleet.macos.plugins.action import Desired, MacAction
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resources.linux_builder import PHASES, desired
from ansible_collections.builderfleet.macos.plugins.plugin_utils.variables import PREFIXES


class ActionModule(MacAction):
    """All of it: the host's variables say what is wanted, as they do for pyinfra; the task's arguments come first."""

    def desired(self, arguments: dict[str, Any], variables: Mapping[str, Any]) -> Desired:
        phases = arguments.pop("phases", None) or PHASES
        ours = {name: self._templar.template(value) for name, value in variables.items() if name.startswith(PREFIXES)}
        return desired(json.loads(json.dumps(ours)) | arguments, phases)
