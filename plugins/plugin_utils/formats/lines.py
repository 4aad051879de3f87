# SPDX-License-Identifier: GPL-3.0-or-later
"""The model of a text file that nix_conf and machines share: lines with newlines *between* them.

A file that ends in a newline has an empty last line, a file that does not has none. Because adding and removing a line
are then exact inverses, a file without a final newline needs no bookkeeping: it stays without one while our line is in
it, and is what it was when our line has gone. Files are bytes, and may hold any byte. Where a piece of one is shown or
kept as text, undecodable bytes become lone surrogates and come back unchanged (PEP 383).
"""

from __future__ import annotations

# The characters at which Nix splits a line into words (nix_configuration §1, §2); "\n" cannot be inside a line.
BLANKS = b" \t\r"


def split(data: bytes) -> list[bytes]:
    """The lines of `data` without their newlines; `join` gives back exactly `data`."""
    return data.split(b"\n")


def join(lines: list[bytes]) -> bytes:
    """The inverse of `split`."""
    return b"\n".join(lines)


def append(lines: list[bytes], line: bytes) -> None:
    """Adds `line` as the last one; what follows the last newline (nothing, in most files) keeps its place if empty."""
    lines.insert(len(lines) - 1 if lines[-1] == b"" else len(lines), line)


def to_text(data: bytes) -> str:
    """`data` as text; no byte is lost."""
    return data.decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    """The inverse of `to_text`. Raises UnicodeEncodeError for surrogates that did not come from `to_text`."""
    return text.encode("utf-8", "surrogateescape")


def words(data: bytes) -> list[bytes]:
    """`data` split the way Nix does: at spaces, tabs, carriage returns and newlines, but not at form feeds."""
    return [word for word in data.translate(bytes.maketrans(b"\t\r\n", b"   ")).split(b" ") if word]
