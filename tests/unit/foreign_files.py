# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that people and other programs left behind, for the property tests of formats/."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

ANY_LINE = st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"\xff"))
BLANK_LINES = st.sampled_from([b"", b" ", b"\t", b"  \t"])


def files(lines: Sequence[bytes], any_line: st.SearchStrategy[bytes] = ANY_LINE) -> st.SearchStrategy[bytes]:
    """Files made of these lines, blank lines and arbitrary ones; some with CRLF, some without a final newline."""
    line = st.one_of(st.sampled_from(list(lines)), BLANK_LINES, any_line)
    ended = st.tuples(line, st.sampled_from([b"", b"", b"", b"\r"])).map(b"".join)
    body = st.lists(ended, max_size=8).map(b"\n".join)
    return st.tuples(body, st.sampled_from([b"\n", b""])).map(b"".join)
