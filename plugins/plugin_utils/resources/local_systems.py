# SPDX-License-Identifier: GPL-3.0-or-later
"""That Nix does not start Linux builds on the Mac itself.

With a Linux system among `extra-platforms`, which some recommend for a builder, Nix takes the Mac for one that runs it:
a derivation that prefers to be built locally, or that no builder takes just now, is started there, where it fails
(`facts/field_reports VM 5`). The line is somebody's, so it is for them to take it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..asking import Answers, Question
from ..questions.mac import Mac
from ..questions.nix import NixConfiguration
from ..resource import Blocked, Step


@dataclass(frozen=True, slots=True)
class LocalSystems:
    """What Nix builds on the Mac itself: nothing for `systems` (by default the Linux that the Mac's processor runs)."""

    systems: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return "systems that this Mac builds for itself"

    def questions(self) -> Iterator[Question[Any]]:
        yield from (NixConfiguration(), Mac())

    def changes(self, answers: Answers) -> Iterator[Step]:
        platforms = answers[NixConfiguration()].settings.get("extra-platforms", "").split()
        systems = self.systems or (answers[Mac()].linux_system,)
        linux = [each for each in platforms if each in systems]
        if linux:
            yield Blocked(
                f"Nix's extra-platforms has {' '.join(linux)}, so Nix starts Linux builds on this Mac itself, where they fail",
                f"Take {' '.join(linux)} out of extra-platforms in Nix's configuration on that Mac, restart Nix's daemon"
                " and run again: the builder builds for it without that line",
            )
