# SPDX-License-Identifier: GPL-3.0-or-later
"""Property lists: what launchd's job files are written in.

They are written here, with Python's plistlib, and carried to the Mac as bytes (macos_commands §5). Two files that mean
the same may differ in spacing, order and even in format (binary), so files are compared by what `load` gives.
"""

from __future__ import annotations

import plistlib
from collections.abc import Mapping
from typing import Any


class PlistError(ValueError):
    """A file is no property list, or a value cannot be written as one; the text says what was wanted and seen."""


def dump(value: Mapping[str, Any]) -> bytes:
    """`value` as an XML property list in UTF-8, keys in the order given, with a final newline.

    Raises PlistError for what a property list cannot hold: None, keys that are no text, integers of more than 64 bits,
    control characters.
    """
    try:
        return plistlib.dumps(dict(value), fmt=plistlib.FMT_XML, sort_keys=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise PlistError(
            "wanted text, bytes, whole numbers, floats, booleans, dates, lists and dictionaries with text as keys; "
            f"{error}; write the property list without it"
        ) from error


def load(data: bytes) -> dict[str, Any]:
    """What the property list, XML or binary, means. Raises PlistError unless it is one whose root is a dictionary."""
    try:
        value = plistlib.loads(data)
    except Exception as error:  # plistlib lets through whatever its XML and binary readers trip over, of many classes
        raise PlistError(
            f"wanted a property list (XML or binary), saw {len(data)} bytes beginning with {data[:40]!r}: "
            f"{type(error).__name__}: {error}; look at it with `plutil -lint`"
        ) from error
    if not isinstance(value, dict):
        raise PlistError(f"wanted a property list whose root is a dictionary, saw one whose root is {value!r:.80}")
    return value
