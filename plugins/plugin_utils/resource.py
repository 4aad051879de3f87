# SPDX-License-Identifier: GPL-3.0-or-later
"""What a resource is, and what comes of comparing one with a Mac."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from posixpath import commonprefix
from typing import Any, Protocol, runtime_checkable

from .asking import Answers, Question
from .masked import masked, only_masked

INTERNAL: Mapping[str, bool] = {"internal": True}
"""The metadata of a resource's field that only other resources set: it is no parameter."""


@dataclass(frozen=True, slots=True)
class Diff:
    """Before and after of something a person can read.

    Only the lines that differ are ever shown, and what looks like a secret in them is masked: the others of a file are
    most often somebody else's.
    """

    name: str
    before: str
    after: str

    @property
    def lines(self) -> list[str]:
        """A unified diff without context."""
        shown = [f"--- {self.name} (now)", f"+++ {self.name} (wanted)"]
        for at, gone, come in self._parts():
            shown.append(f"@@ -{at[0]},{len(gone)} +{at[1]},{len(come)} @@")
            shown += [f"-{line}" for line in gone] + [f"+{line}" for line in come]
        return shown if len(shown) > 2 else []

    @property
    def changed(self) -> tuple[str, str]:
        """The lines that differ, as they are now and as they are wanted: for whoever makes a diff of them."""
        parts = list(self._parts())
        sides = ([line for part in parts for line in part[side]] for side in (1, 2))
        before, after = ("".join(f"{line}\n" for line in side) for side in sides)
        return before, after

    def _parts(self) -> Iterator[tuple[tuple[int, int], list[str], list[str]]]:
        """Where they differ (line numbers from 1), and the lines there. Compared as they are, shown as they may be."""
        (old, old_shown), (new, new_shown) = _lines(self.before), _lines(self.after)
        same = len(commonprefix([old, new]))  # most of a long file, which difflib would take its time over
        matcher = difflib.SequenceMatcher(None, old[same:], new[same:], autojunk=False)
        for tag, i, i_end, j, j_end in matcher.get_opcodes():
            if tag != "equal":
                yield (
                    (same + i + 1, same + j + 1),
                    old_shown[same + i : same + i_end],
                    new_shown[same + j : same + j_end],
                )


def _lines(text: str) -> tuple[list[str], list[str]]:
    """The lines of a text, and the same masked. Only `\\n` ends a line: what else might, somebody may have meant."""
    lines, shown = text.split("\n"), masked(text).split("\n")
    return (lines[:-1], shown[:-1]) if text.endswith("\n") or not text else (lines, shown)


@dataclass(frozen=True, slots=True)
class Change:
    """What has to happen: a line for people, and a script that is atomic, safe to run twice and safe to be cut off.

    `limit` is the time in seconds after which the front end gives the connection up; `slow` marks what takes more than
    a few seconds, so that it is announced before it starts. A `proof` changes nothing on the Mac that anybody wanted:
    it only shows that what is there works; `evidence` reads from the answers what it showed. `check` is the doctor's
    check that it is: that it fails is then a finding, which needs a person. `leaves` is what a
    Mac answers after it where that is another answer than before, for those whose turn comes later to plan with.
    """

    summary: str
    script: str
    diffs: tuple[Diff, ...] = ()
    limit: int = 120
    slow: bool = False
    proof: bool = False
    evidence: Callable[[Answers], str] | None = None
    check: str = ""
    leaves: tuple[tuple[Question[Any], Any], ...] = ()

    def __post_init__(self) -> None:
        only_masked(self, "summary")


@dataclass(frozen=True, slots=True)
class Blocked:
    """What a run cannot do by itself, and what a person can do about it."""

    summary: str
    remedy: str
    reboot: bool = False

    def __post_init__(self) -> None:
        only_masked(self, "summary", "remedy")


@dataclass(frozen=True, slots=True)
class Refused:
    """Desired state that is wrong for this Mac: the variable, what was seen, and what would be right.

    Not the variable's value: it may be anything.
    """

    variable: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return masked(f"{self.variable}: {self.problem}. {self.remedy}")


Step = Change | Blocked


class Resource(Protocol):
    """A piece of desired state. It does no I/O: it is handed answers, and says what has to happen."""

    @property
    def title(self) -> str:
        """What it is called in a plan."""

    def questions(self) -> Iterator[Question[Any]]:
        """What has to be known to compare it."""

    def changes(self, answers: Answers) -> Iterator[Step]:
        """What has to happen, in order; nothing on a Mac that is as desired. Raises Unknown."""


@runtime_checkable
class Demanding(Protocol):
    """A resource that may be wrong for a Mac altogether: what it refuses stops the run before anything is touched."""

    def refusals(self, answers: Answers) -> Iterator[Refused]:
        """What is wrong. Raises Unknown."""


@runtime_checkable
class Proving(Protocol):
    """A resource that changes of others take away what it proved."""

    @property
    def after_changes(self) -> Mapping[Question[Any], Any]:
        """The answers that it finds after a change of another resource, which is no such proof itself."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of resources in their order."""

    steps: tuple[tuple[Resource, Step], ...] = field(default=())

    @property
    def changes(self) -> tuple[Change, ...]:
        return tuple(step for _resource, step in self.steps if isinstance(step, Change))

    @property
    def blocked(self) -> tuple[Blocked, ...]:
        return tuple(step for _resource, step in self.steps if isinstance(step, Blocked))
