# SPDX-License-Identifier: GPL-3.0-or-later
"""What launchd has loaded (`facts/macos_commands §2`)."""

from __future__ import annotations

from dataclasses import dataclass

from ..asking import Replies, Request, Unknown, run
from ..formats import launchctl

NOT_LOADED = 113


@dataclass(frozen=True, slots=True)
class Loaded:
    """A job in the system domain: None when it is not loaded; and whether an override keeps it switched off."""

    job: launchctl.Job | None
    disabled: bool


@dataclass(frozen=True, slots=True)
class LaunchdJob:
    """A job of the system domain by its label. A disabled one does not show in `print`, so the overrides are asked too."""

    label: str

    def __str__(self) -> str:
        return f"launchd's job {self.label}"

    def requests(self) -> tuple[Request, ...]:
        return (
            run("/bin/launchctl", "print", f"system/{self.label}"),
            run("/bin/launchctl", "print-disabled", "system"),
        )

    def answer(self, replies: Replies) -> Loaded:
        printed, overrides = replies.ran(0), replies.ran(1)
        if printed.status not in (0, NOT_LOADED):
            raise Unknown(f"launchctl print ended with status {printed.status}: {printed.errors.strip()}")
        if overrides.status != 0:
            raise Unknown(f"launchctl print-disabled ended with status {overrides.status}: {overrides.errors.strip()}")
        try:
            job = launchctl.parse_print(printed.output) if printed.status == 0 else None
            return Loaded(job, launchctl.parse_disabled(overrides.output).get(self.label, False))
        except ValueError as error:
            raise Unknown(f"launchctl's output makes no sense: {error}") from error
