# SPDX-License-Identifier: GPL-3.0-or-later
"""pyinfra's view of inventory/: the Macs, with the same groups and variables that Ansible sees.

BUILDERFLEET_INVENTORY names other sources, separated by colons. BUILDERFLEET_LIMIT is a pattern of Ansible's, such as
`macs:!canary`. Vault passwords come from where Ansible has them: ansible.cfg, or ANSIBLE_VAULT_PASSWORD_FILE.
"""

import os
from pathlib import Path

from builderfleet.shared_inventory import load

_sources = os.environ.get("BUILDERFLEET_INVENTORY", str(Path(__file__).with_name("inventory"))).split(":")
_hosts = load(_sources, os.environ.get("BUILDERFLEET_LIMIT", ""))

_groups: dict[str, list[tuple[str, dict[str, object]]]] = {"macs": []}
for _host in (each for each in _hosts if "macs" in each.groups):
    for _group in _host.groups:
        _name = _group.replace("-", "_")
        _groups.setdefault(_name, []).append((_host.name, {**_host.variables, **_host.connection}))

globals().update(_groups)
