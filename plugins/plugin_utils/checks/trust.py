# SPDX-License-Identifier: GPL-3.0-or-later
"""What no build shows: who else may write what root trusts, and whether the Mac remembers what was there before."""

from __future__ import annotations

from ..finding import Finding, broken, fine
from .examination import Examination, remedy


def files(examination: Examination) -> Finding:
    """Whether nobody but root can write what Nix, ssh and launchd trust as root."""
    steps = list(examination.builder.files.changes(examination.answers))
    if not steps:
        return fine("files", "nobody but root may write what Nix, ssh and launchd trust")
    return broken("files", "\n".join(step.summary for step in steps), remedy(steps))


def ledger(examination: Examination) -> Finding:
    """Whether it can still be taken back: what was on the Mac before the builder is remembered."""
    for step in examination.builder.memory.changes(examination.answers):
        return broken("ledger", step.summary, remedy([step]))
    return fine("ledger", "what was on this Mac before the builder is remembered")
