# SPDX-License-Identifier: GPL-3.0-or-later
"""A Linux builder for Nix on a Mac: the other resources in their order, and what a Mac must be to have one."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ..endings import endings
from ..resource import Resource
from ..variables import WrongVariable, values
from .builder_vm import (
    ALIAS,
    DIRECTORY,
    DISK,
    ENDS_BUILDS,
    KEY,
    LABEL,
    LOG,
    WRAPPER,
    BuilderVm,
    FormerBuilderVms,
    NoStateDirectory,
)
from .key_rotation import KeyRotation, next_pair
from .launchd_daemon import LaunchdDaemon
from .linux_build import LinuxBuild
from .local_systems import LocalSystems
from .mac_requirements import MacRequirements
from .memory import Memory
from .nix_daemon import NixDaemon
from .nix_installation import NixInstallation
from .nix_machine import NixMachine
from .nix_proxy import PART as PROXY
from .nix_proxy import NixProxy
from .nix_setting import NixSetting
from .ssh_host import SshHost
from .ssh_keypair import SshKeypair
from .trusted_files import TrustedFiles

SSH_FILE = "150-builderfleet.conf"
URI = f"ssh-ng://builder@{ALIAS}"
EXIT_TIMEOUT = 60  # seconds that the guest may take to shut down

PHASES = ("nix", "key", "vm", "daemon", "ssh", "machine", "rotation", "cleanup", "build")
"""The parts of the whole, in their order; Ansible's tags are named after them."""


def desired(
    given: Mapping[str, Any], phases: Collection[str] = PHASES
) -> tuple[tuple[Resource, ...], tuple[WrongVariable, ...]]:
    """The resources that variables ask for, in their order; or what is wrong with the variables.

    Of `phases` alone, where some are named; what a Mac must be is asked in any case.
    """
    value, wrong = values(given)
    wrong = wrong or tuple(_contradictions(value)) or tuple(_impossible(phases, value["linux_builder_state"]))
    if wrong:
        return (), wrong
    phased = _present(value) if value["linux_builder_state"] == "present" else _absent(value)
    return tuple(resource for phase, resource in phased if not phase or phase in phases), ()


def _impossible(phases: Collection[str], state: str) -> Iterator[WrongVariable]:
    if not phases:
        yield WrongVariable("phases", "there is none, so nothing would be looked at: leave it out for all of them")
    if state == "absent" and not set(PHASES) <= set(phases):
        yield WrongVariable(
            "phases",
            "linux_builder_state: absent takes all of it back, in an order of its own: leave phases out, and their tags",
        )
    for phase in phases:
        if phase not in PHASES:
            yield WrongVariable("phases", f"there is no phase {phase}; they are {', '.join(PHASES)}")


def _contradictions(value: Mapping[str, Any]) -> Iterator[WrongVariable]:
    if value["linux_builder_state"] == "absent":
        return
    if not value["linux_builder_nixpkgs"]:
        yield WrongVariable(
            "linux_builder_nixpkgs", "it has to be set: a locked flake reference, github:NixOS/nixpkgs/<revision>"
        )
    if value["linux_builder_daemon_proxy"] and not value["nix_proxy"]:
        yield WrongVariable(
            "linux_builder_daemon_proxy", "there is no proxy that the daemon could get: set nix_proxy as well"
        )
    if value["nix_state"] == "absent":
        yield WrongVariable("nix_state", "a builder without Nix is of no use: say linux_builder_state: absent as well")


def _present(value: Mapping[str, Any]) -> Iterator[tuple[str, Resource]]:
    vm = BuilderVm(
        nixpkgs=value["linux_builder_nixpkgs"],
        cores=value["linux_builder_cores"],
        memory=value["linux_builder_memory"],
        disk=value["linux_builder_disk"],
        port=value["linux_builder_port"],
        key=KEY,
        label=LABEL,
        alias=ALIAS,
        host_key=value["linux_builder_host_key"],
        certificates=value["linux_builder_certificates"],
        proxy=value["nix_proxy"],
    )
    build = LinuxBuild(
        systems=value["linux_builder_systems"],
        uri=URI,
        stamp=secrets.token_hex(8) if value["linux_builder_build"] == "always" else "",
    )
    yield (
        "",
        MacRequirements(
            cores=value["linux_builder_cores"],
            memory=value["linux_builder_memory"],
            port=value["linux_builder_port"],
            label=LABEL,
            systems=value["linux_builder_systems"],
            nixpkgs_release=value["linux_builder_nixpkgs_release"],
        ),
    )
    yield "", Memory(uri=URI, alias=ALIAS)
    yield "nix", _nix(value)
    # Before anything asks Nix to build: with a line that it does not read it does nothing at all.
    substitutes = _substitutes(value["linux_builder_use_substitutes"])
    yield "nix", substitutes
    yield "nix", NixProxy(value["nix_proxy"] if value["linux_builder_daemon_proxy"] else "")
    yield "nix", NixDaemon(after=(substitutes,))
    yield "key", SshKeypair(path=KEY, made_for=value["linux_builder_key_rotation"])
    yield "vm", vm
    yield (
        "daemon",
        LaunchdDaemon(
            label=LABEL,
            of_builder=True,
            program_arguments=("/bin/sh", WRAPPER),
            working_directory=DIRECTORY,
            log=LOG,
            exit_timeout=EXIT_TIMEOUT,
            answers_on=value["linux_builder_port"],
            start_limit=value["linux_builder_start_limit"],
            follows=vm.wrapper(),
            login=vm.login(),
            endings=endings(DISK.path),
            loses=ENDS_BUILDS,
            busy=True,
        ),
    )
    yield "ssh", SshHost(alias=ALIAS, file=SSH_FILE, options=vm.ssh_options)
    yield (
        "machine",
        NixMachine(
            uri=URI,
            systems=value["linux_builder_systems"],
            ssh_key=KEY,
            max_jobs=value["linux_builder_max_jobs"] or value["linux_builder_cores"],
            speed_factor=value["linux_builder_speed_factor"],
            supported_features=value["linux_builder_features"],
            host_key=value["linux_builder_host_key"],
        ),
    )
    yield "machine", LocalSystems(value["linux_builder_systems"])
    yield (
        "rotation",
        KeyRotation(key=KEY, word=value["linux_builder_key_rotation"], port=value["linux_builder_port"], alias=ALIAS),
    )
    yield "cleanup", TrustedFiles()
    yield "cleanup", FormerBuilderVms(keep=(vm.root, vm.sized_root))
    if value["linux_builder_build"] != "never":
        yield "build", build


def _absent(value: Mapping[str, Any]) -> Iterator[tuple[str, Resource]]:
    """The same in the opposite order; the state directory, which remembers what was there before, goes last."""
    yield "", MacRequirements(label=LABEL, port=value["linux_builder_port"], present=False)
    yield "", Memory(uri=URI, alias=ALIAS)
    yield "nix", _substitutes(False)
    yield "machine", NixMachine(uri=URI, present=False)
    yield "daemon", LaunchdDaemon(label=LABEL, of_builder=True, log=LOG, exit_timeout=EXIT_TIMEOUT, present=False)
    yield "ssh", SshHost(alias=ALIAS, file=SSH_FILE, present=False)
    yield "vm", BuilderVm(label=LABEL, key=KEY, port=value["linux_builder_port"], whole=True, present=False)
    yield "key", SshKeypair(path=KEY, present=False)
    yield "key", next_pair(KEY, present=False)
    yield "nix", NixProxy()
    if value["nix_state"] == "absent":
        yield "nix", _nix(value)
    yield "cleanup", NoStateDirectory((URI, ALIAS, "builders", "builders-use-substitutes", PROXY))


def _substitutes(present: bool) -> NixSetting:
    return NixSetting(setting="builders-use-substitutes", value="true", present=present)


def _of_the_macs_own(certificates: str) -> str:
    """A bundle that is there before Nix is."""
    return "" if certificates.startswith("/nix/") else certificates


def _nix(value: Mapping[str, Any]) -> NixInstallation:
    return NixInstallation(
        version=value["nix_installer_version"],
        source=value["nix_installer_source"],
        sha256=value["nix_installer_sha256"],
        extra_conf=value["nix_extra_conf"],
        proxy=value["nix_proxy"],
        certificates=_of_the_macs_own(value["linux_builder_certificates"]),
        present=value["nix_state"] == "present",
        after_builder=True,
    )
