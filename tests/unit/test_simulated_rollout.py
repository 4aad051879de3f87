# SPDX-License-Identifier: GPL-3.0-or-later
"""What ./rollout says at its end is true of how it ended."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.simulated_mac import rollout

MAC: Any = SimpleNamespace(
    name="demo",
    lab=SimpleNamespace(tier="network", directory=Path("/lab")),
    exists=lambda path: True,
    read=lambda path: b"Linux 6.1 on builder\taarch64-linux",
)
BUILT = "A Linux package was built from this Mac, in its builder: Linux 6.1 on builder"


@pytest.mark.parametrize(
    ("code", "how", "again", "built"),
    [
        (0, {}, "again: no changes", True),
        (0, {"dry": True}, "in earnest", False),
        (2, {"dry": True}, "in earnest", False),
        (4, {"dry": True}, "in earnest, when what is said above is put right", False),
        (1, {}, "again: it goes on where it was, when what is said above is put right", False),
        (0, {"absent": True}, "set it up again", False),
    ],
)
def test_what_it_says_at_the_end(code: int, how: dict[str, bool], again: str, built: bool) -> None:
    lines = [line.strip() for line in rollout.closing(MAC, code, **how).splitlines()]
    assert any(line.startswith("./rollout ") and line.endswith(f"  {again}") for line in lines), lines
    assert (BUILT in lines) == built
