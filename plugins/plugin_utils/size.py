# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes of memory and disks, the way people write them: `8GiB`.

Only units that mean one thing are taken. `8GB` is eight thousand million bytes to a disk maker and 8 GiB to most people
who write it, and QEMU and Nix want whole mebibytes: whatever would need guessing or rounding is refused, with the text
that would be right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MEBIBYTE = 1024**2
UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
DECIMAL_UNITS = {"KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4}
_BINARY_UNIT_OF = {unit[0]: unit for unit in UNITS}
_WRITTEN = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?) ?(?P<unit>[A-Za-z]*)", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """A whole, positive number of mebibytes. `bytes` is in bytes."""

    bytes: int

    def __post_init__(self) -> None:
        if self.bytes <= 0 or self.bytes % MEBIBYTE:
            raise ValueError(f"wanted a positive whole number of mebibytes ({MEBIBYTE} bytes), saw {self.bytes} bytes")

    @property
    def mebibytes(self) -> int:
        """The size in MiB, which is what QEMU's -m and the linux-builder's options count in."""
        return self.bytes // MEBIBYTE

    def __str__(self) -> str:
        """The shortest exact text, in the largest unit that gives a whole number; `parse` reads it back."""
        unit, factor = next((unit, factor) for unit, factor in reversed(UNITS.items()) if self.bytes % factor == 0)
        return f"{self.bytes // factor}{unit}"

    @classmethod
    def parse(cls, text: object) -> Size:
        """Reads `8GiB`, `1.5TiB`, `512MiB` or `1048576KiB`, with one space before the unit if that reads better.

        Takes any object because inventories hold any: what is no text is refused like a text that is no size.
        Raises ValueError that says what was seen and what would be right.
        """
        if not isinstance(text, str):
            raise ValueError(_without_unit(text) if _is_number(text) else _no_size())
        match = _WRITTEN.fullmatch(text.strip())
        if match is None:
            raise ValueError(_no_size())
        number, unit = Fraction(match["number"]), match["unit"]
        if unit not in UNITS:
            raise ValueError(_wrong_unit(text, match["number"], unit))
        size = number * UNITS[unit]
        if size <= 0:
            raise ValueError(f"{text!r} is no size: wanted more than nothing, such as 8GiB")
        if size % MEBIBYTE:
            raise ValueError(_no_whole_mebibytes(text, size))
        return cls(int(size))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _no_size() -> str:
    return f"it is no size: wanted a positive number and one of {', '.join(UNITS)}, such as 8GiB or 512MiB"


def _without_unit(seen: object) -> str:
    return f"{seen!r} says no unit: write {seen}GiB or {seen}MiB, whichever is meant"


def _wrong_unit(text: str, number: str, unit: str) -> str:
    if not unit:
        return _without_unit(text)
    intended = _BINARY_UNIT_OF.get(unit[0].upper())
    if intended is None or unit.upper() not in (intended[0], f"{intended[0]}B", intended.upper()):
        return _no_size()
    meant = Fraction(number) * UNITS[intended]
    right = f"{number}{intended}"
    if unit.upper() == intended.upper():
        return f"{text!r} has an unknown unit: write {right} (upper and lower case matter)"
    if unit in DECIMAL_UNITS:
        decimal = Fraction(number) * DECIMAL_UNITS[unit]
        nearest = f" or {decimal // MEBIBYTE}MiB for about that many" if decimal >= MEBIBYTE else ""
        return f"{text!r} means {_count(decimal)} bytes; write {right} for {_count(meant)} bytes{nearest}"
    return f"{text!r} can mean several sizes: write {right} for {_count(meant)} bytes"


def _no_whole_mebibytes(text: str, size: Fraction) -> str:
    below = size // MEBIBYTE
    either = f"{below}MiB or {below + 1}MiB" if below else "1MiB or more"
    return f"{text!r} is {_count(size)} bytes, which is no whole number of mebibytes: write {either}"


def _count(number: Fraction) -> str:
    return f"{int(number):,}" if number.denominator == 1 else f"{float(number):,}"
