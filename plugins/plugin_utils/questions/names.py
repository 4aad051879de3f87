# SPDX-License-Identifier: GPL-3.0-or-later
"""The names in a directory."""

from __future__ import annotations

from dataclasses import dataclass

from ..asking import Replies, Request, Unknown, look, run
from .file import found


@dataclass(frozen=True, slots=True)
class Names:
    """What lies in a directory of our own, where no name has a blank; nothing where there is no directory."""

    directory: str

    def requests(self) -> tuple[Request, ...]:
        return look(self.directory), run("/bin/ls", "-A", self.directory)

    def __str__(self) -> str:
        return f"what lies in {self.directory}"

    def answer(self, replies: Replies) -> frozenset[str]:
        ran = replies.ran(1)
        if found(replies.only(0)).absent:
            return frozenset()
        if ran.status != 0:
            raise Unknown(f"ls {self.directory} ended with status {ran.status}: {ran.errors.strip()}")
        return frozenset(ran.output.split())
