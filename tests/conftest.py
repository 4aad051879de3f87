# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of the tests: the longest files first, so that the many small ones at the end fill up what those leave."""

from __future__ import annotations

import pytest

LONGEST_FIRST = ("test_drift.py", "test_waves.py", "test_interrupted.py", "test_adopted.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))
