# SPDX-License-Identifier: GPL-3.0-or-later
"""How pyinfra connects: to the hosts of an inventory as OpenSSH and Ansible would, each host's trouble its own.

pyinfra 3.10 writes down host keys that nobody has seen, reads ssh's configuration in its own way, ends the run of all
when a host's key file cannot be read, and says of a refused connection and of a missing route the same.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any, get_type_hints

from paramiko.ssh_exception import AuthenticationException, BadAuthenticationType, NoValidConnectionsError, SSHException
from pyinfra.api.exceptions import ConnectError
from pyinfra.connectors.ssh import ConnectorData, SSHConnector, connector_data_meta

from .openssh import Destination, InEffect, SshProblem, in_effect
from .shared_inventory import InventoryHost

TROUBLE, PROXY = "builderfleet_trouble", "builderfleet_proxy"
_STRICT = {
    "ask": "yes",
    "true": "yes",
    "yes": "yes",
    "accept-new": "accept-new",
    "false": "no",
    "no": "no",
    "off": "no",
}
_KINDS = {**get_type_hints(ConnectorData), "_sudo_password": str}

not_connected: dict[str, str] = {}
"""Why each host that could not be connected to could not, in words that plugin_utils/connection.py knows."""


def data(hosts: Sequence[InventoryHost]) -> dict[str, dict[str, Any]]:
    """pyinfra's data of each host, by its name."""
    asked = {host.name: Destination(host.address, host.ssh_words) for host in hosts if not host.trouble}
    try:
        answers = in_effect(list(asked.values()))
    except FileNotFoundError:  # no ssh here: pyinfra has its own, and the inventory's own words are what there is
        answers = {}
    return {host.name: _data(host, answers.get(asked[host.name]) if host.name in asked else None) for host in hosts}


def _data(host: InventoryHost, answer: InEffect | SshProblem | None) -> dict[str, Any]:
    own = {name: value for name, value in host.variables.items() if name in _KINDS}  # pyinfra's words in the inventory
    others = {name: value for name, value in host.variables.items() if name not in _KINDS}
    if host.trouble or isinstance(answer, SshProblem):
        return {**others, TROUBLE: host.trouble or str(answer)}
    found = {"ssh_strict_host_key_checking": "yes" if host.checks_host_key else "no"}
    found |= _from_openssh(answer, host.checks_host_key) if answer else host.connection
    passwords = {name: value for name, value in host.connection.items() if name.endswith("password")}
    return {**others, **_fitting({**found, **passwords, **own})}


def _from_openssh(answer: InEffect, checks_host_key: bool) -> dict[str, Any]:
    strict = _STRICT.get(answer.one("stricthostkeychecking"), "yes") if checks_host_key else "no"
    found: dict[str, Any] = {
        "ssh_hostname": answer.hostname,
        "ssh_port": answer.port,
        "ssh_user": answer.one("user"),
        "ssh_strict_host_key_checking": strict,
        "ssh_config_file": str(_config_file(answer)),
        "ssh_look_for_keys": False,  # ssh names its own among the others
    }
    return {**found, PROXY: list(answer.proxy)} if answer.proxy else found


def _config_file(answer: InEffect) -> Path:
    """A file with what pyinfra takes from no host data, for pyinfra to read instead of ssh's own."""
    known = [path for name in ("user", "global") for path in answer.paths(f"{name}knownhostsfile")]
    lines = [f"UserKnownHostsFile {' '.join(filter(os.path.exists, known)) or os.devnull}"]
    default = {str(Path(f"~/.ssh/id_{kind}").expanduser()) for kind in _DEFAULT_KEYS}
    # A key that somebody named and that is not there is told; of ssh's own list, those count that are.
    keys = [path for path in answer.identity_files if path not in default or Path(path).exists()]
    lines += [f"IdentityFile {path}" for path in keys]
    lines += [f"CertificateFile {path}" for path in answer.paths("certificatefile")]
    if (agent := answer.one("identityagent")) and not agent.startswith("$") and agent != "SSH_AUTH_SOCK":
        lines.append(f"IdentityAgent {Path(answer.filled(agent)).expanduser()}")
    text = "\n".join(("Host *", *lines, ""))
    if text not in _files:
        _files[text] = _directory() / f"ssh_config.{len(_files)}"
        _files[text].write_text(text, encoding="utf-8")
    return _files[text]


_DEFAULT_KEYS = ("rsa", "ecdsa", "ecdsa_sk", "ed25519", "ed25519_sk", "xmss", "dsa")
_files: dict[str, Path] = {}
_directories: list[Path] = []


def _directory() -> Path:
    if not _directories:
        _directories.append(Path(tempfile.mkdtemp(prefix="builderfleet-")))
        atexit.register(rmtree, _directories[0], ignore_errors=True)
    return _directories[0]


def _fitting(found: Mapping[str, Any]) -> dict[str, Any]:
    """What pyinfra takes, which ends the run of all at a value of another kind; what does not fit is the host's trouble."""
    fitting: dict[str, Any] = {}
    for name, value in found.items():
        kind = _KINDS.get(name)
        if kind is str and isinstance(value, int | float):
            value = str(value)
        if kind in (str, int, bool) and not isinstance(value, kind):
            return {TROUBLE: f"{name} is {kind.__name__} to pyinfra, and something else in the inventory"}
        fitting[name] = value
    return fitting


def install() -> None:
    """Have pyinfra's own connector refuse host keys that nobody has seen, and keep each host's trouble with that host."""
    connector_data_meta["ssh_strict_host_key_checking"].default = "yes"
    logging.getLogger("paramiko").addHandler(
        logging.NullHandler()
    )  # else its tracebacks come out, of what is told here
    SSHConnector.connect = _connect  # type: ignore[method-assign]


_pyinfras_own = SSHConnector.connect


def _connect(self: SSHConnector) -> None:
    """SSHConnector.connect, with one exception for all that can go wrong: any other one ends the run of all."""
    proxy = None
    try:
        if trouble := self.host.data.get(TROUBLE):
            raise ConnectError(trouble)
        if command := self.host.data.get(PROXY):
            proxy = Proxy(command)
            given = self.data["ssh_paramiko_connect_kwargs"] or {}
            self.data["ssh_paramiko_connect_kwargs"] = {**given, "sock": proxy.socket}
        _pyinfras_own(self)
    except Exception as error:
        reason = "\n".join(filter(None, (_words(self, error), proxy.said() if proxy else "")))
        not_connected[self.host.name] = reason
        raise ConnectError(reason) from error


class Proxy:
    """A program through which a host is reached, on a socket: paramiko's own turns in circles when its program ends."""

    def __init__(self, command: Sequence[str]) -> None:
        self.socket, theirs = socket.socketpair()
        handle, name = tempfile.mkstemp(dir=_directory())
        self._errors = Path(name)
        with theirs, open(handle, "wb") as errors:  # noqa: PTH123 (a file that is open already)
            self._process = subprocess.Popen(command, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=errors)

    def said(self) -> str:
        """What it said until now, and that it was a proxy that said so. Ends it."""
        self.socket.close()
        self._process.terminate()
        self._process.wait()
        return f"{self._errors.read_text(errors='replace').strip()}\n(through a ProxyCommand or ProxyJump)"


def _words(connector: SSHConnector, error: Exception) -> str:
    """What went wrong, where pyinfra and paramiko leave out what matters."""
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, NoValidConnectionsError):  # "Unable to connect", whether refused or without a route
            return "\n".join(
                f"connect to host {address[0]} port {address[1]}: {os.strerror(getattr(each, 'errno', 0))}"
                for address, each in cause.errors.items()
            )
        if isinstance(cause, AuthenticationException):
            return _not_let_in(connector, str(error))
    text = str(error) or type(error).__name__
    if "SSH protocol banner" in text and any(isinstance(cause, TimeoutError) for cause in chain):
        return f"{text}: timed out"
    transport = connector.client.get_transport() if connector.client else None
    if "No existing session" in text and transport and transport.is_active():
        return f"{text}: timed out before the keys were exchanged"
    address = connector.data["ssh_hostname"] or connector.host.name
    return text.replace("resolve hostname", f"resolve hostname {address}") if "resolve hostname" in text else text


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _not_let_in(connector: SSHConnector, text: str) -> str:
    """As OpenSSH says it: with the banner, and with the ways in which one may log in."""
    transport = connector.client.get_transport() if connector.client else None
    if transport is None or not transport.is_active():
        return text
    user = transport.get_username() or connector.data["ssh_user"] or ""
    banner = (transport.get_banner() or b"").decode(errors="replace")
    try:
        transport.auth_none(user)
    except BadAuthenticationType as refused:
        text = f"{text}: {user}@{connector.host.name}: Permission denied ({','.join(refused.allowed_types)})."
    except (SSHException, OSError, EOFError):
        pass
    return f"{banner}\n{text}".strip()
