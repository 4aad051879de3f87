# SPDX-License-Identifier: GPL-3.0-or-later
"""See modules/nix_machine.py."""

from __future__ import annotations

from ansible_collections.builderfleet.macos.plugins.action import ResourceAction
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resources.nix_machine import NixMachine


class ActionModule(ResourceAction):
    """NixMachine by itself."""

    resource = NixMachine
