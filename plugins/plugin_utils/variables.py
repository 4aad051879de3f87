# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables: what each is called, what it may be, what it is by default, and what it is for.

One table for both front ends. A value that is wrong is refused before any Mac is asked anything, and so is a name that
begins like ours but is not: it is most likely a slip, and a slip must not pass for desired state.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .masked import masked
from .readers import (
    NAME,
    Choice,
    Read,
    flag,
    list_of,
    locked_flake,
    matching,
    maybe,
    nix_conf_line,
    optional,
    path,
    public_key,
    reads,
    size,
    whole,
    words,
)
from .size import Size

PREFIXES = ("nix_", "linux_builder_")

# Published with nixpkgs, private half included: every stock builder has it (facts/linux_builder §1.9). That is why the
# builder listens on 127.0.0.1 only.
STOCK_HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJBWcxb/Blaqt1auOtE+F8QUWrUotiC5qBJ+UuEWdVCb root@nixos"


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable: `read` turns a value into what the core uses, or raises ValueError with what would be right."""

    name: str
    default: Any
    read: Read
    about: str


@dataclass(frozen=True, slots=True)
class WrongVariable:
    """A variable that cannot be, and what would be right. Never its value, which may be somebody's secret."""

    name: str
    problem: str

    def __str__(self) -> str:
        return masked(f"{self.name}: {self.problem}")


LEAST_MEMORY, LEAST_DISK = Size.parse("256MiB"), Size.parse("1GiB")  # with less no guest comes up

VARIABLES: tuple[Variable, ...] = (
    Variable(
        "nix_state",
        "present",
        Choice(("present", "absent")),
        "`present`: Nix is installed where there is none, and adopted where there is one, of whatever flavour. `absent` "
        "uninstalls it and DELETES ITS STORE; it wants linux_builder_state: absent as well.",
    ),
    Variable(
        "nix_installer_version",
        "2.35.2",
        matching(r"\d+\.\d+\.\d+", "a version such as 2.35.2"),
        "The release of the NixOS nix-installer; it carries the Nix of the same number. For Macs without Nix.",
    ),
    Variable(
        "nix_installer_source",
        "https://github.com/NixOS/nix-installer/releases/download/{version}/nix-installer-aarch64-darwin",
        matching(
            r"(https?://[^\s'\"]+|/[^\s'\"]+)", "an http(s) URL, or the absolute path of a file that is on the Mac"
        ),
        "Where a Mac gets the installer: a URL (a mirror of your own will do) or a file that is on the Mac already. "
        "`{version}` stands for nix_installer_version.",
    ),
    Variable(
        "nix_installer_sha256",
        "6314b195321b3acc6826b1c5d66bb9cf9306c8231c6dbb745f51a04c3bcee235",
        matching(r"([0-9a-f]{64})?", "64 hexadecimal digits in lower case"),
        "The SHA-256 of that installer, checked on the Mac before any of it runs; it changes with nix_installer_version. "
        "Empty: no Nix is installed anywhere.",
    ),
    Variable(
        "nix_extra_conf",
        (),
        list_of(nix_conf_line, "a line for nix.conf"),
        "Lines that the installer adds to the configuration of a Nix that it installs.",
    ),
    Variable(
        "nix_proxy",
        "",
        matching(r"(https?://[^\s'\"]+)?", "the URL of an HTTP proxy, such as http://proxy.example:3128; or empty"),
        "The HTTP proxy, as a URL, where that is a Mac's only way out: given to the download, the installer and the "
        "realising of the VM. The guest does not get it.",
    ),
    Variable(
        "linux_builder_state",
        "present",
        Choice(("present", "absent")),
        "`absent` takes the builder back, with its VM's disk, and puts back what was there before. Nix stays.",
    ),
    Variable(
        "linux_builder_nixpkgs",
        "github:NixOS/nixpkgs/735a15e91bcb1b3e0883a91d3c9dfd4475d1bc54"
        "?narHash=sha256-Q%2Bg1Np4wyNYpylt8RFM8UprAmyRoA3q3EZj7lQV%2BZuQ%3D",
        maybe(locked_flake),
        "The nixpkgs whose darwin.linux-builder is used: a locked flake reference. Take a revision of a release "
        "channel, whose builder the binary cache has. The default is one of nixpkgs-25.11-darwin, which gets no fixes any "
        "more since mid-2026; builderfleet pin takes a newer one.",
    ),
    Variable(
        "linux_builder_nixpkgs_release",
        "25.11",
        matching(r"(\d\d\.\d\d)?", 'a release in quotes, such as "25.11": without them YAML makes a number of it'),
        "The release that revision belongs to. Needed for Intel Macs: 26.05 is the last that knows them.",
    ),
    Variable(
        "linux_builder_cores",
        4,
        whole(1, 64),
        "Processor cores of the VM: at most 8 on Apple silicon, whose machine in QEMU has no more.",
    ),
    Variable("linux_builder_memory", "6GiB", size(LEAST_MEMORY), "Memory of the VM."),
    Variable(
        "linux_builder_disk",
        "60GiB",
        size(LEAST_DISK),
        "The most that the VM's disk may grow to. It counts when the disk is made; an existing one keeps its size.",
    ),
    Variable(
        "linux_builder_port",
        31422,
        whole(1024, 65535),
        "The TCP port of 127.0.0.1 on which the builder's sshd is reached. 31022, 31122, 31222 and 2222 are what other "
        "builders use.",
    ),
    Variable(
        "linux_builder_systems",
        (),
        words(r"(aarch64|x86_64)-linux", "aarch64-linux or x86_64-linux"),
        "The systems it is registered for. Empty: the Linux that the Mac's own processor runs.",
    ),
    Variable(
        "linux_builder_max_jobs",
        None,
        optional(whole(1, 64)),
        "How many builds run in it at once. Not set: as many as it has cores.",
    ),
    Variable("linux_builder_speed_factor", 1, whole(1, 1000), "Its weight among several builders."),
    Variable(
        "linux_builder_features",
        ("benchmark", "big-parallel"),
        words(NAME, "the name of a feature"),
        "The system features that it is registered with.",
    ),
    Variable(
        "linux_builder_use_substitutes",
        True,
        flag,
        "Whether builders fetch from the binary cache themselves (`builders-use-substitutes`) instead of being sent "
        "everything by the Mac.",
    ),
    Variable(
        "linux_builder_host_key",
        STOCK_HOST_KEY,
        public_key,
        "The public host key of the guest, which is the only one that Nix accepts. The private half of the stock "
        "builder's is published with nixpkgs, which is why the VM listens on 127.0.0.1 only.",
    ),
    Variable(
        "linux_builder_key_rotation",
        "",
        matching(
            rf"({NAME})?", "a word such as 2026-11, in quotes where YAML makes a number or a date of it; or empty"
        ),
        "Any word. When it is changed, say from 2026-10 to 2026-11, each Mac makes a new client key, and the old one "
        "stays valid until the new one works. Empty: keys are never changed.",
    ),
    Variable(
        "linux_builder_certificates",
        "/nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt",
        path,
        "The CA certificates, on the Mac, that the guest is to trust: with a TLS-intercepting proxy, a bundle that has "
        "the proxy's.",
    ),
    Variable(
        "linux_builder_daemon_proxy",
        False,
        flag,
        "Whether Nix's daemon gets nix_proxy as well: in the file of its launchd job, which everybody on the Mac can read. "
        "Setting it restarts the daemon.",
    ),
    Variable(
        "linux_builder_start_limit",
        300,
        whole(10, 3600),
        "Seconds that the VM may take until it answers.",
    ),
    Variable(
        "linux_builder_build",
        "after changes",
        Choice(("after changes", "always", "never")),
        "When a run ends with a real Linux build through the builder: `after changes`, `always` or `never`.",
    ),
)

DEFAULTS: Mapping[str, Any] = {variable.name: variable.default for variable in VARIABLES}

READERS: Mapping[str, Read] = {variable.name: variable.read for variable in VARIABLES}


def like(name: str) -> Mapping[str, Read]:
    """The metadata of a resource's field that is what a variable is."""
    return reads(READERS[name])


_BY_NAME: Mapping[str, Variable] = {variable.name: variable for variable in VARIABLES}


def values(given: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[WrongVariable, ...]]:
    """Every variable's value, from what was given and the defaults; and all that is wrong, not just the first of it.

    Names that do not begin like ours are somebody else's and left alone. A variable that is wrong is not among the
    values.
    """
    wrong = list(_unknown(given))
    good: dict[str, Any] = {}
    for variable in VARIABLES:
        value = given.get(variable.name, variable.default)
        try:
            good[variable.name] = variable.read(value)
        except ValueError as error:
            wrong.append(WrongVariable(variable.name, str(error)))
    return good, tuple(wrong)


def _unknown(given: Mapping[str, Any]) -> Iterator[WrongVariable]:
    for name in given:
        if name.startswith(PREFIXES) and name not in _BY_NAME:
            near = difflib.get_close_matches(
                name, _BY_NAME, n=1, cutoff=0.8
            )  # nix_out is not nix_state, which deletes stores
            meant = f"{near[0]} was meant?" if near else f"they are {', '.join(_BY_NAME)}."
            prefix = next(filter(name.startswith, PREFIXES), "")
            yield WrongVariable(
                name,
                f"there is no such variable; {meant} Names that begin with {prefix} are builderfleet's, so give yours "
                "another if it is for something else",
            )
