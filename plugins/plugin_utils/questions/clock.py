# SPDX-License-Identifier: GPL-3.0-or-later
"""A Mac's own clock."""

from __future__ import annotations

from dataclasses import dataclass

from ..asking import Replies, Request, Unknown, run


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds since 1970, when the probe began."""

    def __str__(self) -> str:
        return "the clock"

    def requests(self) -> tuple[Request, ...]:
        return (run("/bin/date", "-u", "+%s"),)

    def answer(self, replies: Replies) -> int:
        ran = replies.ran(0)
        if ran.status != 0 or not ran.output.strip().isdecimal():
            raise Unknown(f"date ended with status {ran.status}: {ran.output.strip() or ran.errors.strip()}")
        return int(ran.output)
