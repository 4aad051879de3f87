# SPDX-License-Identifier: GPL-3.0-or-later
"""See modules/nix_installation.py."""

from __future__ import annotations

from ansible_collections.builderfleet.macos.plugins.action import ResourceAction
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resources.nix_installation import NixInstallation


class ActionModule(ResourceAction):
    """NixInstallation by itself."""

    resource = NixInstallation
