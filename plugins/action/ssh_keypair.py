# SPDX-License-Identifier: GPL-3.0-or-later
"""See modules/ssh_keypair.py."""

from __future__ import annotations

from ansible_collections.builderfleet.macos.plugins.action import ResourceAction
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resources.ssh_keypair import SshKeypair


class ActionModule(ResourceAction):
    """SshKeypair by itself."""

    resource = SshKeypair
