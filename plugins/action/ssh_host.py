# SPDX-License-Identifier: GPL-3.0-or-later
"""See modules/ssh_host.py."""

from __future__ import annotations

from ansible_collections.builderfleet.macos.plugins.action import ResourceAction
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resources.ssh_host import SshHost


class ActionModule(ResourceAction):
    """SshHost by itself."""

    resource = SshHost
