# SPDX-License-Identifier: GPL-3.0-or-later
"""LinuxBuild: due when nothing proved the builder since the last change, and no proof but by a build."""

from __future__ import annotations

import subprocess

import pytest
from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.questions.mac import Mac
from builderfleet.plugin_utils.questions.nix import NIX
from builderfleet.plugin_utils.resources.linux_build import PROOF, LinuxBuild, proof

from tests.unit.answers import INTEL, Case, answers, file
from tests.unit.sandbox import Sandbox

WANTED, STAMPED = LinuxBuild(), LinuxBuild(system="x86_64-linux", stamp="4711")
ARM, INTEL_LINUX = "prove it with a Linux build for aarch64-linux", "prove it with a Linux build for x86_64-linux"
SAID = "Linux 6.12.9 on builder for aarch64-linux"

CASES = [
    Case("fresh", WANTED, expected=(ARM,)),
    Case("proved", WANTED, {PROOF: file(f"{SAID}\n\n")}),
    Case("proved by another run", WANTED, {PROOF: file(f"{SAID}\n4711\n")}),
    Case("Intel", WANTED, {Mac(): INTEL}, (INTEL_LINUX,)),
    Case("always", STAMPED, {PROOF: file(f"{SAID}\n0815\n")}, (INTEL_LINUX,)),
    Case("always, never yet", STAMPED, {PROOF: file(f"{SAID}\n\n")}, (INTEL_LINUX,)),
    Case("always, done", STAMPED, {PROOF: file(f"{SAID}\n4711\n")}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_it_says(case: Case) -> None:
    case.check()


def test_what_is_proved() -> None:
    assert proof(answers(WANTED, {PROOF: file(f"{SAID}\n4711\n")})) == SAID
    assert proof(answers(WANTED, {})) == ""


# --- really done ---------------------------------------------------------------------------------------------------

BUILD = """
shift; while [ "$1" != --argstr ]; do shift; done
echo "$*" > /arguments
echo "Linux 6.12.9 on builder for $3, $6" > /nix/store/proof
echo /nix/store/proof
"""


def do(sandbox: Sandbox, nix_build: str) -> subprocess.CompletedProcess[str]:
    sandbox.double("/usr/bin/sudo", 'echo "$3" > /user; shift 3; exec "$@"')
    sandbox.double(f"{NIX}/nix-build", nix_build)
    (sandbox / "/nix/store").mkdir()
    (sandbox / "/etc/group").write_text("")
    (change,) = next(case for case in CASES if case.name == "always").changes()
    return sandbox.run(shell.wrap(f"set -eu\n{shell.LIBRARY}\n{change.script}"))


def test_a_build_is_a_proof(sandbox: Sandbox) -> None:
    ran = do(sandbox, BUILD)
    assert (ran.returncode, ran.stderr) == (0, "")
    content = (sandbox / PROOF.path).read_bytes()
    assert content == b"Linux 6.12.9 on builder for x86_64-linux\n4711\n"
    assert Case("", STAMPED, {PROOF: file(content)}).steps() == []
    assert (sandbox / "/user").read_text() == "nobody\n"
    assert sandbox.files("/tmp") == {}


@pytest.mark.parametrize(
    ("nix_build", "said"),
    [
        (
            "echo cannot connect >&2; exit 1",
            "cannot connect\nthe builder is set up, but a Linux build through it fails",
        ),
        (BUILD.replace("Linux 6", "Darwin 6"), "the build made something else than was asked for: Darwin 6.12.9"),
        (BUILD.replace("$6", "an older one"), "the build made something else than was asked for"),
    ],
)
def test_what_is_no_proof(sandbox: Sandbox, nix_build: str, said: str) -> None:
    ran = do(sandbox, nix_build)
    assert ran.returncode == 1
    assert said in ran.stderr
    assert not (sandbox / PROOF.path).exists()
    assert sandbox.files("/tmp") == {}
