# SPDX-License-Identifier: GPL-3.0-or-later
"""The last words of a log."""

from __future__ import annotations

from dataclasses import dataclass

from ..asking import Replies, Request, run


@dataclass(frozen=True, slots=True)
class LogTail:
    """The last lines of the file at `path`; none when it is not there."""

    path: str
    lines: int = 60

    def __str__(self) -> str:
        return f"the end of {self.path}"

    def requests(self) -> tuple[Request, ...]:
        return (run("/usr/bin/tail", "-n", str(self.lines), self.path),)

    def answer(self, replies: Replies) -> tuple[str, ...]:
        ran = replies.ran(0)
        lines = (line.strip() for line in ran.output.splitlines())
        return tuple("".join(filter(str.isprintable, line))[:200] for line in lines if line)
