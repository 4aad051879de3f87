# SPDX-License-Identifier: GPL-3.0-or-later
"""An SSH key pair that is made on the Mac and never leaves it."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from ..plugin_utils.resources.ssh_keypair import SshKeypair
from ._host import converge


@operation()
def ssh_keypair(
    path: str,
    comment: str = "builderfleet",
    present: bool = True,
) -> Generator[PyinfraCommand, None, None]:
    """
    Have an ed25519 key pair on the Mac, made there, root's alone.

    A pair of another type that is there and can be used is kept. What somebody else made is neither replaced nor removed.

    + path: of the private half; the public one is beside it with ``.pub``
    + comment: the comment of the public half
    + present: False removes both

    **Example:**

    .. code:: python

        from builderfleet.operations import ssh_keypair

        ssh_keypair(name="Key of the builder's client", path="/etc/nix/builder_key", _sudo=True)
    """
    yield from converge(
        SshKeypair,
        path=path,
        comment=comment,
        present=present,
    )
