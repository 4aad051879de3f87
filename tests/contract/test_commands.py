# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract, case by case (`cases.py`)."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from .cases import ASKING, ATTRIBUTES, CHANGING, USERLAND, Case
from .conftest import MAY_CHANGE, Target


@pytest.mark.parametrize("case", [*ASKING, *USERLAND, *ATTRIBUTES, *CHANGING], ids=lambda case: case.name)
def test_command(case: Case, target: Target, record_property: Callable[[str, object], None]) -> None:
    if case.mutates and not MAY_CHANGE:
        pytest.skip(
            "would change this Mac; BUILDERFLEET_CONTRACT_MUTATE=1 allows it, under a label and a user of its own"
        )
    record_property("unverified", case.unverified)
    if case.before:
        target.run(case.before, root=True)
    try:
        done = target.run(case.script, root=case.root)
    finally:
        if case.after:
            target.run(case.after, root=True)
    seen = f"status {done.returncode}\n--- output\n{done.stdout}--- errors\n{done.stderr}"
    assert done.returncode == case.status, seen
    assert re.fullmatch(case.out, done.stdout, re.DOTALL), seen
    assert re.fullmatch(case.err, done.stderr, re.DOTALL), seen
    if target.mac is not None:
        assert target.mac.unmodelled() == []
