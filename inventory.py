# SPDX-License-Identifier: GPL-3.0-or-later
"""pyinfra's view of inventory/: the Macs, with the same groups and variables that Ansible sees.

BUILDERFLEET_INVENTORY names other sources, separated by colons. BUILDERFLEET_LIMIT is a pattern of Ansible's, such as
`macs:!canary`. Vault passwords come from where Ansible has them: ansible.cfg, or ANSIBLE_VAULT_PASSWORD_FILE.
"""

import os
from pathlib import Path

from builderfleet import pyinfra_ssh
from builderfleet.shared_inventory import InventoryError, load

_sources = os.environ.get("BUILDERFLEET_INVENTORY", str(Path(__file__).with_name("inventory"))).split(":")
try:
    _hosts = load(_sources, os.environ.get("BUILDERFLEET_LIMIT", ""))
except InventoryError as _error:
    raise SystemExit(str(_error)) from None  # a sentence; pyinfra would print a traceback

_macs = [each for each in _hosts if "macs" in each.groups]
pyinfra_ssh.install()
_data = pyinfra_ssh.data(_macs)

_groups: dict[str, list[tuple[str, dict[str, object]]]] = {"macs": []}
for _host in _macs:
    # By Ansible's name, and by the one that the variables of a Python module can have.
    for _name in {name: None for group in _host.groups for name in (group, group.replace("-", "_"))}:
        _groups.setdefault(_name, []).append((_host.name, _data[_host.name]))

globals().update(_groups)
