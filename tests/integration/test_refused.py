# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired state that is wrong is refused by host, variable and value, before the Mac is touched."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.simulated_mac import Lab, SimulatedMac

from .harness import FrontEnd, Run, writes_since
from .parity import Alike


def refused(mac: SimulatedMac, door: FrontEnd, alike: Alike, scenario: str, **variables: Any) -> Run:
    """Roll out, and be refused in the same words by both front ends, with nothing written."""
    mark = mac.mark()
    run = door.run(mac, **variables)
    assert (run.outcome, run.code) == ("failed", 1), run.output
    assert writes_since(mac, mark) == []
    assert mac.name in run.output and "T0KEN" not in run.output
    alike(scenario, (run.outcome, run.code, run.changes))
    return run


@pytest.mark.parametrize(
    ("identity", "wrong", "words"),
    [
        ({}, {"linux_builder_memory": "8GB"}, ("linux_builder_memory", "write 8GiB")),
        ({}, {"linux_builder_cpus": 4}, ("linux_builder_cpus", "linux_builder_cores was meant?")),
        (
            {"memory": 8 * 2**30},
            {"linux_builder_memory": "6GiB"},
            ("linux_builder_memory", "this Mac has 8GiB", "Take at most 4GiB"),
        ),
        ({"cores": 4}, {"linux_builder_cores": 12}, ("linux_builder_cores", "this Mac has 4 cores")),
        ({"cores": 32}, {"linux_builder_cores": 12}, ("linux_builder_cores", "at most 8 processors", "Take at most 8")),
        (
            {},
            {"linux_builder_systems": "aarch64-linux,x86_64-linux"},
            ("linux_builder_systems", "not for x86_64-linux"),
        ),
        (
            {},
            {
                "nix_github_token": "s3cr3t-T0KEN",
                "nix_extra_conf": ["T0KEN garbage"],
                "linux_builder_host_key": "ssh-ed25519 T0KEN",
                "linux_builder_disk": "1MiB",
                "linux_builder_cores": "08",
            },
            (
                "nix_github_token: there is no such variable",
                "nix_extra_conf: each item is a line for nix.conf",
                "linux_builder_host_key: it is one line of a public key",
                "linux_builder_disk: it is 1GiB or more",
                "linux_builder_cores: it is a whole number from 1 to 64",
            ),
        ),
        ({"hv_support": False}, {}, ("kern.hv_support is 0", "cannot run virtual machines")),
        ({"version": "13.7"}, {}, ("13.7", "14 is the oldest")),
        (
            {"architecture": "x86_64"},
            {"linux_builder_nixpkgs_release": "26.11"},
            ("linux_builder_nixpkgs_release", "Intel", "26.05"),
        ),
        ({"rosetta": True}, {}, ("Rosetta", "arch -arm64")),
        ({}, {"linux_builder_disk": "900TiB"}, ("linux_builder_disk", "may grow beyond that", "GiB are free there")),
    ],
    ids=[
        "size",
        "slip",
        "memory",
        "cores",
        "qemu's-cores",
        "systems",
        "values",
        "virtualisation",
        "old-macos",
        "intel",
        "rosetta",
        "disk",
    ],
)
def test_wrong_for_this_mac(
    lab: Lab, door: FrontEnd, alike: Alike, identity: dict[str, Any], wrong: dict[str, Any], words: tuple[str, ...]
) -> None:
    mac = lab.start("refused", **identity)
    try:
        run = refused(mac, door, alike, f"{identity} {wrong}", **wrong)
    finally:
        mac.stop()
    for word in words:
        assert word in run.output


def test_a_port_that_is_taken_needs_a_person(lab: Lab, door: FrontEnd, alike: Alike) -> None:
    mac = lab.start("taken")
    mac.break_("port-taken", 31422)
    mark = mac.mark()
    run = door.run(mac)
    assert (run.outcome, run.code) == ("needs a person", 4), run.output
    alike("port", re.sub(r"pid [0-9]+", "pid", run.changes[0]))
    assert "port 31422 is taken by" in run.output and "linux_builder_port" in run.output
    assert writes_since(mac, mark) == []
    mac.stop()


def test_no_full_disk_access_is_said_before_anything_is_written(lab: Lab, door: FrontEnd, alike: Alike) -> None:
    mac = lab.start("no-fda", full_disk_access=False)
    mark = mac.mark()
    run = door.run(mac)
    assert (run.outcome, run.code) == ("needs a person", 4), run.output
    alike("full disk access", (run.outcome, run.changes))
    assert "Allow full disk access for remote users" in run.output
    assert writes_since(mac, mark) == []
    mac.stop()


def test_an_installer_with_other_bytes_is_not_run(lab: Lab, door: FrontEnd, alike: Alike) -> None:
    mac = lab.start("other-bytes")
    run = door.run(mac, nix_installer_sha256="0" * 64)
    assert (run.outcome, run.code) == ("failed", 1), run.output
    alike("other bytes", (run.outcome, run.changes))
    assert "is not the one that is pinned" in run.output
    assert mac.run("ls -d /nix /nix/receipt.json 2>/dev/null || :").stdout == ""
    mac.stop()
