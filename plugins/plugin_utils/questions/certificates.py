# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle of CA certificates: whether it is one, and whether a copy of it is up to date."""

from __future__ import annotations

from dataclasses import dataclass

from ..asking import Replies, Request, run


@dataclass(frozen=True, slots=True)
class Bundle:
    """How many certificates a bundle holds, None when there is no such file; and whether the copy is the same."""

    certificates: int | None
    copied: bool


@dataclass(frozen=True, slots=True)
class Certificates:
    """The bundle at `path`, and the copy of it at `copy`. Only counted and compared: it never travels."""

    path: str
    copy: str

    def __str__(self) -> str:
        return f"the certificates in {self.path}"

    def requests(self) -> tuple[Request, ...]:
        return (
            run("/usr/bin/grep", "-c", "-e", "BEGIN CERTIFICATE", "-e", "BEGIN TRUSTED CERTIFICATE", self.path),
            run("/usr/bin/cmp", "-s", self.path, self.copy),
        )

    def answer(self, replies: Replies) -> Bundle:
        counted = replies.ran(0)  # grep ends with 1 when it finds none, with 2 when it cannot read
        found = int(counted.output) if counted.status in (0, 1) and counted.output.strip().isdigit() else None
        return Bundle(found, replies.ran(1).status == 0)
