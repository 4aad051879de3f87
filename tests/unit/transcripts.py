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
    found = [record(token, key, field, value) for (key, field), value in records.items()]
    digest = hashlib.sha256("".join(f"{each}\n" for each in found).encode()).hexdigest()
    return ";".join((*found, f"{token} end {len(records)} {digest}\n"))
