# SPDX-License-Identifier: GPL-3.0-or-later
"""That the Mac remembers what was there before the builder: without its ledger, `absent` could not put it back.

A damaged one is for a person. One that is gone is written again from what can be told: in the foreign files, our parts
are known by what they are, and what was there before is the rest. Settings of Nix tell not whose they are, and stay; that it
was gone is remembered, so that `absent` takes away no backup that it does not know.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..asking import Answers, Question, Unknown
from ..files import replaced
from ..formats import machines, ssh_config
from ..ledger import (
    ANYTHING,
    BACKUPS,
    LEDGER,
    LEDGER_WAS_GONE,
    PARENT,
    STATE,
    Entry,
    Ledger,
    directories,
    ledger,
    written,
)
from ..questions.file import File, Found, Kind
from ..questions.names import Names
from ..resource import Blocked, Change, Step
from ..shell import STATE_DIRECTORY
from .nix_machine import MACHINES
from .ssh_host import SSH_CONFIG


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The ledger is there and can be read. `uri` and `alias` are the builder's, by which our parts are known."""

    uri: str
    alias: str

    @property
    def title(self) -> str:
        return "ledger"

    def questions(self) -> Iterator[Question[Any]]:
        yield from (LEDGER, PARENT, STATE, MACHINES, SSH_CONFIG, Names(BACKUPS), Names(STATE_DIRECTORY))

    def changes(self, answers: Answers) -> Iterator[Step]:
        found = answers[LEDGER]  # what is not known is not damaged
        try:
            ledger(answers)
        except Unknown as damaged:
            yield Blocked(f"what was on this Mac before the builder cannot be read: {damaged}", "See there")
            return
        if not found.absent or answers[STATE].absent:
            return
        entries, kept = dict(self._again(answers)), answers[Names(BACKUPS)]
        if entries or kept:
            backups = "".join(script for _entry, script in entries.values())
            book = Ledger({path: entry for path, (entry, _script) in entries.items()})
            told = f"as far as {', '.join(entries)} tell it" if entries else "which nothing tells any more"
            yield Change(
                f"write {LEDGER.path} again, which was gone: what was there before, {told}",
                f"{directories(answers)}{backups}: > {STATE_DIRECTORY}/{LEDGER_WAS_GONE}\n{written(answers, book)}",
                leaves=(
                    (LEDGER, Found(Kind.FILE, 0o600, 0, 0, book.dump())),
                    (Names(STATE_DIRECTORY), answers[Names(STATE_DIRECTORY)] | {LEDGER_WAS_GONE}),
                ),
            )

    def _again(self, answers: Answers) -> Iterator[tuple[str, tuple[Entry, str]]]:
        for file, part, without in (
            (MACHINES, self.uri, lambda data: machines.without_machine(data, self.uri)),
            (SSH_CONFIG, self.alias, ssh_config.without_include),
        ):
            found = answers[file]
            if found.kind is Kind.FILE and found.content is not None and without(found.content) != found.content:
                yield file.path, _entry(file, found, without(found.content), part)


def _entry(file: File, found: Found, before: bytes, part: str) -> tuple[Entry, str]:
    name = f"{file.path.rsplit('/', 1)[1]}.{hashlib.sha256(before).hexdigest()[:16]}"
    entry = Entry(True, found.seen, found.mode, found.uid, found.gid, name, former={part: None})
    return entry, replaced(f"{BACKUPS}/{name}", ANYTHING, before, mode=0o600)
