# SPDX-License-Identifier: GPL-3.0-or-later
"""One Host block in a file of its own under /etc/ssh/ssh_config.d."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from ..plugin_utils.resources.ssh_host import SshHost
from ._host import converge


@operation()
def ssh_host(
    alias: str,
    file: str,
    options: dict[str, str] | None = None,
    present: bool = True,
) -> Generator[PyinfraCommand, None, None]:
    """
    Have a Host block for everybody's ssh on the Mac, and have ssh read it.

    + alias: the host's name in ssh
    + file: the file's name in /etc/ssh/ssh_config.d
    + options: ssh's keywords and their values, in order
    + present: False removes it

    **Example:**

    .. code:: python

        from builderfleet.operations import ssh_host

        ssh_host(
            name="Build server",
            alias="big-builder",
            file="160-big-builder.conf",
            options={"HostName": "192.0.2.7", "User": "builder", "IdentityFile": "/etc/nix/builder_key"},
            _sudo=True,
        )
    """
    yield from converge(
        SshHost,
        alias=alias,
        file=file,
        options=options,
        present=present,
    )
