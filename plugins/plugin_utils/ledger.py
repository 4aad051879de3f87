# SPDX-License-Identifier: GPL-3.0-or-later
"""What was there before: the ledger on the Mac, and edits of files that belong to somebody else.

For each foreign file that was edited the ledger keeps what it was (a backup beside it, or that it did not exist) and the
hash of what it became. When it is taken back and nobody touched the file since, the backup goes back byte for byte;
otherwise only our part comes out, and what others wrote stays.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .asking import Answers, Unknown
from .files import diff, in_the_way, no_file, own_file, removed, replaced
from .questions.file import NOTHING, File, Found, Kind, Metadata
from .resource import Blocked, Change, Step
from .shell import STATE_DIRECTORY, quote

LEDGER = File(f"{STATE_DIRECTORY}/ledger.json")
STATE = Metadata(STATE_DIRECTORY)
PARENT = Metadata("/var/lib")
BACKUPS = f"{STATE_DIRECTORY}/backups"
LEDGER_WAS_GONE = "ledger-was-gone"
"""The name of a file beside the ledger: it was lost once, and written again from what could be told."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is remembered of a foreign file.

    `exact` says that nobody but us changed it between our edits; `former` names our parts of it, as in `edited`.
    """

    existed: bool
    after: str
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    backup: str = ""
    exact: bool = True
    former: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger: foreign files by path, and the directories above ours that we made."""

    files: Mapping[str, Entry] = field(default_factory=dict)
    made: tuple[str, ...] = ()

    def dump(self) -> bytes:
        value = {"version": 1, **asdict(self)}
        return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def ledger(answers: Answers) -> Ledger:
    """The ledger of a Mac; an empty one where there is none. Raises Unknown when it is damaged."""
    found = answers[LEDGER]
    if found.absent:
        return Ledger()
    try:
        value: dict[str, Any] = json.loads(found.content or b"")
        if value.pop("version") != 1:
            raise ValueError("it is of a later version")
        files = {path: _entry(entry) for path, entry in value.pop("files").items()}
        made = value["made"]
        if not isinstance(made, list) or not all(isinstance(each, str) for each in made):
            raise TypeError("`made` is no list of paths")
        return Ledger(files, tuple(made))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Unknown(
            f"{LEDGER.path} is damaged ({error}); it says what was on this Mac before: put it back from a backup, "
            "or remove it if nothing has to be restored"
        ) from error


def _entry(value: dict[str, Any]) -> Entry:
    entry = Entry(**value)
    for name, wanted in (("existed", bool), ("exact", bool), ("after", str), ("backup", str), ("former", dict)):
        if not isinstance(getattr(entry, name), wanted):
            raise TypeError(f"`{name}` is {getattr(entry, name)!r}")
    if not re.fullmatch(r"[A-Za-z0-9_.-]+\.[0-9a-f]{16}" if entry.existed else "", entry.backup):
        raise ValueError(f"`backup` is {entry.backup!r}")
    if not all(isinstance(value, str | None) for value in entry.former.values()):
        raise TypeError(f"`former` is {entry.former!r}")
    for name in ("mode", "uid", "gid"):
        value = getattr(entry, name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"`{name}` is {value!r}")
    return entry


def directories(answers: Answers) -> str:
    """The script that makes the state directory, for scripts that write the ledger as well (see `prepared`).

    /var/lib is not on a stock Mac.
    """
    parent = f"directory 0755 0 0 {PARENT.path}\n" if PARENT.path in _made(answers, ledger(answers).made) else ""
    return parent + f"directory 0755 0 0 {STATE_DIRECTORY}\ndirectory 0700 0 0 {BACKUPS}\n"


def prepared(answers: Answers) -> str:
    """The script that makes the state directory, and remembers that it made the directory above it, where it does."""
    return written(answers, ledger(answers)) if answers[PARENT].absent else directories(answers)


def _made(answers: Answers, made: tuple[str, ...]) -> tuple[str, ...]:
    """What we made, with the directory above the state directory where that is being made now."""
    return (*made, PARENT.path) if answers[PARENT].absent and PARENT.path not in made else made


def written(answers: Answers, new: Ledger) -> str:
    """The script that writes the ledger."""
    data = replace(new, made=_made(answers, new.made)).dump()
    return directories(answers) + replaced(LEDGER.path, answers[LEDGER], data, mode=0o600)


def edited(
    answers: Answers,
    file: File,
    data: bytes,
    *,
    check: str = "",
    between: str = "",
    former: Mapping[str, str | None],
    readable: bool = False,
) -> str:
    """The script that edits a foreign file, remembering first what it was: once nothing refuses the new one any more.

    `former` names our parts of the file, each with what it replaces (a setting's value) or None; what the ledger
    already remembers of them stays.
    `readable`: everybody has to be able to read it.
    """
    found, book = answers[file], ledger(answers)
    entry = book.files.get(file.path) or _first_seen(file, found)
    entry = replace(
        entry,
        after=hashlib.sha256(data).hexdigest(),
        exact=entry.exact and (not entry.after or found.seen == entry.after or _is_original(entry, found)),
        former={**former, **entry.former},
    )
    backup = ""
    if _is_original(entry, found) and entry.existed:
        backup = directories(answers) + replaced(
            f"{BACKUPS}/{entry.backup}", ANYTHING, found.content or b"", mode=0o600
        )
    remember = written(answers, replace(book, files={**book.files, file.path: entry}))
    mode, uid, gid = (found.mode, found.uid, found.gid) if not found.absent else (0o644, 0, 0)
    mode |= 0o444 if readable else 0
    between = between + backup + remember
    return replaced(file.path, found, data, mode=mode, uid=uid, gid=gid, check=check, between=between)


def _first_seen(file: File, found: Found) -> Entry:
    if found.absent:
        return Entry(existed=False, after="")
    name = f"{file.path.rsplit('/', 1)[1]}.{found.seen[:16]}"
    return Entry(existed=True, after="", mode=found.mode, uid=found.uid, gid=found.gid, backup=name)


def _is_original(entry: Entry, found: Found) -> bool:
    """Whether a file is (still) what it was: at the first edit, or after one that was remembered and then cut off."""
    return entry.backup.endswith(f".{found.seen[:16]}") if entry.existed else found.absent


class _Anything(Found):
    """Whatever is there: a backup's name says its content, so writing it twice writes the same."""

    @property
    def seen(self) -> str:
        return "any"


ANYTHING = _Anything(Kind.ABSENT)


def taken_back(answers: Answers, file: File, without_ours: bytes, part: str) -> str:
    """The script that puts a foreign file back as it was, and forgets it.

    `without_ours` is what stands there now less our part: it is written where others changed the file after us, and
    where more of ours is to stay in it: `part` is what goes, of the parts that are remembered. The file is
    first, the ledger second: a run that is cut off in between finds nothing of ours in the file, and forgets it then.
    """
    found, book = answers[file], ledger(answers)
    if found.kind not in (Kind.FILE, Kind.ABSENT):
        raise Unknown(f"{file.path} is a {found.kind.value} now, and was a file")
    entry = book.files.get(file.path)
    if entry is None:
        return "" if found.absent else _rewritten(file.path, found, without_ours)
    others = {name: value for name, value in entry.former.items() if name != part}
    files = {path: each for path, each in book.files.items() if path != file.path}
    if others:
        after, exact = (
            hashlib.sha256(without_ours).hexdigest(),
            entry.exact and part in entry.former and found.seen == entry.after,
        )
        files[file.path] = replace(entry, after=after, exact=exact, former=others)
        return _rewritten(file.path, found, without_ours) + written(answers, replace(book, files=files))
    forget = written(answers, replace(book, files=files))
    forget += f"rm -f {quote(f'{BACKUPS}/{entry.backup}')}\n" if entry.backup else ""
    if entry.exact and found.seen == entry.after:
        return (_restored(file.path, found, entry) if entry.existed else removed(file.path, found)) + forget
    return _rewritten(file.path, found, without_ours) + forget


def _rewritten(path: str, found: Found, data: bytes) -> str:
    if found.absent or found.content == data:
        return ""
    return replaced(path, found, data, mode=found.mode, uid=found.uid, gid=found.gid)


def _restored(path: str, found: Found, entry: Entry) -> str:
    """The script that puts a backup back byte for byte; it need not travel for that. Its name begins its hash."""
    where, what, backup = quote(path), quote(found.seen), quote(f"{BACKUPS}/{entry.backup}")
    return (
        f"case $(/usr/bin/shasum -a 256 {backup}) in {entry.backup.rsplit('.', 1)[1]}*) ;;"
        f" *) fail '{BACKUPS}/{entry.backup} is missing or damaged: {path} stays as it is' ;; esac\n"
        f"stage {where} {what} {entry.mode:04o} {entry.uid} {entry.gid} {backup}\ncommit {where} {what}\n"
    )


@dataclass(frozen=True, slots=True)
class WholeFile:
    """A file that a resource writes as a whole. It is ours when it has `mark`, as what we write has (none: by its name); what
    stands at its path without that is somebody else's, is backed up before it is replaced, and comes back byte for byte.
    """

    file: File
    mark: bytes

    def is_foreign(self, answers: Answers) -> bool:
        """Whether what is there is somebody else's."""
        found = answers[self.file]
        return bool(self.mark) and (
            found.kind is Kind.LINK or (found.kind is Kind.FILE and self.mark not in (found.content or b""))
        )

    def remembers(self, answers: Answers) -> bool:
        """Whether something of somebody else's stood there, which has to come back."""
        entry = ledger(answers).files.get(self.file.path)
        return entry is not None and entry.existed

    def was(self, answers: Answers) -> str | None:
        """What `as_wanted` was told to remember besides."""
        entry = ledger(answers).files.get(self.file.path)
        return next(iter(entry.former.values()), None) if entry else None

    def as_wanted(
        self,
        title: str,
        answers: Answers,
        data: bytes,
        *,
        check: str = "",
        before: str = "",
        anew: bool = False,
        was: str | None = None,
    ) -> Iterator[Step]:
        """The change that makes it so, if it is not; `anew`: in any case. `was` is remembered with what it replaces."""
        found = answers[self.file]
        if self.mark and found.kind is Kind.LINK:
            yield Blocked(
                f"{self.file.path} is a link to {found.target}: another tool writes it",
                "Choose another name, or remove it",
            )
            return
        if not self.is_foreign(answers):
            yield from own_file(title, self.file.path, found, data, check=check, before=before, anew=anew)
            return
        entry = replace(
            _first_seen(self.file, found),
            after=hashlib.sha256(data).hexdigest(),
            former={title: was or self.was(answers)},
        )
        book = ledger(answers)
        keep = directories(answers) + replaced(f"{BACKUPS}/{entry.backup}", ANYTHING, found.content or b"", mode=0o600)
        keep += written(answers, replace(book, files={**book.files, self.file.path: entry}))
        summary = f"{title} in place of somebody else's {self.file.path}, which is kept"
        yield from own_file(summary, self.file.path, found, data, check=check, before=before, between=keep)

    def gone(self, title: str, answers: Answers, *, then: str = "") -> Iterator[Step]:
        """The change that takes it away, and puts back what stood there before us; `then` follows before that is forgotten."""
        found, book = answers[self.file], ledger(answers)
        entry = book.files.get(self.file.path)
        if entry is None and self.is_foreign(answers):
            return  # nothing of ours is there
        if entry is None:
            yield from no_file(title, self.file.path, found)
        elif found.kind in (Kind.DIRECTORY, Kind.OTHER, Kind.LINK):
            yield in_the_way(self.file.path, found)
        elif self.is_foreign(answers):
            files = {path: each for path, each in book.files.items() if path != self.file.path}
            yield Change(
                f"forget {self.file.path}, which somebody else has written since",
                then + written(answers, replace(book, files=files)),
            )
        else:
            files = {path: each for path, each in book.files.items() if path != self.file.path}
            yield Change(
                f"{title}, and put back what was there before",
                _restored(self.file.path, found, entry)
                + then
                + written(answers, replace(book, files=files))
                + f"rm -f {quote(f'{BACKUPS}/{entry.backup}')}\n",
                (diff(self.file.path, found, NOTHING),),
            )
