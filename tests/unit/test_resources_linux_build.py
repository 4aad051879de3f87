# SPDX-License-Identifier: GPL-3.0-or-later
"""LinuxBuild: due when nothing proved the builder since the last change, and no proof but by a build."""

from __future__ import annotations

import subprocess

import pytest
from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.questions.mac import Mac
from builderfleet.plugin_utils.questions.nix import NIX, NixConfiguration
from builderfleet.plugin_utils.resource import Change
from builderfleet.plugin_utils.resources.linux_build import BUILDING, PROOF, SEEN, LinuxBuild, Proof, proof
from builderfleet.plugin_utils.session import Session
from builderfleet.plugin_utils.shell import encode

from tests.unit.answers import INTEL, Case, World, answers, file, nix
from tests.unit.sandbox import Sandbox

URI = "ssh-ng://builder@builderfleet"
WANTED = LinuxBuild(uri=URI)
BOTH = LinuxBuild(uri=URI, systems=("aarch64-linux", "x86_64-linux"))
STAMPED = LinuxBuild(uri=URI, systems=("x86_64-linux",), stamp="4711")
ANY = LinuxBuild()
ARM, INTEL_LINUX = "prove it with a Linux build for aarch64-linux", "prove it with a Linux build for x86_64-linux"
BOTH_SYSTEMS = "prove it with a Linux build for aarch64-linux and x86_64-linux"


def proved(system: str = "aarch64-linux", builder: str = URI, stamp: str = "", user: str = "nobody") -> Proof:
    return Proof(f"Linux 6.12.9 on builder for {system}", system, builder, stamp, user)


def note(*proofs: Proof) -> World:
    return {PROOF: file("".join(each.row() for each in proofs))}


INTELS = "x86_64-linux"
CASES = [
    Case("fresh", WANTED, expected=(ARM,)),
    Case("proved", WANTED, note(proved())),
    Case("proved by another run", WANTED, note(proved(stamp="4711"))),
    Case("another builder's proof", WANTED, note(proved(builder="ssh-ng://builder@other")), (ARM,)),
    Case("another builder's proof will do", ANY, note(proved(builder="ssh-ng://builder@other"))),
    Case("another system's proof", WANTED, note(proved(INTELS)), (ARM,)),
    Case("one system's proof of two", BOTH, note(proved(INTELS)), (BOTH_SYSTEMS,)),
    Case("both systems' proofs", BOTH, note(proved(INTELS), proved())),
    Case("a former version's note", WANTED, {PROOF: file("Linux 6.12.9 on builder for aarch64-linux\n\n")}, (ARM,)),
    Case("rubbish", WANTED, {PROOF: file(b"\xff\t\t\t\t\n\n\0")}, (ARM,)),
    Case("Intel", WANTED, {Mac(): INTEL}, (INTEL_LINUX,)),
    Case("always", STAMPED, note(proved(INTELS, stamp="0815")), (INTEL_LINUX,)),
    Case("always, never yet", STAMPED, note(proved(INTELS)), (INTEL_LINUX,)),
    Case("always, done", STAMPED, note(proved(INTELS, stamp="4711"))),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_it_says(case: Case) -> None:
    case.check()


def test_what_is_proved() -> None:
    assert proof(answers(WANTED, note(proved(), proved(INTELS)))) == "Linux 6.12.9 in builderfleet"
    assert proof(answers(WANTED, note(proved(user="root")))).startswith("Linux 6.12.9 in builderfleet (as root alone")
    assert proof(answers(WANTED, {})) == ""


def test_two_builds_in_one_run_do_not_wait_for_each_other() -> None:
    one, other = LinuxBuild(uri=URI), LinuxBuild(uri=URI, systems=(INTELS,))
    session = Session((one, other), "anna")
    session._answers = answers(one, note(proved()))
    assert [step.summary for _resource, step in session.plan().steps] == [INTEL_LINUX]
    (step,) = session.steps(other)
    assert isinstance(step, Change) and encode(proved().row().encode()) in step.script  # the other's proof stays


def test_the_report_says_what_was_proved_where_and_what_would_be() -> None:
    session = Session((WANTED,), "anna")
    session._answers = answers(WANTED, {})
    assert session.remark() == f"would {ARM}"
    session.made += [step for step in session.steps(WANTED) if isinstance(step, Change)]
    session._answers = answers(WANTED, note(proved()))
    assert session.remark() == f"{ARM}: built on Linux 6.12.9 in builderfleet"


# --- really done ---------------------------------------------------------------------------------------------------

BUILD = """
echo "$*" >> /arguments
on=ssh-ng://builder@builderfleet
for word; do [ -e /other ] && on=ssh-ng://builder@other; done
echo "warning: unknown setting 'eval-cores'" >&2
echo "building '/nix/store/x-builderfleet-proof.drv' on '$on'..." >&2
while [ "$1 $2" != "--argstr system" ]; do shift; done
echo "Linux 6.12.9 on builder for $3, $6" > /nix/store/proof
echo /nix/store/proof
"""
MACHINES = f"# old ; ssh://x\n{URI}x - - 1\nssh://me@a x86_64-linux;{URI} x86_64-linux /key 4 1 kvm - aG9zdA== # ours\n"
LINE = f"{URI} x86_64-linux /key 4 1 kvm - aG9zdA=="


def do(
    sandbox: Sandbox,
    nix_build: str = BUILD,
    wanted: LinuxBuild = STAMPED,
    machines: str = MACHINES,
    before: str = "",
    settings: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    sandbox.double("/usr/bin/sudo", 'echo "$3" >> /user; shift 3; exec "$@"')
    sandbox.double("/usr/bin/env", 'shift; while case $1 in *=*) ;; *) false ;; esac; do shift; done; exec "$@"')
    if nix_build:
        sandbox.double(f"{NIX}/nix-build", nix_build)
    for folder in ("/nix/store", "/etc/nix"):
        (sandbox / folder).mkdir(parents=True)
    (sandbox / "/etc/nix/machines").write_text(machines)
    (sandbox / "/etc/group").write_text("admin:x:80:alice\n")
    with (sandbox / "/etc/passwd").open("a") as users:
        users.write("alice:x:501:20::/:/bin/sh\nbuild:x:502:20::/:/bin/sh\n")
    (change,) = Case("", wanted, {NixConfiguration(): nix("", **(settings or {}))}).changes()
    return sandbox.run(shell.wrap(f"set -eu\nexec 1>&2\n{before}\n{shell.LIBRARY}\n{change.script}"))


def rows(sandbox: Sandbox) -> list[list[str]]:
    return [line.split("\t") for line in (sandbox / PROOF.path).read_text().splitlines()]


def test_a_build_in_our_builder_alone_and_as_everybody_gets_it_is_a_proof(sandbox: Sandbox) -> None:
    ran = do(sandbox)
    assert (ran.returncode, ran.stderr) == (0, "")
    content = (sandbox / PROOF.path).read_bytes()
    assert content.decode() == proved(INTELS, stamp="4711").row()
    assert Case("", STAMPED, {PROOF: file(content)}).steps() == []
    assert (sandbox / "/user").read_text() == "root\nnobody\n"
    forced, ordinary = (sandbox / "/arguments").read_text().splitlines()
    assert f" --option builders {LINE} --option max-jobs 0 --argstr features kvm, " in forced
    assert "--option" not in ordinary and "features" not in ordinary


@pytest.mark.parametrize(
    ("written", "demanded"),
    [("kvm,big-parallel - -", "kvm,big-parallel,"), ("- - -", ","), ("a b", "a,b"), ("- b -", ",b"), ("", ",")],
)
def test_all_that_the_builder_is_registered_with_is_demanded_of_it(
    dash_sandbox: Sandbox, written: str, demanded: str
) -> None:
    assert do(dash_sandbox, machines=f"{URI} x86_64-linux - 1 1 {written}\n").returncode == 0
    forced = (dash_sandbox / "/arguments").read_text().splitlines()[0]
    assert f" --argstr features {demanded} /" in forced


def test_every_system_is_proved(dash_sandbox: Sandbox) -> None:
    assert do(dash_sandbox, wanted=BOTH).returncode == 0
    assert [row[1] for row in rows(dash_sandbox)] == ["aarch64-linux", "x86_64-linux"]


def test_without_a_builder_any_is_taken_and_named(dash_sandbox: Sandbox) -> None:
    (dash_sandbox / "/other").touch()
    assert do(dash_sandbox, wanted=LinuxBuild()).returncode == 0
    assert rows(dash_sandbox) == [
        ["Linux 6.12.9 on builder for aarch64-linux", "aarch64-linux", "ssh-ng://builder@other", "", "nobody"]
    ]
    assert (dash_sandbox / "/user").read_text() == "nobody\n"


SUDO = "SUDO_USER=alice"


@pytest.mark.parametrize(
    ("settings", "before", "user"),
    [
        ({"allowed_users": "*"}, "", "nobody"),
        ({"allowed_users": "build @staff"}, "", "build"),
        ({"allowed_users": "root", "trusted_users": "root alice"}, "", "alice"),
        ({"allowed_users": "@admin"}, SUDO, "alice"),
        ({"allowed_users": "@wheel"}, SUDO, "root"),
        ({"allowed_users": "@admin"}, "", "root"),
        ({"allowed_users": ""}, SUDO, "root"),
    ],
)
def test_it_is_built_as_somebody_who_may(
    dash_sandbox: Sandbox, settings: dict[str, str], before: str, user: str
) -> None:
    dash_sandbox.double("/usr/bin/id", 'case "$1:$2" in -Gn:alice) echo staff admin ;; *) exit 1 ;; esac')
    ran = do(dash_sandbox, before=before, settings=settings)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert rows(dash_sandbox)[0][4] == user
    assert (dash_sandbox / "/user").read_text() == ("root\n" if user == "root" else f"root\n{user}\n")


# How Nix 2.8, 2.26 and 2.34 end a build that no builder makes.
REFUSED = """
echo "warning: unknown setting 'eval-cores'" >&2
echo "warning: unknown setting 'eval-cores'" >&2
echo "error: a 'x86_64-linux' with features {} is required to build 'x.drv', but I am a 'aarch64-darwin'" >&2
exit 1
"""


@pytest.mark.parametrize(
    ("nix_build", "said"),
    [
        (
            REFUSED,
            "error: a 'x86_64-linux' with features {} is required to build 'x.drv', but I am a 'aarch64-darwin'\n"
            f"the builder is set up, but no Linux build for x86_64-linux in {URI} comes through: see above\n",
        ),
        (
            f"case $* in *--option*) ;; *) echo error: no >&2; exit 1 ;; esac\n{BUILD}",
            f"error: no\nno Linux build for x86_64-linux comes through as nobody asks for it, though {URI} builds when",
        ),
        (BUILD.replace("Linux 6", "Darwin 6"), "made something else than was asked for: Darwin 6.12.9"),
        (BUILD.replace("$6", "an older one"), "made something else than was asked for"),
        (f": > /other\n{BUILD}", "another builder made it: see above. Does Nix's trusted-users have root?"),
        ("", "this Mac has no Nix that could build"),
    ],
)
def test_what_is_no_proof(sandbox: Sandbox, nix_build: str, said: str) -> None:
    ran = do(sandbox, nix_build)
    assert ran.returncode == 1
    assert said in ran.stderr and "unknown setting" not in ran.stderr
    assert not (sandbox / PROOF.path).exists()


# What Nix 2.8 to 2.34 say of a builder that they do not get at.
NOT_REACHED = f"""
echo "cannot build on '{URI}': error: cannot open connection to remote store: error: unexpected end-of-file" >&2
echo "error: unable to start any build" >&2; exit 1
"""


def test_a_guest_that_has_just_started_is_asked_once_more(sandbox: Sandbox) -> None:
    sandbox.double("/bin/sleep", "echo slept >> /slept")
    assert do(sandbox, f"[ -e /begun ] || {{ : > /begun; {NOT_REACHED.strip()}; }}\n{BUILD}").returncode == 0
    assert (sandbox / "/slept").read_text() == "slept\n"


def test_a_builder_that_is_not_reached_is_said_after_the_second_time(dash_sandbox: Sandbox) -> None:
    dash_sandbox.double("/bin/sleep", "echo slept >> /slept")
    ran = do(dash_sandbox, NOT_REACHED)
    assert ran.returncode == 1 and ran.stderr.count("unexpected end-of-file") == 1
    assert (dash_sandbox / "/slept").read_text() == "slept\n"


def test_a_builder_that_is_not_registered_is_not_proved(dash_sandbox: Sandbox) -> None:
    ran = do(dash_sandbox, machines="# ssh-ng://builder@builderfleet x86_64-linux\n")
    assert f"{URI} is not registered in /etc/nix/machines" in ran.stderr


def read(*command: str, said: str) -> str:
    return subprocess.run(command, input=said, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("pattern", "text"), [(pattern, text) for pattern, seen in SEEN.items() for text in seen.values()]
)
def test_what_is_read_of_nix_is_what_each_version_says(pattern: str, text: str) -> None:
    assert read("grep", "-e", pattern, said=f"something else\n{text}\n") == f"{text}\n"
    if pattern == BUILDING:
        assert read("sed", "-n", f"s/{pattern}.*/\\1/p", said=text) == "ssh-ng://builder@builderfleet"
