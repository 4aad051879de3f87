# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Mac prints, built by hand for tests of whoever reads it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

Records = Mapping[tuple[str, str], bytes]
"""Values by key and field."""


def record(token: str, key: str, field: str, value: bytes) -> str:
    return f"{token} {key} {field} {base64.b64encode(value).decode()}"


def printed(records: Records, token: str) -> str:
    """A whole transcript."""
    lines = "".join(f"{record(token, key, field, value)}\n" for (key, field), value in records.items())
    return f"{lines}{token} end {len(records)} {hashlib.sha256(lines.encode()).hexdigest()}\n"
