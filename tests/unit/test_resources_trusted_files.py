# SPDX-License-Identifier: GPL-3.0-or-later
"""What others than root may write is found, put right where it is ours, and said where it is somebody else's."""

from __future__ import annotations

import os

import pytest
from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.asking import Answers, probe_of
from builderfleet.plugin_utils.resource import Change
from builderfleet.plugin_utils.resources.trusted_files import Loose, LooseFiles, TrustedFiles
from builderfleet.plugin_utils.shell import STATE_DIRECTORY
from builderfleet.plugin_utils.transcript import Transcript

from tests.unit.answers import Case, Person
from tests.unit.sandbox import Sandbox

OURS = Loose(f"{STATE_DIRECTORY}/linux-builder/nixos.qcow2", "-rw-r--r--", 501, 20)
THEIRS = Loose("/etc/nix/nix.conf", "-rw-rw-rw-", 0, 0)
RIGHT = f"make root's again what others may write: {OURS}"

CASES = [
    Case("all is root's", TrustedFiles(), {LooseFiles(): ()}),
    Case("ours", TrustedFiles(), {LooseFiles(): (OURS,)}, (RIGHT,)),
    Case(
        "somebody elses",
        TrustedFiles(),
        {LooseFiles(): (THEIRS,)},
        (Person(r"/etc/nix/nix.conf \(-rw-rw-rw-, owner 0:0\)", "chmod go-w /etc/nix/nix.conf"),),
    ),
    Case("both", TrustedFiles(), {LooseFiles(): (THEIRS, OURS)}, (RIGHT, Person("others than root", "sudo sh -c"))),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_it_says(case: Case) -> None:
    case.check()


def found(sandbox: Sandbox) -> dict[str, Loose]:
    probe = probe_of([LooseFiles()])
    ran = sandbox.run(shell.wrap(probe.script("token")))
    return {each.path: each for each in probe.answers(Transcript.parse(ran.stdout, "token"))[LooseFiles()]}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_it_is_found_and_put_right(sandbox: Sandbox) -> None:
    for folder in ("etc/nix", "etc/ssh/ssh_config.d", "var/lib/builderfleet/linux-builder", "Library/LaunchDaemons"):
        (sandbox / folder).mkdir(parents=True, exist_ok=True)
    for file in (
        "etc/nix/nix.conf",
        "etc/ssh/ssh_config.d/0 a.conf",
        "var/lib/builderfleet/linux-builder/run",
        "etc/other",
    ):
        (sandbox / file).write_text("")
    assert found(sandbox) == {}
    (sandbox / "etc/nix/nix.conf").chmod(0o666)
    (sandbox / "etc/ssh/ssh_config.d/0 a.conf").chmod(0o664)
    (sandbox / "etc/other").chmod(0o666)
    os.chown(sandbox / "etc/ssh/ssh_config.d/0 a.conf", 0, 20)
    os.chown(sandbox / "var/lib/builderfleet/linux-builder/run", 501, 20)
    (sandbox / "Library/LaunchDaemons").chmod(0o777)
    (sandbox / "var/lib/builderfleet/link").symlink_to("/etc/other")
    loose = found(sandbox)
    assert loose.keys() == {
        "/etc/nix/nix.conf",
        "/etc/ssh/ssh_config.d/0 a.conf",
        "/var/lib/builderfleet/linux-builder/run",
        "/Library/LaunchDaemons",
    }
    assert str(loose["/etc/nix/nix.conf"]) == "/etc/nix/nix.conf (-rw-rw-rw-, owner 0:0)"
    change, _person = TrustedFiles().changes(Answers.given({LooseFiles(): tuple(loose.values())}))
    assert isinstance(change, Change)
    ran = sandbox.run(shell.wrap(f"set -eu\n{change.script}"))
    assert ran.returncode == 0, ran.stderr
    assert "/var/lib/builderfleet/linux-builder/run" not in found(sandbox)
    assert "/etc/nix/nix.conf" in found(sandbox)


FILES = ("nix.conf", "config", "machines", "ssh_config", ".plist", "x.conf")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize(
    "path",
    [
        "/etc", "/etc/nix", "/etc/nix/nix.conf", "/etc/nix/nix.custom.conf", "/etc/nix/machines", "/etc/ssh",
        "/etc/ssh/ssh_config", "/etc/ssh/ssh_config.d", "/etc/ssh/ssh_config.d/x.conf", "/Library",
        "/Library/LaunchDaemons", "/Library/LaunchDaemons/org.nixos.nix-daemon.plist",
        "/Library/LaunchDaemons/systems.determinate.nix-daemon.plist",
        "/Library/LaunchDaemons/org.builderfleet.linux-builder.plist", "/var/lib", "/var/root", "/var/root/.ssh",
        "/var/root/.ssh/config", "/var/root/.config", "/var/root/.config/nix", "/var/root/.config/nix/nix.conf",
        "/nix/var/nix/gcroots", "/nix/var/nix/gcroots/builderfleet",
    ],
)  # fmt: skip
def test_each_that_is_trusted_is_looked_at(dash_sandbox: Sandbox, path: str) -> None:
    place = dash_sandbox / path
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.endswith(FILES):
        place.touch()
    else:
        place.mkdir(exist_ok=True)
    mode = place.stat().st_mode
    place.chmod(mode | 0o002)
    assert path in found(dash_sandbox)
    place.chmod(mode & ~0o022)
    os.chown(place, 501, 20)
    assert path in found(dash_sandbox)
    os.chown(place, 0, 0)
    assert path not in found(dash_sandbox)
