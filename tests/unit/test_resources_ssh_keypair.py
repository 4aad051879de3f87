# SPDX-License-Identifier: GPL-3.0-or-later
"""SshKeypair: made once, put right around its private half, and never replaced while it can be used."""

from __future__ import annotations

import json
import stat
import subprocess

import pytest
from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.asking import Question
from builderfleet.plugin_utils.ledger import BACKUPS, LEDGER, Ledger
from builderfleet.plugin_utils.questions.file import NOTHING, Found
from builderfleet.plugin_utils.questions.key_pair import KeyPair, Pair
from builderfleet.plugin_utils.resources.ssh_keypair import SshKeypair

from tests.unit.answers import FIFO, OTHER_PUBLIC, PRIVATE, PUBLIC, Case, Person, carried, directory, file, link, pair
from tests.unit.sandbox import Sandbox

KEY = "/etc/nix/builderfleet_ed25519"
GOOD = file(f"{PUBLIC} builderfleet\n")
WANTED, UNWANTED = SshKeypair(path=KEY), SshKeypair(path=KEY, present=False)
TOKENS, NO_TOKENS = SshKeypair(path="/etc/corp/token"), SshKeypair(path="/etc/corp/token", present=False)
STAYS = Person("was not made by builderfleet: it stays as it is", "Name another path")

MAKE = f"make SSH key pair {KEY}"
REPLACE = f"replace SSH key pair {KEY}: its private half is unusable"
DERIVE = f"derive {KEY}.pub from its private half"
MODE = f"set owner and mode of {KEY}"
REMOVE = f"remove SSH key pair {KEY}"


def world(private: Found, public: Found, derived: str = PUBLIC) -> dict[Question[Pair], Pair]:
    return {KeyPair(KEY): pair(private, public, derived)}


CASES = [
    Case("fresh", WANTED, expected=(MAKE,)),
    Case("converged", WANTED, world(PRIVATE, GOOD)),
    Case("another comment is nobodys harm", WANTED, world(PRIVATE, file(f"{PUBLIC} me@there\n"))),
    Case("only the public half is there", WANTED, world(NOTHING, GOOD, ""), (MAKE,)),
    Case("unusable", WANTED, world(PRIVATE, GOOD, ""), (REPLACE,)),
    Case("no public half", WANTED, world(PRIVATE, NOTHING), (DERIVE,)),
    Case("another public half", WANTED, world(PRIVATE, file(f"{OTHER_PUBLIC} builderfleet\n")), (DERIVE,)),
    Case("public half that is binary", WANTED, world(PRIVATE, file(b"\xff\0")), (DERIVE,)),
    Case("public half is empty", WANTED, world(PRIVATE, file("")), (DERIVE,)),
    Case("public half private", WANTED, world(PRIVATE, file(f"{PUBLIC} builderfleet\n", 0o600)), (DERIVE,)),
    Case("public half is somebodys", WANTED, world(PRIVATE, file(f"{PUBLIC} x\n", uid=501)), (DERIVE,)),
    Case("private half open", WANTED, world(file(None, 0o644), GOOD, ""), (MODE,)),
    Case("private half is somebodys", WANTED, world(file(None, 0o600, uid=501), GOOD), (MODE,)),
    Case("a directory in the way", WANTED, world(directory(), NOTHING, ""), (Person(f"{KEY} should be", "move it"),)),
    Case("a link in the way", WANTED, world(link("/elsewhere"), NOTHING), (Person("but is a link", "move it"),)),
    Case("a fifo in the way", WANTED, world(PRIVATE, FIFO), (Person(f"{KEY}.pub should be", "move it"),)),
    Case("somebody elses, unusable", TOKENS, {KeyPair(TOKENS.path): pair(PRIVATE, NOTHING, "")}, (STAYS,)),
    Case("somebody elses public half alone", TOKENS, {KeyPair(TOKENS.path): pair(NOTHING, GOOD, "")}, (STAYS,)),
    Case("somebody elses, usable", TOKENS, {KeyPair(TOKENS.path): pair(PRIVATE, GOOD, PUBLIC)}),
    Case(
        "somebody elses, in use",
        TOKENS,
        {KeyPair(TOKENS.path): pair(file(None, 0o600, uid=501), file(f"{PUBLIC} me@there\n", uid=501), PUBLIC)},
    ),
    Case(
        "somebody elses, without a public half",
        TOKENS,
        {KeyPair(TOKENS.path): pair(file(None, 0o600, uid=501, gid=20), NOTHING, PUBLIC)},
        (f"derive {TOKENS.path}.pub from its private half",),
    ),
    Case(
        "somebody elses, with another public half",
        TOKENS,
        {KeyPair(TOKENS.path): pair(PRIVATE, file(f"{OTHER_PUBLIC} x\n", uid=501), PUBLIC)},
        (Person(f"{TOKENS.path}.pub is not the public half of {TOKENS.path}", "Name another path"),),
    ),
    Case("another path, fresh", TOKENS, expected=(f"make SSH key pair {TOKENS.path}",)),
    Case("somebody elses is not removed", NO_TOKENS, {KeyPair(TOKENS.path): pair(PRIVATE, GOOD, PUBLIC)}),
    Case(
        "another path, made here",
        NO_TOKENS,
        {KeyPair(TOKENS.path): pair(PRIVATE, GOOD, PUBLIC), LEDGER: file(Ledger(made=(TOKENS.path,)).dump())},
        (f"remove SSH key pair {TOKENS.path}",),
    ),
    Case("nothing to remove", UNWANTED),
    Case("remove both", UNWANTED, world(PRIVATE, GOOD), (REMOVE,)),
    Case("remove one", UNWANTED, world(NOTHING, GOOD, ""), (REMOVE,)),
    Case("remove an unusable one", UNWANTED, world(PRIVATE, NOTHING, ""), (REMOVE,)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_it_says(case: Case) -> None:
    case.check()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_diff_shows_a_private_half(case: Case) -> None:
    for change in case.changes():
        for diff in change.diffs:
            assert "PRIVATE" not in diff.before + diff.after


def test_a_public_half_belongs_to_whom_the_private_one_does() -> None:
    (change,) = next(each for each in CASES if each.name == "somebody elses, without a public half").changes()
    assert "0644 501 20\n" in change.script


def test_a_new_pair_is_on_the_disk_before_it_gets_its_name() -> None:
    (change,) = next(each for each in CASES if each.name == "fresh").changes()
    order = ["ssh-keygen -q -t ed25519", "/bin/sync", "mv -f"]
    assert sorted(order, key=change.script.index) == order


# --- really done ---------------------------------------------------------------------------------------------------


def do(sandbox: Sandbox, case: str) -> subprocess.CompletedProcess[str]:
    (sandbox / "/var/lib").mkdir(exist_ok=True)
    (sandbox / "/etc/nix").mkdir(exist_ok=True)
    (change,) = next(each for each in CASES if each.name == case).changes()
    ran = sandbox.run(shell.wrap(f"set -eu\n{shell.LIBRARY}\n{change.script}"))
    assert ran.returncode == 0, ran.stderr
    return ran


def public_half(sandbox: Sandbox) -> str:
    ran = sandbox.run(f'ssh-keygen -y -P "" -f {KEY} | cut -d " " -f 1,2')
    assert ran.returncode == 0
    return ran.stdout.strip()


def test_a_pair_is_made(sandbox: Sandbox) -> None:
    do(sandbox, "fresh")
    assert (sandbox / f"{KEY}.pub").read_text() == f"{public_half(sandbox)} builderfleet\n"
    modes = {name: stat.S_IMODE((sandbox / name).stat().st_mode) for name in (KEY, f"{KEY}.pub")}
    assert modes == {KEY: 0o600, f"{KEY}.pub": 0o644}
    assert sandbox.files("/etc/nix").keys() == {KEY, f"{KEY}.pub"}


def test_a_pair_that_is_gone_is_forgotten() -> None:
    (change,) = next(case for case in CASES if case.name == "another path, made here").changes()
    assert TOKENS.path not in json.loads(carried(change.script)[LEDGER.path])["made"]


def test_a_run_that_was_cut_off_is_no_hindrance(sandbox: Sandbox) -> None:
    do(sandbox, "fresh")
    (sandbox / KEY).rename(sandbox / "/etc/nix/.builderfleet_ed25519.builderfleet-new")
    do(sandbox, "only the public half is there")
    assert (sandbox / f"{KEY}.pub").read_text() == f"{public_half(sandbox)} builderfleet\n"
    assert sandbox.files("/etc/nix").keys() == {KEY, f"{KEY}.pub"}


def test_the_public_half_is_derived(sandbox: Sandbox) -> None:
    do(sandbox, "fresh")
    (sandbox / f"{KEY}.pub").unlink()
    do(sandbox, "no public half")
    assert (sandbox / f"{KEY}.pub").read_text() == f"{public_half(sandbox)} builderfleet\n"


def test_an_unusable_private_half_is_kept(sandbox: Sandbox) -> None:
    do(sandbox, "fresh")
    (sandbox / KEY).write_bytes(b"somebody's bytes")
    do(sandbox, "unusable")
    assert public_half(sandbox)
    assert list(sandbox.files(BACKUPS).values()) == [b"somebody's bytes"]
    assert stat.S_IMODE((sandbox / BACKUPS).stat().st_mode) == 0o700


def test_nothing_is_left_of_it(sandbox: Sandbox) -> None:
    do(sandbox, "fresh")
    do(sandbox, "remove both")
    assert sandbox.files("/etc/nix") == {}
