# SPDX-License-Identifier: GPL-3.0-or-later
"""The outcome of a run on a Mac: one word, one number, the same in both front ends (`design §4.10`)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Outcome(Enum):
    """How a run ended. `code` is the exit code of the project's own commands."""

    CONVERGED = ("converged", 0)
    CHANGED = ("changed", 0)
    FAILED = ("failed", 1)
    WOULD_CHANGE = ("would change", 2)
    REBOOT_NEEDED = ("reboot needed", 3)
    NEEDS_PERSON = ("needs a person", 4)
    UNREACHABLE = ("unreachable", 5)
    LOCKED = ("locked", 6)

    @property
    def word(self) -> str:
        return self.value[0]

    @property
    def code(self) -> int:
        return self.value[1]

    @classmethod
    def named(cls, word: str) -> Outcome:
        """The outcome of that word."""
        return next(each for each in cls if each.word == word)


AS_DESIRED = (Outcome.CONVERGED, Outcome.CHANGED, Outcome.WOULD_CHANGE)
"""Those that are no failure of a task's: as desired, or in a dry run on the way there."""

WORST_FIRST = (1, 6, 4, 3, 5, 2, 0)


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """The worst of a fleet's outcomes. An error is never drift, and a Mac that sleeps is not a failure."""
    return min((outcome.code for outcome in outcomes), key=WORST_FIRST.index, default=0)
