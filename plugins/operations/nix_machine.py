# SPDX-License-Identifier: GPL-3.0-or-later
"""One builder in /etc/nix/machines."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from ..plugin_utils.resources.nix_machine import NixMachine
from ._host import converge


@operation()
def nix_machine(
    uri: str,
    systems: list[str] | None = None,
    ssh_key: str = "",
    max_jobs: int = 1,
    speed_factor: int = 1,
    supported_features: list[str] | None = None,
    mandatory_features: list[str] | None = None,
    host_key: str = "",
    present: bool = True,
) -> Generator[PyinfraCommand, None, None]:
    """
    Have a builder registered with Nix, in words that every Nix and Lix reads; other lines stay as they are.

    + uri: its store URI
    + systems: what it builds for; none means the Linux that the Mac's own processor runs
    + ssh_key: path of the client's private key on the Mac
    + max_jobs: how many builds at once
    + speed_factor: its weight among several
    + supported_features: the system features it has
    + mandatory_features: those that a build must require to be sent there
    + host_key: the line of its public host key
    + present: False takes it out

    **Example:**

    .. code:: python

        from builderfleet.operations import nix_machine

        nix_machine(
            name="Build server",
            uri="ssh-ng://builder@big-builder",
            systems=["x86_64-linux"],
            ssh_key="/etc/nix/builder_key",
            max_jobs=16,
            _sudo=True,
        )
    """
    yield from converge(
        NixMachine,
        uri=uri,
        systems=systems,
        ssh_key=ssh_key,
        max_jobs=max_jobs,
        speed_factor=speed_factor,
        supported_features=supported_features,
        mandatory_features=mandatory_features,
        host_key=host_key,
        present=present,
    )
