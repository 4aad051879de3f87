# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger, with scripts that really run: what others own comes back byte for byte, or loses our part and no more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from builderfleet.plugin_utils.asking import Answers, Question, Unknown
from builderfleet.plugin_utils.ledger import (
    BACKUPS,
    LEDGER,
    PARENT,
    Entry,
    Ledger,
    WholeFile,
    edited,
    ledger,
    taken_back,
)
from builderfleet.plugin_utils.questions.file import NOTHING, File, Found
from builderfleet.plugin_utils.resource import Change, Step
from builderfleet.plugin_utils.shell import LIBRARY, STATE_DIRECTORY

from tests.unit.answers import FIFO, carried, directory, file, link
from tests.unit.real_files import RealFiles
from tests.unit.sandbox import Sandbox

FOREIGN = File("/etc/foreign.conf")
OURS = b"ours\n"
PART = OURS.decode()
OURS_TOO = b"ours as well\n"
ORIGINAL = b"theirs \xff\r\n\0no end"


class Mac(RealFiles):
    """A Mac whose foreign file is edited, and taken back, by scripts of the ledger."""

    @property
    def path(self) -> Path:
        return self.sandbox / FOREIGN.path

    def answers(self) -> Answers:
        return Answers.given({each: self.found(each.path) for each in (FOREIGN, LEDGER, PARENT)})

    def now(self) -> bytes | None:
        return self.content(FOREIGN.path)

    def edit(self, part: bytes = OURS) -> None:
        """Our part goes to the end."""
        self.do(edited(self.answers(), FOREIGN, (self.now() or b"") + part, former={part.decode(): None}))

    def take_back(self, part: bytes = OURS) -> None:
        without = (self.now() or b"").replace(part, b"")
        self.do(taken_back(self.answers(), FOREIGN, without, part.decode()))

    def forgot_it(self) -> bool:
        return self.forgot(FOREIGN.path)


@pytest.fixture
def mac(dash_sandbox: Sandbox) -> Mac:
    (dash_sandbox / "/var/lib").mkdir()
    return Mac(dash_sandbox)


def others(mac: Mac) -> None:
    mac.path.write_bytes((mac.now() or b"") + b"more of theirs\n")


def somebody_removes(mac: Mac) -> None:
    mac.path.unlink()


def somebody_takes_it_out(mac: Mac) -> None:
    mac.path.write_bytes(ORIGINAL)


def cut_off(mac: Mac) -> None:
    """A next edit comes as far as the ledger."""
    script = edited(mac.answers(), FOREIGN, (mac.now() or b"") + OURS, former={PART: None})
    mac.do(script[: script.rindex(f"stage {FOREIGN.path} ")])


def damaged_backup(mac: Mac) -> None:
    next((mac.sandbox / BACKUPS).iterdir()).write_bytes(b"")


def edit(mac: Mac) -> None:
    mac.edit()


def take_back(mac: Mac) -> None:
    mac.take_back()


@pytest.mark.parametrize(
    ("original", "steps"),
    [
        (ORIGINAL, [edit]),
        (b"", [edit]),
        (b"x" * 300_000, [edit, edit]),
        (ORIGINAL, [edit, edit, edit]),
        (ORIGINAL, [cut_off]),
        (b"", [cut_off, edit]),
        (ORIGINAL, [edit, cut_off]),
    ],
)
def test_what_nobody_else_touched_comes_back_byte_for_byte(
    mac: Mac, original: bytes, steps: list[Callable[[Mac], None]]
) -> None:
    mac.path.write_bytes(original)
    mac.path.chmod(0o640)
    for step in [*steps, take_back]:
        step(mac)
    assert mac.now() == original
    assert mac.found(FOREIGN.path).mode == 0o640
    assert mac.forgot_it()


@pytest.mark.parametrize("steps", [[edit], [edit, edit], [cut_off], [cut_off, edit]])
def test_a_file_that_was_not_there_goes_again(mac: Mac, steps: list[Callable[[Mac], None]]) -> None:
    for step in [*steps, take_back]:
        step(mac)
    assert mac.now() is None
    assert mac.forgot_it()


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        ([edit, others], ORIGINAL + b"more of theirs\n"),
        ([edit, others, edit], ORIGINAL + b"more of theirs\n"),
        ([others, edit], ORIGINAL + b"more of theirs\n"),
        ([edit, edit, others, edit, edit], ORIGINAL + b"more of theirs\n"),
        ([cut_off, others, edit], ORIGINAL + b"more of theirs\n"),
        ([edit, somebody_takes_it_out], ORIGINAL),
        ([edit, somebody_takes_it_out, edit], ORIGINAL),
        ([edit, somebody_removes], None),
        ([edit, somebody_removes, edit], b""),
        ([edit, somebody_removes, others, edit], b"more of theirs\n"),
    ],
)
def test_what_others_did_since_stays(mac: Mac, steps: list[Callable[[Mac], None]], left: bytes | None) -> None:
    mac.path.write_bytes(ORIGINAL)
    for step in [*steps, take_back]:
        step(mac)
    assert mac.now() == left
    assert mac.forgot_it()


def test_taken_back_twice_is_taken_back_once(mac: Mac) -> None:
    mac.path.write_bytes(ORIGINAL)
    for step in (edit, take_back, take_back):
        step(mac)
    assert (mac.now(), mac.forgot_it()) == (ORIGINAL, True)
    edit(mac)
    take_back(mac)
    assert (mac.now(), mac.forgot_it()) == (ORIGINAL, True)


@pytest.mark.parametrize("damage", [damaged_backup, lambda mac: next((mac.sandbox / BACKUPS).iterdir()).unlink()])
def test_without_its_backup_a_file_stays_as_it_is(mac: Mac, damage: Callable[[Mac], None]) -> None:
    mac.path.write_bytes(ORIGINAL)
    edit(mac)
    damage(mac)
    with pytest.raises(AssertionError, match=f"is missing or damaged: {FOREIGN.path} stays as it is"):
        take_back(mac)
    assert mac.now() == ORIGINAL + OURS


@pytest.mark.parametrize("original", [ORIGINAL, b"", None])
@pytest.mark.parametrize(("first", "second"), [(OURS, OURS_TOO), (OURS_TOO, OURS)])
def test_two_parts_are_taken_back_one_by_one(mac: Mac, original: bytes | None, first: bytes, second: bytes) -> None:
    if original is not None:
        mac.path.write_bytes(original)
    mac.edit(OURS)
    mac.edit(OURS_TOO)
    mac.take_back(first)
    assert mac.now() == (original or b"") + second
    assert mac.book().files[FOREIGN.path].former == {second.decode(): None}
    mac.take_back(second)
    assert (mac.now(), mac.forgot_it()) == (original, True)


def test_others_between_the_taking_back_of_two_parts_lose_nothing(mac: Mac) -> None:
    mac.path.write_bytes(ORIGINAL)
    mac.edit(OURS)
    mac.edit(OURS_TOO)
    mac.take_back(OURS)
    others(mac)
    mac.take_back(OURS_TOO)
    assert (mac.now(), mac.forgot_it()) == (ORIGINAL + b"more of theirs\n", True)


def test_a_taking_back_that_is_cut_off_is_finished_by_the_next(mac: Mac) -> None:
    mac.path.write_bytes(ORIGINAL)
    edit(mac)
    script = taken_back(mac.answers(), FOREIGN, ORIGINAL, PART)
    mac.do(script[: script.index("directory ")])
    assert (mac.now(), mac.forgot_it()) == (ORIGINAL, False)
    take_back(mac)
    assert (mac.now(), mac.forgot_it()) == (ORIGINAL, True)


def test_an_edit_with_a_stale_plan_remembers_but_does_not_write(mac: Mac) -> None:
    mac.path.write_bytes(ORIGINAL)
    script = edited(mac.answers(), FOREIGN, b"planned", former={PART: None})
    others(mac)
    with pytest.raises(AssertionError, match="has changed since it was looked at"):
        mac.do(script)
    assert mac.now() == ORIGINAL + b"more of theirs\n"
    edit(mac)
    take_back(mac)
    assert (mac.now(), mac.forgot_it()) == (ORIGINAL + b"more of theirs\n", True)


def test_what_is_remembered_is_private(mac: Mac) -> None:
    mac.path.write_bytes(b"password\n")
    edit(mac)
    modes = {path: mac.found(path).mode for path in (STATE_DIRECTORY, BACKUPS, LEDGER.path)}
    assert modes == {STATE_DIRECTORY: 0o755, BACKUPS: 0o700, LEDGER.path: 0o600}
    assert [each.stat().st_mode & 0o777 for each in (mac.sandbox / BACKUPS).iterdir()] == [0o600]


@pytest.mark.parametrize(("there", "made"), [(False, ("/var/lib",)), (True, ())])
def test_a_directory_above_is_remembered_if_it_is_ours(mac: Mac, there: bool, made: tuple[str, ...]) -> None:
    if not there:
        (mac.sandbox / "/var/lib").rmdir()
    edit(mac)
    edit(mac)
    assert mac.book().made == made


def test_former_values_are_those_of_the_first_time() -> None:
    first = Entry(existed=False, after="", former={"builders": None})
    answers = Answers.given(
        {FOREIGN: file("x"), PARENT: directory(), LEDGER: file(Ledger({FOREIGN.path: first}).dump())}
    )
    script = edited(answers, FOREIGN, b"y", former={"builders": " ours", "cores": " 4"})
    entry = json.loads(carried(script)[LEDGER.path])["files"][FOREIGN.path]
    assert entry["former"] == {"builders": None, "cores": " 4"}


@pytest.mark.parametrize("now", [link("/elsewhere"), directory(), FIFO])
def test_what_is_no_file_any_more_is_not_replaced(now: Found) -> None:
    for book in (Ledger(), Ledger({FOREIGN.path: Entry(existed=False, after="")})):
        answers = Answers.given({FOREIGN: now, PARENT: directory(), LEDGER: file(book.dump())})
        with pytest.raises(Unknown, match=r"/etc/foreign.conf is a .* now, and was a file"):
            taken_back(answers, FOREIGN, b"", PART)


# --- the file ------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read() -> None:
    book = Ledger(
        {
            "/etc/a": Entry(
                existed=True,
                after="1",
                mode=0o600,
                uid=501,
                gid=20,
                backup="a.0123456789abcdef",
                former={"x": " \udcff", "y": None},
            )
        },
        ("/var/lib",),
    )
    assert ledger(Answers.given({LEDGER: file(book.dump())})) == book


def test_a_mac_without_one() -> None:
    assert ledger(Answers.given({LEDGER: NOTHING})) == Ledger()


def _with(**changes: object) -> str:
    entry = {
        "existed": True,
        "after": "1",
        "mode": 420,
        "uid": 0,
        "gid": 0,
        "backup": "a.0123456789abcdef",
        "exact": True,
        "former": {},
    }
    return json.dumps({"version": 1, "made": [], "files": {"/a": entry | changes}})


def test_the_entry_that_is_damaged_below_is_a_good_one() -> None:
    assert list(ledger(Answers.given({LEDGER: file(_with())})).files) == ["/a"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        "[]",
        "5",
        '"text"',
        b"\xff\xfe",
        "{}",
        '{"version": 1}',
        '{"version": 1, "files": []}',
        '{"version": 2, "files": {}, "made": []}',
        '{"version": 1, "files": {}, "made": "/var/lib"}',
        '{"version": 1, "files": {}, "made": [5]}',
        '{"version": 1, "files": {"/a": null}, "made": []}',
        '{"version": 1, "files": {"/a": {}}, "made": []}',
        _with(mode="644"),
        _with(uid=None),
        _with(existed="yes"),
        _with(former=[]),
        _with(former={"x": 5}),
        _with(backup="../../../etc/passwd"),
        _with(backup="name"),
        _with(backup=""),
        _with(surprise=1),
        "[" * 100_000,
    ],
)
def test_a_damaged_ledger_is_unknown(content: str | bytes) -> None:
    with pytest.raises(Unknown, match=r"^/var/lib/builderfleet/ledger.json is damaged .*put it back from a backup"):
        ledger(Answers.given({LEDGER: file(content)}))


@pytest.mark.parametrize("found", [directory(), link("/elsewhere"), FIFO])
def test_something_else_in_its_place_is_unknown(found: Found) -> None:
    with pytest.raises(Unknown, match="damaged"):
        ledger(Answers.given({LEDGER: found}))


# --- files that are written as a whole -------------------------------------------------------------------------------

CORP = b"Host jump\n  ProxyJump bastion.corp\n\xff"
WHOLE = WholeFile(File("/etc/corp.conf"), b"# ours")


@dataclass(frozen=True)
class Whole:
    """A resource that is one whole file."""

    present: bool
    title: str = "whole"

    def questions(self) -> Iterator[Question[Any]]:
        yield from (WHOLE.file, LEDGER, PARENT)

    def changes(self, answers: Answers) -> Iterator[Step]:
        yield from (
            WHOLE.as_wanted("write it", answers, b"# ours\nit\n") if self.present else WHOLE.gone("remove it", answers)
        )


def test_somebody_elses_file_is_kept_and_comes_back_byte_for_byte(dash_sandbox: Sandbox) -> None:
    mac, where = RealFiles(dash_sandbox), dash_sandbox / "/etc/corp.conf"
    where.write_bytes(CORP)
    where.chmod(0o640)
    assert mac.converge(Whole(True)) == ["write it in place of somebody else's /etc/corp.conf, which is kept"]
    assert where.read_bytes() == b"# ours\nit\n"
    where.write_bytes(b"# ours\nedited\n")
    assert mac.converge(Whole(True)) == ["write it"]
    assert mac.converge(Whole(False)) == ["remove it, and put back what was there before"]
    assert (where.read_bytes(), where.stat().st_mode & 0o777) == (CORP, 0o640)
    assert mac.forgot("/etc/corp.conf")
    assert mac.converge(Whole(False)) == []  # and what is not ours stays
    assert where.read_bytes() == CORP


def test_what_was_ours_alone_goes(dash_sandbox: Sandbox) -> None:
    mac = RealFiles(dash_sandbox)
    assert mac.converge(Whole(True)) == ["write it"]
    assert mac.converge(Whole(False)) == ["remove it"]
    assert not (dash_sandbox / "/etc/corp.conf").exists()
    assert mac.converge(Whole(False)) == []


def test_what_somebody_wrote_over_ours_stays(dash_sandbox: Sandbox) -> None:
    mac, where = RealFiles(dash_sandbox), dash_sandbox / "/etc/corp.conf"
    where.write_bytes(CORP)
    mac.converge(Whole(True))
    where.write_bytes(b"theirs\n")
    assert mac.converge(Whole(True)) == ["write it in place of somebody else's /etc/corp.conf, which is kept"]
    where.write_bytes(b"theirs again\n")
    (forgotten,) = list(Whole(False).changes(mac._answers(Whole(False))))
    assert "somebody else has written since" in forgotten.summary
    mac.do(forgotten.script if isinstance(forgotten, Change) else "false")
    assert where.read_bytes() == b"theirs again\n"


def test_what_is_refused_is_not_remembered(mac: Mac) -> None:
    mac.path.write_bytes(ORIGINAL)
    script = edited(mac.answers(), FOREIGN, ORIGINAL + OURS, check="fail refused", former={PART: None})
    before = {**mac.sandbox.files("/etc"), **mac.sandbox.files("/var")}
    ran = mac.sandbox.run(f"set -eu\n{LIBRARY}\n{script}")
    assert (ran.returncode, ran.stderr) == (1, "refused\n")
    assert {**mac.sandbox.files("/etc"), **mac.sandbox.files("/var")} == before
