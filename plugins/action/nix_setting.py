# SPDX-License-Identifier: GPL-3.0-or-later
"""See modules/nix_setting.py."""

from __future__ import annotations

from ansible_collections.builderfleet.macos.plugins.action import ResourceAction
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resources.nix_setting import NixSetting


class ActionModule(ResourceAction):
    """NixSetting by itself."""

    resource = NixSetting
