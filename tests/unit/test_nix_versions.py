# SPDX-License-Identifier: GPL-3.0-or-later
"""A Nix that is too old is told so."""

from __future__ import annotations

import pytest
from builderfleet.plugin_utils.nix_versions import too_old, version


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("nix (Nix) 2.35.2", (2, 35, 2)),
        ("nix (Nix) 2.4pre20210601_5985b8b", (2, 4)),
        ("nix (Lix, like Nix) 2.95.3", (2, 95, 3)),
        ("nix (Determinate Nix 3.8.2) 2.30.1", (2, 30, 1)),
        ("nix (Nix) 3", (3,)),
        ("something else", ()),
        ("", ()),
    ],
)
def test_the_version_in_what_nix_says(said: str, found: tuple[int, ...]) -> None:
    assert version(said) == found


def test_a_nix_that_is_too_old_is_told_what_it_lacks() -> None:
    for said in ("nix (Nix) 2.4", "nix (Nix) 2.8.0", "nix (Lix, like Nix) 2.95.3", "something else", ""):
        assert too_old(said) is None
    old = too_old("nix (Nix) 2.3.16")
    assert old is not None and "2.3.16, and 2.4 is the oldest that will do: it lacks builtins.getFlake" in old.summary
