# SPDX-License-Identifier: GPL-3.0-or-later
"""The space of the volume that a path is on."""

from __future__ import annotations

from dataclasses import dataclass

from ..asking import Replies, Request, Unknown, run


@dataclass(frozen=True, slots=True)
class Space:
    """Size and what is free of it, in bytes."""

    size: int
    free: int


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """What df says of the volume with `path`."""

    path: str

    def __str__(self) -> str:
        return f"the free space at {self.path}"

    def requests(self) -> tuple[Request, ...]:
        return (run("/bin/df", "-Pk", self.path),)

    def answer(self, replies: Replies) -> Space:
        ran = replies.ran(0)
        words = ran.output.splitlines()[-1].split() if ran.output.strip() else []
        try:
            return Space(int(words[1]) * 1024, int(words[3]) * 1024)
        except (IndexError, ValueError) as error:
            seen = ran.errors.strip() or ran.output.strip() or "nothing"
            raise Unknown(f"df {self.path} ended with status {ran.status} and said {seen}") from error


MAC_SPACE = FreeSpace("/private/var")
"""/var is on the volume that is written to; / is a sealed one (`facts/macos_commands §1`)."""
