# SPDX-License-Identifier: GPL-3.0-or-later
"""Every operation by itself, for things that are not builderfleet's own; `parts_present` says whether they are wanted."""

from builderfleet.operations import (
    launchd_daemon,
    linux_build,
    nix_installation,
    nix_machine,
    nix_setting,
    ssh_host,
    ssh_keypair,
)
from pyinfra.context import host

present = host.data.get("parts_present", True)

nix_installation(
    name="Nix",
    version=host.data.nix_installer_version,
    source=host.data.nix_installer_source,
    sha256=host.data.nix_installer_sha256,
    _sudo=True,
)
ssh_keypair(name="key pair", path="/etc/nix/parts_key", present=present, _sudo=True)
ssh_host(
    name="ssh host",
    alias="big-builder",
    file="160-parts.conf",
    options={"HostName": "192.0.2.7", "User": "builder", "IdentityFile": "/etc/nix/parts_key"},
    present=present,
    _sudo=True,
)
nix_machine(
    name="machine",
    uri="ssh-ng://builder@big-builder",
    systems=["x86_64-linux"],
    ssh_key="/etc/nix/parts_key",
    present=present,
    _sudo=True,
)
nix_setting(name="setting", setting="keep-outputs", value="true", present=present, _sudo=True)
launchd_daemon(
    name="daemon",
    label="org.example.parts",
    program_arguments=["/bin/sh", "-c", "while :; do sleep 60; done"],
    environment={"COLOUR": str(host.data.get("parts_colour", "red"))},
    log="/var/log/parts.log",
    present=present,
    _sudo=True,
)
if host.data.get("parts_build", False):
    linux_build(name="build", stamp=str(host.data.parts_build), _sudo=True)
