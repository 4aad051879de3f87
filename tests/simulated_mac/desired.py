# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs for simulated Macs: where their installer, their nixpkgs and their guest come from, and how they are reached.

Everything else is the project's own desired state, inventory and deploy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from . import installer, nixpkgs
from .guest import ensure
from .lab import Lab
from .mac import SimulatedMac


def variables_for(lab: Lab, report: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """The variables by which a simulated Mac differs; makes the guest's images first, if they are not there."""
    guest = ensure(report)
    published = installer.publish(lab)
    return {
        "nix_installer_version": installer.VERSION,
        "nix_installer_source": published.url,
        "nix_installer_sha256": published.sha256,
        "linux_builder_nixpkgs": nixpkgs.locked_reference(lab.serve("nixpkgs.tar.gz", nixpkgs.tarball())),
        "linux_builder_host_key": (guest / "ssh_host_ed25519_key.pub").read_text().strip(),
        "linux_builder_memory": "384MiB",  # of this machine's, not of the simulated one's
        "linux_builder_disk": "2GiB",
        "linux_builder_cores": 1,
    }


def write_inventory(path: Path, macs: Iterable[SimulatedMac], variables: Mapping[str, Any]) -> None:
    """An inventory file with simulated Macs in the project's own group `macs`, for either front end.

    By address in every tier: without root, who uses it is in the lab's own namespaces (`user_namespace.py`).
    """
    hosts = {
        mac.name: {
            "ansible_host": mac.address,
            "ansible_user": "admin",
            "ansible_ssh_private_key_file": str(mac.key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={mac.machine / 'known_hosts'}",
        }
        for mac in macs
    }
    path.write_text(yaml.safe_dump({"macs": {"hosts": hosts, "vars": dict(variables)}}))
