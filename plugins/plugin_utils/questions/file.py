# SPDX-License-Identifier: GPL-3.0-or-later
"""What is at a path of a Mac."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum

from ..asking import Replies, Request, Unknown, look, read, run


class Kind(Enum):
    """What can be at a path. A link is not followed."""

    ABSENT = "absent"
    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    OTHER = "special file"


@dataclass(frozen=True, slots=True)
class Found:
    """What was found at a path. `content` is None unless it is a file whose content was asked for."""

    kind: Kind
    mode: int = 0
    uid: int = 0
    gid: int = 0
    content: bytes | None = None
    target: str = ""
    resolves: bool = False

    @property
    def absent(self) -> bool:
        return self.kind is Kind.ABSENT

    @property
    def seen(self) -> str:
        """How a script says what was found, so that it can tell whether that is still so."""
        if self.kind is Kind.FILE and self.content is not None:
            return hashlib.sha256(self.content).hexdigest()
        return self.kind.value

    def has(self, mode: int, uid: int, gid: int) -> bool:
        return (self.mode, self.uid, self.gid) == (mode, uid, gid)

    def with_content(self, content: bytes) -> Found:
        """The same file with another content; one that is new is root's and readable for all."""
        mode, uid, gid = (0o644, 0, 0) if self.absent else (self.mode, self.uid, self.gid)
        return Found(Kind.FILE, mode, uid, gid, content)

    @property
    def metadata(self) -> str:
        return "absent" if self.absent else f"{self.kind.value} {self.mode:04o} {self.uid}:{self.gid}"


NOTHING = Found(Kind.ABSENT)


def found(replies: Replies) -> Found:
    """Read the reply to a `read` or a `look`."""
    fields = replies.fields(0)
    try:
        kind = Kind(fields["kind"].decode())
        if kind is Kind.ABSENT:
            return NOTHING
        return Found(
            kind,
            mode=int(fields["mode"], 8),
            uid=int(fields["uid"]),
            gid=int(fields["gid"]),
            content=fields.get("content"),
            target=fields.get("target", b"").decode("utf-8", "surrogateescape"),
            resolves=fields.get("resolves") == b"1",
        )
    except (KeyError, ValueError) as error:
        raise Unknown(f"the reply makes no sense: {error!r}") from error


@dataclass(frozen=True, slots=True)
class File:
    """A file with its content, or whatever else is at the path."""

    path: str

    def __str__(self) -> str:
        return self.path

    def requests(self) -> tuple[Request, ...]:
        return (read(self.path),)

    def answer(self, replies: Replies) -> Found:
        return found(replies)


@dataclass(frozen=True, slots=True)
class Metadata:
    """Kind, mode and owner of what is at a path; the content stays on the Mac."""

    path: str

    def __str__(self) -> str:
        return f"mode and owner of {self.path}"

    def requests(self) -> tuple[Request, ...]:
        return (look(self.path),)

    def answer(self, replies: Replies) -> Found:
        return found(replies)


@dataclass(frozen=True, slots=True)
class Pointed:
    """The content of the file to which a link leads; None where there is no link, or it leads nowhere."""

    path: str

    def __str__(self) -> str:
        return f"what {self.path} leads to"

    def requests(self) -> tuple[Request, ...]:
        return (run("/bin/sh", "-c", 'if [ -L "$1" ] && [ -f "$1" ]; then exec cat "$1"; fi; exit 1', "sh", self.path),)

    def answer(self, replies: Replies) -> bytes | None:
        ran = replies.ran(0)
        return ran.output.encode() if ran.status == 0 else None
