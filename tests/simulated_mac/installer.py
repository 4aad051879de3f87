# SPDX-License-Identifier: GPL-3.0-or-later
"""The installer's artefacts on the lab's web server, laid out as at GitHub (`nix_installers §2.1`)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .lab import Lab

VERSION = "2.35.2"


@dataclass(frozen=True, slots=True)
class Installer:
    """Where the installer is to be had, and the hash of its bytes."""

    url: str
    sha256: str
    data: bytes


def program(version: str = VERSION) -> bytes:
    """The installer as one executable file."""
    source = Path(__file__).with_name("nix_installer.py").read_text()
    future = "from __future__ import annotations\n"
    head, body = source.split(future, 1)
    line = "#!/.simulated-mac/debian/usr/bin/python3 -IS\n"
    return f"{line}{head}{future}VERSION = {version!r}\n{body}".encode()


def publish(lab: Lab, version: str = VERSION, system: str = "aarch64-darwin", *, fault: str = "") -> Installer:
    """Put it and its SHA256SUMS on the lab's web server."""
    data = program(version)
    digest = hashlib.sha256(data).hexdigest()
    directory = f"NixOS/nix-installer/releases/download/{version}"
    name = f"nix-installer-{system}"
    url = lab.serve(f"{directory}/{name}", data, fault=fault)
    lab.serve(f"{directory}/SHA256SUMS", f"{digest}  {name}\n".encode())
    return Installer(url, digest, data)
