# SPDX-License-Identifier: GPL-3.0-or-later
"""A ledger that is damaged or gone is seen by a run that sets up, not only by the one that takes back."""

from __future__ import annotations

import pytest
from builderfleet.plugin_utils.ledger import BACKUPS, LEDGER, LEDGER_WAS_GONE, STATE, Ledger
from builderfleet.plugin_utils.questions.names import Names
from builderfleet.plugin_utils.resource import Blocked
from builderfleet.plugin_utils.resources.builder_vm import NoStateDirectory
from builderfleet.plugin_utils.resources.memory import Memory
from builderfleet.plugin_utils.resources.nix_machine import MACHINES, NixMachine
from builderfleet.plugin_utils.resources.ssh_host import SSH_CONFIG

from tests.unit.answers import STOCK_SSH_CONFIG, Case, Person, World, directory, file
from tests.unit.real_files import RealFiles
from tests.unit.sandbox import Sandbox

URI = "ssh-ng://builder@builderfleet"
WANTED = Memory(uri=URI, alias="builderfleet")
MINE = b"ssh-ng://me@a x86_64-linux\n"
OURS = f"{URI} aarch64-linux - 4\n".encode()
AGAIN = f"write {LEDGER.path} again, which was gone: what was there before, as far as {MACHINES.path} tell it"
THERE: World = {STATE: directory(), SSH_CONFIG: file(STOCK_SSH_CONFIG)}

CASES = [
    Case("fresh", WANTED, {SSH_CONFIG: file(STOCK_SSH_CONFIG)}),
    Case("readable", WANTED, {**THERE, LEDGER: file(Ledger().dump()), MACHINES: file(MINE + OURS)}),
    Case("gone, with nothing of ours", WANTED, {**THERE, MACHINES: file(MINE)}),
    Case("gone", WANTED, {**THERE, MACHINES: file(MINE + OURS)}, (AGAIN,)),
    Case(
        "gone, and only backups are left",
        WANTED,
        {**THERE, Names(BACKUPS): frozenset({"sshd.1"})},
        (f"write {LEDGER.path} again, which was gone: what was there before, which nothing tells any more",),
    ),
    Case("damaged", WANTED, {**THERE, LEDGER: file("{")}, (Person("cannot be read: .* is damaged", "."),)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_it_says(case: Case) -> None:
    case.check()


def test_a_dry_run_knows_that_what_is_not_known_stays() -> None:
    (change,) = Case("", WANTED, {**THERE, MACHINES: file(MINE + OURS)}).changes()
    end = NoStateDirectory((WANTED.uri, WANTED.alias))
    *_removal, blocked = Case("", end, {**THERE, **dict(change.leaves)}).steps()
    assert isinstance(blocked, Blocked) and "was gone once" in blocked.summary


def test_what_was_there_before_comes_back_all_the_same(dash_sandbox: Sandbox) -> None:
    for folder in ("etc/nix", "etc/ssh", "var/lib/builderfleet"):
        (dash_sandbox / folder).mkdir(parents=True)
    (dash_sandbox / "etc/nix/machines").write_bytes(MINE + OURS)
    (dash_sandbox / "etc/ssh/ssh_config").write_text(STOCK_SSH_CONFIG)
    mac = RealFiles(dash_sandbox)
    assert mac.converge(WANTED) == [AGAIN]
    assert f"/var/lib/builderfleet/{LEDGER_WAS_GONE}" in dash_sandbox.files("/var/lib/builderfleet")
    entry = mac.book().files[MACHINES.path]
    assert entry.existed and entry.exact
    assert list(entry.former) == [NixMachine(uri=URI, present=False).uri]
    assert [data for path, data in dash_sandbox.files("/var/lib/builderfleet/backups").items()] == [MINE]
