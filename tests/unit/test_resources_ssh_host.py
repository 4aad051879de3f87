# SPDX-License-Identifier: GPL-3.0-or-later
"""SshHost: a block of its own that ssh really reads, and a system's file that comes back as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builderfleet.plugin_utils.formats import ssh_config
from builderfleet.plugin_utils.ledger import LEDGER
from builderfleet.plugin_utils.questions.file import NOTHING, File, Found
from builderfleet.plugin_utils.questions.ssh import SshConfiguration
from builderfleet.plugin_utils.resource import Change
from builderfleet.plugin_utils.resources.ssh_host import SSH_CONFIG, SshHost

from tests.unit.answers import (
    FIFO,
    STOCK_SSH_CONFIG,
    Case,
    Person,
    World,
    carried,
    directory,
    file,
    hashed,
    ledger_of,
    link,
    remembered,
)
from tests.unit.real_files import RealFiles
from tests.unit.sandbox import Sandbox

OPTIONS = (("HostName", "127.0.0.1"), ("Port", "31422"), ("User", "builder"), ("IdentitiesOnly", "yes"))
WANTED = SshHost(alias="builderfleet", file="150-builderfleet.conf", options=OPTIONS)
UNWANTED = SshHost(alias="builderfleet", file="150-builderfleet.conf", present=False)
BLOCK = File("/etc/ssh/ssh_config.d/150-builderfleet.conf")
RENDERED = ssh_config.Host("builderfleet", OPTIONS).render()
WISHED = {"hostname": ["127.0.0.1"], "port": ["31422"], "user": ["builder"], "identitiesonly": ["yes"]}

WRITE, INCLUDE = "write ssh host builderfleet", "have /etc/ssh/ssh_config include /etc/ssh/ssh_config.d"
REMOVE, BACK = "remove ssh host builderfleet", "put /etc/ssh/ssh_config back as it was"

FORMER = "Host *\n  SendEnv LANG\n"
EDITED = ssh_config.with_include(FORMER.encode())


def world(block: Found, config: Found | None = None, **effective: list[str]) -> World:
    given: World = {BLOCK: block, WANTED.effect: SshConfiguration(WISHED | effective, WISHED)}
    return given if config is None else given | {SSH_CONFIG: config}


def edited(now: Found, block: Found = NOTHING, alias: str = "builderfleet") -> World:
    """A Mac on which the Include was added."""
    return world(block, now) | {LEDGER: ledger_of(remembered(SSH_CONFIG.path, FORMER, EDITED, former={alias: None}))}


CASES = [
    Case("fresh", WANTED, expected=(WRITE,)),
    Case("converged", WANTED, world(file(RENDERED))),
    Case("somebody changed the block", WANTED, world(file(RENDERED + b"  Port 22\n")), (WRITE,)),
    Case("block is binary", WANTED, world(file(b"\xff\0")), (WRITE,)),
    Case("block not readable for all", WANTED, world(file(RENDERED, 0o600)), (WRITE,)),
    Case("block is somebodys", WANTED, world(file(RENDERED, uid=501)), (WRITE,)),
    Case("block is a link", WANTED, world(link("/elsewhere")), (WRITE,)),
    Case("block is a directory", WANTED, world(directory()), (Person("should be a file", "move it away"),)),
    Case("no system file", WANTED, world(file(RENDERED), NOTHING), (INCLUDE,)),
    Case("system file lost its include", WANTED, world(file(RENDERED), file(FORMER)), (INCLUDE,)),
    Case("include for others only", WANTED, world(file(RENDERED), file("Host x\n" + STOCK_SSH_CONFIG)), (INCLUDE,)),
    Case("all of it", WANTED, world(NOTHING, file(FORMER)), (WRITE, INCLUDE)),
    Case(
        "system file is a link", WANTED, world(file(RENDERED), link("/nix/store/x")), (Person("is a link", "manages"),)
    ),
    Case("system file is a fifo", WANTED, world(file(RENDERED), FIFO), (Person("is a special file$", "manages it"),)),
    Case(
        "another block overrides it",
        WANTED,
        world(file(RENDERED), port=["2222"]),
        (Person("does not use .*150-builderfleet.conf says for builderfleet: port 2222", "`sudo -H ssh -G -vvv"),),
    ),
    Case("nothing to remove", UNWANTED, world(NOTHING)),
    Case("remove the block", UNWANTED, world(file(RENDERED)), (REMOVE,)),
    Case("remove a changed block", UNWANTED, world(file("Host other\n")), (REMOVE,)),
    Case("remove both", UNWANTED, edited(file(EDITED), file(RENDERED)), (REMOVE, BACK)),
    Case("others edited it since", UNWANTED, edited(file(EDITED + b"Host mine\n")), (BACK,)),
    Case("system file went since", UNWANTED, edited(NOTHING), (BACK,)),
    Case("another put the Include in", UNWANTED, edited(file(EDITED), file(RENDERED), "another"), (REMOVE,)),
    Case("it is a link since", UNWANTED, edited(link("/nix/store/x")), (Person("is a link", "move it"),)),
    Case("block to remove is a directory", UNWANTED, world(directory()), (Person("is a directory", "move it"),)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_it_says(case: Case) -> None:
    case.check()


def only(name: str) -> Change:
    (change,) = next(case for case in CASES if case.name == name).changes()
    return change


def test_the_block_is_checked_by_ssh_before_it_is_installed() -> None:
    script = only("fresh").script
    assert script.index("stage ") < script.index('/usr/bin/ssh -G -F "$new" builderfleet') < script.index("commit ")
    assert only("fresh").diffs[0].after == RENDERED.decode()


def test_the_system_file_is_remembered_before_it_is_edited() -> None:
    script = only("system file lost its include").script
    backup = f"/var/lib/builderfleet/backups/ssh_config.{hashed(FORMER)[:16]}"
    order = ['/usr/bin/ssh -G -F "$new"', f"commit {backup}", f"commit {LEDGER.path}", f"commit {SSH_CONFIG.path}"]
    assert sorted(order, key=script.index) == order


def test_the_diff_shows_no_change_of_mode_that_is_not_made() -> None:
    case = Case("", WANTED, world(file(RENDERED), file(FORMER, 0o640, gid=20)))
    (change,) = case.changes()
    assert "0640 0 20" in change.script
    assert "[file" not in change.diffs[0].before + change.diffs[0].after


def test_what_others_wrote_since_stays() -> None:
    assert carried(only("others edited it since").script)[SSH_CONFIG.path] == FORMER.encode() + b"Host mine\n"


@pytest.mark.parametrize("original", [None, b"", FORMER.encode(), b"Host x\r\n  User \xff"])
def test_the_include_goes_with_the_one_that_put_it_in(dash_sandbox: Sandbox, original: bytes | None) -> None:
    mac = RealFiles(dash_sandbox)
    dash_sandbox.double(
        "/usr/bin/ssh", 'case "$#:$1:$2:$4" in 4:-G:-F:first | 4:-G:-F:second) [ -f "$3" ] ;; *) exit 64 ;; esac'
    )
    for folder in ("/var/lib", "/etc/ssh"):
        (dash_sandbox / folder).mkdir()
    if original is not None:
        (dash_sandbox / SSH_CONFIG.path).write_bytes(original)
    first, second = (SshHost(alias=alias, file=f"{alias}.conf") for alias in ("first", "second"))
    assert mac.converge(first) == ["write ssh host first", INCLUDE]
    assert mac.converge(second) == ["write ssh host second"]
    included = mac.content(SSH_CONFIG.path)

    assert mac.converge(replace(second, present=False)) == ["remove ssh host second"]
    assert (mac.content(SSH_CONFIG.path), mac.converge(first)) == (included, [])

    assert mac.converge(replace(first, present=False)) == ["remove ssh host first", BACK]
    assert (mac.content(SSH_CONFIG.path), mac.forgot(SSH_CONFIG.path)) == (original, True)
    assert mac.content(first.path) is None
