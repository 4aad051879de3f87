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
    system: str = "",
    stamp: str = "",
) -> Generator[PyinfraCommand, None, None]:
    """
    Build a tiny Linux derivation through the Nix daemon, as an ordinary user would.

    + system: the system to build for, `aarch64-linux` or `x86_64-linux`. Without one: the Linux that the Mac's own processor runs
    + stamp: a word; the build is done unless the last one had the same. Without one it is done when nothing has proved the
      builder since builderfleet's last change

    **Example:**

    .. code:: python

        from builderfleet.operations import linux_build

        linux_build(name="The builder builds", system="aarch64-linux", _sudo=True)
    """
    yield from converge(
        LinuxBuild,
        system=system,
        stamp=stamp,
    )
