# SPDX-License-Identifier: GPL-3.0-or-later
"""The builder VM's program, keys directory and start script."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from ..plugin_utils.resources.builder_vm import BuilderVm
from ._host import converge


@operation()
def builder_vm(
    nixpkgs: str | None = None,
    host_key: str | None = None,
    cores: int = 4,
    memory: str = "6GiB",
    disk: str = "60GiB",
    port: int = 31422,
    key: str = "/etc/nix/builderfleet_ed25519",
    label: str = "org.builderfleet.linux-builder",
    alias: str = "builderfleet",
    certificates: str = "/nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt",
    present: bool = True,
) -> Generator[PyinfraCommand, None, None]:
    """
    Realise nixpkgs' ``darwin.linux-builder`` with these cores, memory, disk and port; launchd_daemon runs it.

    + nixpkgs: a locked flake reference; none means the one that is pinned here
    + host_key: the line of the guest's public host key; none means the stock builder's
    + cores: processor cores
    + memory: a size such as ``6GiB``
    + disk: the most that its disk may grow to, a size
    + port: the port of 127.0.0.1 on which its sshd is reached
    + key: path of the client's key pair on the Mac
    + label: the label of the launchd daemon that runs it
    + alias: the ssh host of the guest, through which it is asked to shut down
    + certificates: path of the CA certificates that the guest trusts
    + present: False removes it with its disk

    **Example:**

    .. code:: python

        from builderfleet.operations import builder_vm

        builder_vm(name="Builder VM", nixpkgs="github:NixOS/nixpkgs/<revision>", host_key=KEY, cores=4, memory="6GiB", _sudo=True)
    """
    yield from converge(
        BuilderVm,
        nixpkgs=nixpkgs,
        host_key=host_key,
        cores=cores,
        memory=memory,
        disk=disk,
        port=port,
        key=key,
        label=label,
        alias=alias,
        certificates=certificates,
        present=present,
    )
