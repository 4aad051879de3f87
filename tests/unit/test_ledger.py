# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger, with scripts that really run: what others own comes back byte for byte, or loses our part and no more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.asking import Answers, Unknown
from builderfleet.plugin_utils.ledger import BACKUPS, LEDGER, PARENT, Entry, Ledger, edited, ledger, taken_back
from builderfleet.plugin_utils.questions.file import NOTHING, File, Found
from builderfleet.plugin_utils.shell import STATE_DIRECTORY

from tests.unit.answers import FIFO, carried, directory, file, link
from tests.unit.sandbox import Sandbox

FOREIGN = File("/etc/foreign.conf")
OURS = b"ours\n"
ORIGINAL = b"theirs \xff\r\n\0no end"


class Mac:
    """A sandbox whose foreign file is edited, and taken back, by scripts of the ledger."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    @property
    def path(self) -> Path:
        return self.sandbox / FOREIGN.path

    def found(self, path: str) -> Found:
        here = self.sandbox / path
        if not here.exists():
            return NOTHING
        metadata = here.stat()
        owned = (metadata.st_mode & 0o7777, metadata.st_uid, metadata.st_gid)
        return directory(*owned) if here.is_dir() else file(here.read_bytes(), *owned)

    def answers(self) -> Answers:
        return Answers.given({each: self.found(each.path) for each in (FOREIGN, LEDGER, PARENT)})

    def content(self) -> bytes | None:
        return self.path.read_bytes() if self.path.exists() else None

    def do(self, script: str) -> None:
        ran = self.sandbox.run(shell.wrap(f"set -eu\n{shell.LIBRARY}\n{script}"))
        assert ran.returncode == 0, ran.stderr

    def edit(self) -> None:
        """Our part goes to the end."""
        self.do(edited(self.answers(), FOREIGN, (self.content() or b"") + OURS))

    def take_back(self) -> None:
        without = (self.content() or b"").replace(OURS, b"")
        self.do(taken_back(self.answers(), FOREIGN, without))

    def book(self) -> Ledger:
        return ledger(self.answers())

    def forgot(self) -> bool:
        return FOREIGN.path not in self.book().files and self.sandbox.files(BACKUPS) == {}


@pytest.fixture
def mac(dash_sandbox: Sandbox) -> Mac:
    (dash_sandbox / "/var/lib").mkdir()
    return Mac(dash_sandbox)


def others(mac: Mac) -> None:
    mac.path.write_bytes((mac.content() or b"") + b"more of theirs\n")


def somebody_removes(mac: Mac) -> None:
    mac.path.unlink()


def somebody_takes_it_out(mac: Mac) -> None:
    mac.path.write_bytes(ORIGINAL)


def cut_off(mac: Mac) -> None:
    """A next edit comes as far as the ledger."""
    script = edited(mac.answers(), FOREIGN, (mac.content() or b"") + OURS)
    mac.do(script[: script.rindex(f"stage {FOREIGN.path} ")])


def damaged_backup(mac: Mac) -> None:
    next((mac.sandbox / BACKUPS).iterdir()).write_bytes(b"")


edit: Callable[[Mac], None] = Mac.edit
take_back: Callable[[Mac], None] = Mac.take_back


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
    assert mac.content() == original
    assert mac.found(FOREIGN.path).mode == 0o640
    assert mac.forgot()


@pytest.mark.parametrize("steps", [[edit], [edit, edit], [cut_off], [cut_off, edit]])
def test_a_file_that_was_not_there_goes_again(mac: Mac, steps: list[Callable[[Mac], None]]) -> None:
    for step in [*steps, take_back]:
        step(mac)
    assert mac.content() is None
    assert mac.forgot()


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
    assert mac.content() == left
    assert mac.forgot()


def test_taken_back_twice_is_taken_back_once(mac: Mac) -> None:
    mac.path.write_bytes(ORIGINAL)
    for step in (edit, take_back, take_back):
        step(mac)
    assert (mac.content(), mac.forgot()) == (ORIGINAL, True)
    edit(mac)
    take_back(mac)
    assert (mac.content(), mac.forgot()) == (ORIGINAL, True)


@pytest.mark.parametrize("damage", [damaged_backup, lambda mac: next((mac.sandbox / BACKUPS).iterdir()).unlink()])
def test_without_its_backup_a_file_stays_as_it_is(mac: Mac, damage: Callable[[Mac], None]) -> None:
    mac.path.write_bytes(ORIGINAL)
    edit(mac)
    damage(mac)
    with pytest.raises(AssertionError, match=f"is missing or damaged: {FOREIGN.path} stays as it is"):
        take_back(mac)
    assert mac.content() == ORIGINAL + OURS


def test_a_taking_back_that_is_cut_off_is_finished_by_the_next(mac: Mac) -> None:
    mac.path.write_bytes(ORIGINAL)
    edit(mac)
    script = taken_back(mac.answers(), FOREIGN, ORIGINAL)
    mac.do(script[: script.index("directory ")])
    assert (mac.content(), mac.forgot()) == (ORIGINAL, False)
    take_back(mac)
    assert (mac.content(), mac.forgot()) == (ORIGINAL, True)


def test_an_edit_with_a_stale_plan_remembers_but_does_not_write(mac: Mac) -> None:
    mac.path.write_bytes(ORIGINAL)
    script = edited(mac.answers(), FOREIGN, b"planned")
    others(mac)
    with pytest.raises(AssertionError, match="has changed since it was looked at"):
        mac.do(script)
    assert mac.content() == ORIGINAL + b"more of theirs\n"
    edit(mac)
    take_back(mac)
    assert (mac.content(), mac.forgot()) == (ORIGINAL + b"more of theirs\n", True)


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
            taken_back(answers, FOREIGN, b"")


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
