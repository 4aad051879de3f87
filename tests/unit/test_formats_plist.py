# SPDX-License-Identifier: GPL-3.0-or-later
"""Property lists: what is written is read back, in the order given; what is none is refused in words."""

from __future__ import annotations

import plistlib
from typing import Any

import pytest
from builderfleet.plugin_utils.formats import plist
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"))
LEAVES = st.one_of(TEXT, st.booleans(), st.integers(-(2**63), 2**64 - 1), st.binary(), st.floats(allow_nan=False))
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=8)


@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_what_is_written_is_read_back_in_order(value: dict[str, Any]) -> None:
    written = plist.dump(value)
    assert plist.load(written) == value
    assert list(plist.load(written)) == list(value)
    assert plist.dump(plist.load(written)) == written
    assert written.endswith(b"</plist>\n")


@given(st.dictionaries(TEXT, LEAVES, max_size=5))
def test_binary_and_xml_mean_the_same(value: dict[str, Any]) -> None:
    assert plist.load(plistlib.dumps(value, fmt=plistlib.FMT_BINARY)) == plist.load(plist.dump(value))


@given(st.one_of(st.binary(), st.binary().map(lambda tail: b"bplist00" + tail)))
def test_what_is_no_property_list_is_refused(data: bytes) -> None:
    try:
        assert isinstance(plist.load(data), dict)
    except plist.PlistError as error:
        assert "wanted" in str(error)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a plist",
        plist.dump({"Label": "x"})[:-20],
        plist.dump({"Label": "x"}).replace(b"</key>", b"</kez>"),
        plistlib.dumps(["a", "list"]),
        b"<plist><dict><key>a</key></dict></plist>",
    ],
)
def test_a_broken_file_is_refused_with_what_was_seen(data: bytes) -> None:
    with pytest.raises(plist.PlistError, match=r"wanted .* saw "):
        plist.load(data)


@pytest.mark.parametrize("value", [{"a": None}, {1: "a"}, {"a": 2**64}, {"a": "\x00"}, {"a": object()}])
def test_what_cannot_be_written_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(plist.PlistError, match="wanted"):
        plist.dump(value)
