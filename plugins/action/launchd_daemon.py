# SPDX-License-Identifier: GPL-3.0-or-later
"""See modules/launchd_daemon.py."""

from __future__ import annotations

from ansible_collections.builderfleet.macos.plugins.action import ResourceAction
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resources.launchd_daemon import LaunchdDaemon


class ActionModule(ResourceAction):
    """LaunchdDaemon by itself."""

    resource = LaunchdDaemon
