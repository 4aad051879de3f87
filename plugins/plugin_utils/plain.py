# SPDX-License-Identifier: GPL-3.0-or-later
"""An inventory's values in Python's plain types: without what Ansible tags them with, and over a pipe.

A date, which YAML makes of `2026-11-01` without quotes, stays one: whoever wants a text there refuses it by its name.
"""

from __future__ import annotations

import datetime
import json
from typing import Any

_DATE, _TIME = "builderfleet date", "builderfleet time"


def dumped(value: Any) -> str:
    """As JSON for `loaded`."""
    return json.dumps(value, default=_encoded)


def loaded(text: str) -> Any:
    """What was `dumped`."""
    return json.loads(text, object_hook=_decoded)


def plain(value: Any) -> Any:
    """The same value in plain types."""
    return loaded(dumped(value))


def _encoded(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return {_TIME: value.isoformat()}
    if isinstance(value, datetime.date):
        return {_DATE: value.isoformat()}
    return str(value)  # YAML's sets and bytes: nothing here reads one, and somebody else's is no failure


def _decoded(value: dict[str, Any]) -> Any:
    if value.keys() == {_TIME}:
        return datetime.datetime.fromisoformat(value[_TIME])
    if value.keys() == {_DATE}:
        return datetime.date.fromisoformat(value[_DATE])
    return value
