# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory as Ansible sees it, for pyinfra: hosts, groups and variables by Ansible's own rules.

Ansible is asked in a child process: imported into pyinfra's it would meet gevent's patches (`facts/ansible §5`). Its
Python interface is not promised to be stable, so it is used here and nowhere else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .plugin_utils.plain import dumped, loaded
from .plugin_utils.variables import PREFIXES

# What Ansible adds to a host's variables by itself.
_MAGIC = frozenset(
    {
        "group_names",
        "groups",
        "hostvars",
        "inventory_dir",
        "inventory_file",
        "inventory_hostname",
        "inventory_hostname_short",
        "omit",
        "playbook_dir",
    }
)

# Ansible's words for how to connect, and pyinfra's (facts/ansible §5); of two for the same the second counts.
_CONNECTION = {
    "ansible_ssh_host": "ssh_hostname",
    "ansible_host": "ssh_hostname",
    "ansible_ssh_user": "ssh_user",
    "ansible_user": "ssh_user",
    "ansible_ssh_port": "ssh_port",
    "ansible_port": "ssh_port",
    "ansible_ssh_pass": "ssh_password",
    "ansible_ssh_password": "ssh_password",
    "ansible_password": "ssh_password",
    "ansible_private_key_file": "ssh_key",
    "ansible_ssh_private_key_file": "ssh_key",
    "ansible_become_pass": "_sudo_password",
    "ansible_become_password": "_sudo_password",
}
_CHECKED = "ssh_strict_host_key_checking"  # pyinfra's own name for it, in words of ssh's StrictHostKeyChecking
_UNCHECKED = ("ansible_host_key_checking", "ansible_ssh_host_key_checking")


class InventoryError(Exception):
    """The inventory cannot be read. The text is Ansible's."""


@dataclass(frozen=True, slots=True)
class InventoryHost:
    """A host with its groups and its variables, rendered; `connection` in pyinfra's words."""

    name: str
    groups: tuple[str, ...]
    variables: dict[str, Any]
    connection: dict[str, Any]


def load(sources: Sequence[str], limit: str = "") -> list[InventoryHost]:
    """The hosts of the sources, or of them those that an Ansible pattern names, as `--limit` does. Raises InventoryError.

    Vault passwords come from where Ansible's configuration says: ansible.cfg, or ANSIBLE_VAULT_PASSWORD_FILE.
    """
    command = [sys.executable, "-m", __name__, json.dumps([list(sources), limit])]
    strict = {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"}  # by default half an inventory is only a warning
    child = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **strict})
    if child.returncode != 0:
        raise InventoryError(f"Ansible cannot read the inventory {', '.join(sources)}: {child.stderr.strip()[-2000:]}")
    return [
        InventoryHost(each["name"], tuple(each["groups"]), _own(each["variables"]), _connection(each["variables"]))
        for each in loaded(child.stdout)
    ]


def _own(variables: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in variables.items() if not _is_magic(name)}


def _is_magic(name: str) -> bool:
    return name.startswith("ansible_") or name in _MAGIC


def _connection(variables: dict[str, Any]) -> dict[str, Any]:
    """pyinfra takes an unknown host key and writes it down, unless told otherwise: whoever answers at a reused address would get
    the login, and sudo's password with it. So it takes none here, unless the inventory says so.
    """
    found = {theirs: variables[ours] for ours, theirs in _CONNECTION.items() if variables.get(ours) is not None}
    if _CHECKED not in variables:
        looser = any(str(variables.get(name, True)).lower() in ("false", "no", "0") for name in _UNCHECKED)
        found[_CHECKED] = "no" if looser else "yes"
    return found


def _ask_ansible(sources: list[str], limit: str) -> list[dict[str, Any]]:
    from ansible import constants
    from ansible.cli import CLI
    from ansible.errors import AnsibleError
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader
    from ansible.plugins.loader import init_plugin_loader
    from ansible.template import Templar
    from ansible.vars.hostvars import HostVars
    from ansible.vars.manager import VariableManager

    init_plugin_loader()
    loader = DataLoader()
    files = [constants.DEFAULT_VAULT_PASSWORD_FILE] if constants.DEFAULT_VAULT_PASSWORD_FILE else []
    identities = constants.DEFAULT_VAULT_IDENTITY_LIST
    secrets = CLI.setup_vault_secrets(
        loader, vault_ids=identities, vault_password_files=files, ask_vault_pass=False, auto_prompt=False
    )
    loader.set_vault_secrets(secrets)
    inventory = InventoryManager(loader=loader, sources=sources)
    inventory.subset(limit or None)
    manager = VariableManager(loader=loader, inventory=inventory)
    HostVars(inventory, manager, loader)  # hands itself to the manager: variables may name other hosts' variables
    hosts = []
    for host in inventory.get_hosts():
        variables = manager.get_vars(host=host)
        templar = Templar(loader=loader, variables=variables)
        wanted = {}
        for name, value in variables.items():
            needed = name in (*_CONNECTION, *_UNCHECKED) or name.startswith(PREFIXES)
            try:
                if needed or not _is_magic(name):
                    wanted[name] = templar.template(value)
            except AnsibleError as error:
                if needed:  # Ansible, which renders what it comes to need, does without the others here as well
                    raise SystemExit(f"{host.name}: {name}: {error}") from error
        groups = [group.name for group in host.get_groups() if group.name not in ("all", "ungrouped")]
        hosts.append({"name": host.name, "groups": groups, "variables": wanted})
    return hosts


if __name__ == "__main__":
    print(dumped(_ask_ansible(*json.loads(sys.argv[1]))))
