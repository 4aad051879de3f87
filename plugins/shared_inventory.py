# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory as Ansible sees it, for pyinfra: hosts, groups and variables by Ansible's own rules.

Ansible is asked in a child process: imported into pyinfra's it would meet gevent's patches (`facts/ansible §5`). Its
Python interface is not promised to be stable, so it is used here and nowhere else.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
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


# The words that Ansible puts on ssh's command line, in its order; ssh takes what it hears first.
_SSH_ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
_HOST_KEY_CHECKING = ("ansible_host_key_checking", "ansible_ssh_host_key_checking")  # the second counts
_NEEDED = frozenset((*_CONNECTION, *_SSH_ARGUMENTS, *_HOST_KEY_CHECKING))


class InventoryError(Exception):
    """The inventory cannot be read. The text is Ansible's."""


class _Trouble(Exception):
    """A host's variable cannot be right."""


@dataclass(frozen=True, slots=True)
class InventoryHost:
    """A host with its groups and its variables, rendered; what connects to it in pyinfra's words and in ssh's.

    `trouble` says which of its variables could not be read: that is no other host's.
    """

    name: str
    groups: tuple[str, ...]
    variables: dict[str, Any]
    connection: dict[str, Any]
    ssh_words: tuple[str, ...] = ()
    checks_host_key: bool = True
    trouble: str = ""

    @property
    def address(self) -> str:
        """What ssh is given as the host."""
        return str(self.connection.get("ssh_hostname", self.name))


def load(sources: Sequence[str], limit: str = "") -> list[InventoryHost]:
    """The hosts of the sources, or of them those that an Ansible pattern names, as `--limit` does. Raises InventoryError.

    Vault passwords come from where Ansible's configuration says: ansible.cfg, or ANSIBLE_VAULT_PASSWORD_FILE.
    """
    command = [sys.executable, "-m", __name__, json.dumps([list(sources), limit])]
    strict = {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"}  # by default half an inventory is only a warning
    child = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **strict})
    if child.returncode != 0:
        raise InventoryError(f"Ansible cannot read the inventory {', '.join(sources)}: {_sentence(child.stderr)}")
    return [
        _host(each["name"], tuple(each["groups"]), each["variables"], each["trouble"]) for each in loaded(child.stdout)
    ]


def _sentence(said: str) -> str:
    """The sentence with the cause, of what Ansible says once for each way in which a file could be read."""
    cause = re.search(r"^(YAML parsing failed.*)\n(Origin: .*)", said, re.MULTILINE)
    last = said.strip().rpartition("\n")[2]
    return f"{last} ({cause[1]} {cause[2]})" if cause else last if last.startswith("Compl") else said.strip()[-2000:]


def _host(name: str, groups: tuple[str, ...], variables: dict[str, Any], trouble: str) -> InventoryHost:
    own = _own(variables)
    try:
        if trouble:
            raise _Trouble(trouble)
        connection = _connection(variables)
        return InventoryHost(name, groups, own, connection, _ssh_words(variables, connection), _checks(variables))
    except _Trouble as problem:
        return InventoryHost(name, groups, own, {}, trouble=str(problem))


def _own(variables: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in variables.items() if not _is_magic(name)}


def _is_magic(name: str) -> bool:
    return name.startswith("ansible_") or name in _MAGIC


def _connection(variables: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for ours, theirs in _CONNECTION.items():
        if (value := variables.get(ours)) is not None:
            found[theirs] = _port(ours, value) if theirs == "ssh_port" else str(value)
    return found


def _port(name: str, value: Any) -> int:
    try:
        port = int(value)
    except (TypeError, ValueError):
        port = 0
    if isinstance(value, bool) or not 0 < port < 65536:
        raise _Trouble(f"{name} = {value!r}: it is a TCP port, a number from 1 to 65535")
    return port


def _checks(variables: dict[str, Any]) -> bool:
    """Whether the inventory wants host keys checked; it has to say in so many words that it does not."""
    said = [variables[name] for name in _HOST_KEY_CHECKING if variables.get(name) is not None]
    return not said or str(said[-1]).lower() not in ("false", "no", "off", "0", "n", "f")


def _ssh_words(variables: dict[str, Any], connection: dict[str, Any]) -> tuple[str, ...]:
    """What Ansible would give ssh, as far as it matters to where the connection leads."""
    words: list[str] = []
    for name in _SSH_ARGUMENTS:
        try:
            words += shlex.split(str(variables.get(name) or ""))
        except ValueError as error:
            raise _Trouble(f"{name}: {error} (it is split into words as a shell does it)") from error
        if name == "ansible_ssh_args":
            options = {"Port": "ssh_port", "IdentityFile": "ssh_key", "User": "ssh_user"}
            given = [(option, connection[key]) for option, key in options.items() if key in connection]
            words += [word for option, value in given for word in ("-o", f'{option}="{value}"')]
    return tuple(words)


def _ask_ansible(sources: list[str], limit: str) -> list[dict[str, Any]]:
    from ansible import constants
    from ansible.cli import CLI
    from ansible.errors import AnsibleError
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader
    from ansible.plugins.loader import connection_loader, init_plugin_loader
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
    connection_loader.get("ssh", class_only=True)  # Ansible knows a plugin's options when it has read the plugin
    setting = partial(constants.config.get_config_value, plugin_type="connection", plugin_name="ssh")
    configured = {name: setting(name.removeprefix("ansible_")) for name in _SSH_ARGUMENTS}
    hosts = []
    for host in inventory.get_hosts():
        wanted, trouble = {}, ""
        try:
            variables = manager.get_vars(host=host)
        except AnsibleError as error:
            variables, trouble = {}, str(error)
        templar = Templar(loader=loader, variables=variables)
        for name, value in {**configured, **variables}.items():
            needed = name in _NEEDED or name.startswith(PREFIXES)
            try:
                if needed or not _is_magic(name):
                    wanted[name] = templar.template(value)
            except AnsibleError as error:
                if needed:  # Ansible, which renders what it comes to need, does without the others here as well
                    trouble = trouble or f"{name}: {error}"
        groups = [group.name for group in host.get_groups() if group.name not in ("all", "ungrouped")]
        hosts.append({"name": host.name, "groups": groups, "variables": wanted, "trouble": trouble})
    return hosts


def _main() -> None:
    from ansible.errors import AnsibleError

    try:
        print(dumped(_ask_ansible(*json.loads(sys.argv[1]))))
    except AnsibleError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    _main()
