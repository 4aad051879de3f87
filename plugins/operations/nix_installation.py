# SPDX-License-Identifier: GPL-3.0-or-later
"""Nix: installed where there is none, adopted where there is one."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from ..plugin_utils.resources.nix_installation import NixInstallation
from ._host import converge


@operation()
def nix_installation(
    version: str | None = None,
    source: str | None = None,
    sha256: str | None = None,
    extra_conf: tuple[str, ...] = (),
    proxy: str = "",
    present: bool = True,
) -> Generator[PyinfraCommand, None, None]:
    """
    Have Nix on the Mac: installed by the NixOS nix-installer where there is none, adopted where there is one.

    + version: the installer's release, which carries the Nix of the same number; none means the one that is pinned here
    + source: where the Mac gets the installer: a URL, or the path of a file that is on it; ``{version}`` stands for version
    + sha256: the SHA-256 of the installer, checked on the Mac before any of it runs
    + extra_conf: lines for nix.conf, for a Nix that is installed now
    + proxy: the HTTP proxy, as a URL, where that is the Mac's only way out: given to the download and the installer
    + present: False uninstalls Nix and deletes its store

    **Example:**

    .. code:: python

        from builderfleet.operations import nix_installation

        nix_installation(
            name="Nix",
            version="2.35.2",
            source="https://mirror.example/nix-installer-aarch64-darwin",
            sha256="<64 hexadecimal digits>",
            _sudo=True,
        )
    """
    yield from converge(
        NixInstallation,
        version=version,
        source=source,
        sha256=sha256,
        extra_conf=extra_conf,
        proxy=proxy,
        present=present,
    )
