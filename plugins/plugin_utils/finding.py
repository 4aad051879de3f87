# SPDX-License-Identifier: GPL-3.0-or-later
"""What an examination finds, and how people read it: a line a check, and below what is wrong, what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from .masked import only_masked


class State(Enum):
    """How it stands with what was checked. `mark` is how a line begins."""

    FINE = ("fine", "ok")
    BROKEN = ("broken", "WRONG")
    UNKNOWN = ("unknown", "?")
    NOT_REACHED = ("not reached", "-")

    @property
    def word(self) -> str:
        return self.value[0]

    @property
    def mark(self) -> str:
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `cause` is what was seen, `remedy` what to do; both are masked.

    `waits_for` is the check that has to be put right first, when this one was not reached.
    """

    check: str
    state: State
    cause: str
    remedy: str = ""
    waits_for: str = ""

    def __post_init__(self) -> None:
        only_masked(self, "cause", "remedy")


def fine(check: str, seen: str) -> Finding:
    return Finding(check, State.FINE, seen)


def broken(check: str, cause: str, remedy: str) -> Finding:
    return Finding(check, State.BROKEN, cause, remedy)


def not_reached(check: str, waits_for: str) -> Finding:
    return Finding(check, State.NOT_REACHED, f"not reached: {waits_for} comes first", waits_for=waits_for)


_CHECK_WIDTH = len("host key")
_MARK_WIDTH = max(len(state.mark) for state in State)


def rendered(findings: Iterable[Finding]) -> Iterator[str]:
    """The findings as lines of text."""
    for finding in findings:
        first, *more = finding.cause.splitlines() or [""]
        yield f"{finding.state.mark:<{_MARK_WIDTH}}  {finding.check:<{_CHECK_WIDTH}}  {first}".rstrip()
        margin = " " * (_MARK_WIDTH + _CHECK_WIDTH + 4)
        yield from (f"{margin}{line}" for line in more)
        if finding.remedy:
            yield f"{margin}→ {finding.remedy}"
