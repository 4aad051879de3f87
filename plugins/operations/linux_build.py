# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof: a real Linux build."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from ..plugin_utils.resources.linux_build import LinuxBuild
from ._host import converge


@operation()
def linux_build(
    systems: list[str] | None = None,
    uri: str = "",
    stamp: str = "",
) -> Generator[PyinfraCommand, None, None]:
    """
    Build a tiny Linux derivation through the Nix daemon, as an ordinary user would.

    + systems: the systems to build for, such as `aarch64-linux`. Without any: the Linux that the Mac's own processor runs
    + uri: the store URI of the builder in which it has to be built. Without one any will do that Nix takes
    + stamp: a word; the build is done unless the last one had the same. Without one it is done when nothing has proved the
      builder since builderfleet's last change

    **Example:**

    .. code:: python

        from builderfleet.operations import linux_build

        linux_build(name="The builder builds", systems=["aarch64-linux"], _sudo=True)
    """
    yield from converge(
        LinuxBuild,
        systems=systems,
        uri=uri,
        stamp=stamp,
    )
