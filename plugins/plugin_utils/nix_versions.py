# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Nix is needed for what: a Nix that is too old is told so, and not that it refuses something."""

from __future__ import annotations

import re

from .resource import Blocked

NEEDED = (
    ((2, 4), "builtins.getFlake, which fetches the pinned nixpkgs"),
    ((2, 4), "--extra-experimental-features, without which `nix show-config` may be forbidden"),
)
"""Versions by Nix's release notes, and what came with them. Lix and Determinate Nix go on with Nix's numbers."""

LEAST = max(version for version, _what in NEEDED)


def version(said: str) -> tuple[int, ...]:
    """The version in what `nix --version` prints, such as ``nix (Nix) 2.35.2``; empty where there is none."""
    found = re.match(r"\d+(?:\.\d+)*", said.split()[-1]) if said.strip() else None
    return tuple(map(int, found[0].split("."))) if found else ()


def too_old(said: str) -> Blocked | None:
    """What a person has to do about a Nix that cannot do what is needed of it, from what `nix --version` prints."""
    found = version(said)
    if not found or found >= LEAST:
        return None
    missing = "; ".join(what for needed, what in NEEDED if found < needed)
    return Blocked(
        f"this Mac has Nix {'.'.join(map(str, found))}, and {'.'.join(map(str, LEAST))} is the oldest that will do: it lacks"
        f" {missing}",
        "Upgrade it as its manual says (`nix upgrade-nix`, or the installer that it came with), and run again",
    )
