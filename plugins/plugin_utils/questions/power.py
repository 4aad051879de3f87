# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a Mac's power comes from."""

from __future__ import annotations

from dataclasses import dataclass

from ..asking import Replies, Request, Unknown, run


@dataclass(frozen=True, slots=True)
class InternalBattery:
    """Whether a Mac has a battery, and so most likely is carried about.

    `hw.model` does not say MacBook on newer Macs; pmset lists what feeds them, and a UPS under another name
    (`facts/macos_commands §1`).
    """

    def __str__(self) -> str:
        return "the battery"

    def requests(self) -> tuple[Request, ...]:
        return (run("/usr/bin/pmset", "-g", "batt"),)

    def answer(self, replies: Replies) -> bool:
        ran = replies.ran(0)
        if ran.status != 0 or not ran.output.startswith("Now drawing from"):
            raise Unknown(f"pmset ended with status {ran.status}: {(ran.errors or ran.output).strip() or 'no message'}")
        return any(line.lstrip().startswith("-InternalBattery") for line in ran.output.splitlines())
