# SPDX-License-Identifier: GPL-3.0-or-later
"""See modules/linux_build.py."""

from __future__ import annotations

from ansible_collections.builderfleet.macos.plugins.action import ResourceAction
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resources.linux_build import LinuxBuild


class ActionModule(ResourceAction):
    """LinuxBuild by itself."""

    resource = LinuxBuild
