# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes: what people write, and what they are told when it could mean something else."""

from __future__ import annotations

import re

import pytest
from builderfleet.plugin_utils.size import Size
from hypothesis import given
from hypothesis import strategies as st


class TaggedText(str):
    """A subclass of str, such as the ones that ansible-core hands over."""


@pytest.mark.parametrize(
    ("text", "mebibytes"),
    [
        ("8GiB", 8192),
        ("8 GiB", 8192),
        (" 8GiB\n", 8192),
        ("512MiB", 512),
        ("1.5GiB", 1536),
        ("2TiB", 2 * 1024**2),
        ("1048576KiB", 1024),
        (TaggedText("8GiB"), 8192),
    ],
)
def test_what_means_one_thing(text: str, mebibytes: int) -> None:
    assert Size.parse(text).mebibytes == mebibytes
    assert Size.parse(text).bytes == mebibytes * 1024**2


@given(st.integers(1, 2**40))
def test_the_text_of_a_size_is_read_back(mebibytes: int) -> None:
    size = Size(mebibytes * 1024**2)
    assert Size.parse(str(size)) == size


def test_the_shortest_text() -> None:
    assert [str(Size.parse(text)) for text in ("1024MiB", "1536MiB", "1024GiB")] == ["1GiB", "1536MiB", "1TiB"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("8GB", "'8GB' means 8,000,000,000 bytes; write 8GiB for 8,589,934,592 bytes or 7629MiB"),
        ("8G", "write 8GiB for 8,589,934,592 bytes"),
        ("8gb", "write 8GiB for 8,589,934,592 bytes"),
        ("8gib", "write 8GiB (upper and lower case matter)"),
        ("512m", "write 512MiB for 536,870,912 bytes"),
        ("8", "write 8GiB or 8MiB"),
        (8, "write 8GiB or 8MiB"),
        (8.5, "write 8.5GiB or 8.5MiB"),
        ("0GiB", "more than nothing"),
        ("-8GiB", "wanted a positive number"),
        ("0.1GiB", "write 102MiB or 103MiB"),
        ("512KiB", "write 1MiB or more"),
        ("8GiBs", "is no size"),
        ("GiB", "is no size"),
        ("٨GiB", "is no size"),
        ("1e3MiB", "is no size"),
        ("", "is no size"),
        (None, "is no size"),
        (True, "is no size"),
        (["8GiB"], "is no size"),
    ],
)
def test_what_would_need_guessing_is_refused_with_what_would_be_right(text: object, answer: str) -> None:
    with pytest.raises(ValueError) as refused:
        Size.parse(text)
    assert answer in str(refused.value)


@pytest.mark.parametrize("count", [0, -(1024**2), 1, 1024**2 + 1])
def test_a_size_is_a_positive_whole_number_of_mebibytes(count: int) -> None:
    with pytest.raises(ValueError, match="wanted"):
        Size(count)


@given(st.one_of(st.text(), st.from_regex(r"[0-9.]{1,4} ?[KMGTkmgt]i?[Bb]?", fullmatch=True)))
def test_nothing_else_is_raised(text: str) -> None:
    try:
        assert Size.parse(text).bytes > 0
    except ValueError as error:
        assert re.search("wanted|write", str(error))


@given(st.text(st.characters(codec="ascii", categories=["L"]), min_size=5))
def test_what_is_no_size_at_all_is_not_said(text: str) -> None:
    """It may be anybody's password, in the wrong place."""
    with pytest.raises(
        ValueError, match=r"^it is no size: wanted a positive number and one of .*, such as 8GiB or 512MiB$"
    ):
        Size.parse(text)
