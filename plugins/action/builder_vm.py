# SPDX-License-Identifier: GPL-3.0-or-later
"""See modules/builder_vm.py."""

from __future__ import annotations

from ansible_collections.builderfleet.macos.plugins.action import ResourceAction
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resources.builder_vm import BuilderVm


class ActionModule(ResourceAction):
    """BuilderVm by itself."""

    resource = BuilderVm
