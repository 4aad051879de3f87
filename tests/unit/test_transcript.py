# SPDX-License-Identifier: GPL-3.0-or-later
"""A transcript is read whole and exactly, or it is refused: whatever stands around it, and wherever it is cut."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

import pytest
from builderfleet.plugin_utils.transcript import Transcript, TranscriptError
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.transcripts import Records, printed, record

TOKEN = "4f1c2a9be07d3355"
words = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=6).filter(lambda word: word != "end")
all_records = st.dictionaries(st.tuples(words, words), st.binary(max_size=90), max_size=4)
noise = st.lists(
    st.text(st.characters(codec="utf-8"), max_size=20).filter(lambda line: TOKEN not in line), max_size=2
).map(lambda lines: "".join(f"{line}\n" for line in lines))


def read(text: str) -> Records:
    records = Transcript.parse(text, TOKEN).records
    return {(key, field): value for key, fields in records.items() for field, value in fields.items()}


def read_or_refused(text: str) -> Records | None:
    try:
        return read(text)
    except TranscriptError:
        return None


@given(all_records)
def test_what_was_written_is_read(records: Records) -> None:
    assert read(printed(records, TOKEN)) == records


@given(all_records, st.lists(noise, min_size=6, max_size=6))
def test_noise_before_between_and_after_does_not_matter(records: Records, noises: Sequence[str]) -> None:
    lines = re.split("(?<=;)", printed(records, TOKEN))
    text = "".join(part for pair in zip(noises, lines, strict=False) for part in pair) + noises[-1]
    assert read(text) == records


@given(all_records)
def test_a_terminals_line_ends_do_not_matter(records: Records) -> None:
    assert read(printed(records, TOKEN).replace("\n", "\r\n")) == records


@given(all_records, all_records, words.filter(lambda word: word != TOKEN))
def test_another_scripts_transcript_is_noise(records: Records, others: Records, token: str) -> None:
    foreign = printed(others, token)
    assert read(foreign + printed(records, TOKEN) + foreign) == records
    with pytest.raises(TranscriptError, match="whole of the Mac's answer"):
        read(foreign)


@given(all_records, st.data())
def test_a_transcript_that_is_cut_off_anywhere_is_refused(records: Records, data: st.DataObject) -> None:
    text = printed(records, TOKEN).rstrip("\n")
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(TranscriptError, match=r"^wanted .*, saw "):
        read(text[:cut])


@given(all_records.filter(bool), st.data())
def test_a_record_that_is_missing_or_there_twice_is_refused(records: Records, data: st.DataObject) -> None:
    lines = re.split("(?<=;)", printed(records, TOKEN))
    number = data.draw(st.integers(0, len(lines) - 2))
    before, after = "".join(lines[:number]), "".join(lines[number + 1 :])
    assert read_or_refused(before + after) is None
    assert read_or_refused(before + 2 * lines[number] + after) in (records, None)


@given(all_records.filter(bool), st.data())
def test_a_record_with_a_damaged_character_is_refused_or_read_right(records: Records, data: st.DataObject) -> None:
    text = printed(records, TOKEN)
    place = data.draw(st.integers(0, len(text) - 1))
    damage = data.draw(st.sampled_from(["", "\n", "\nBroadcast message from root\n", "A", "=", " ", "\x07", "é"]))
    replaced = data.draw(st.booleans())
    assert read_or_refused(text[:place] + damage + text[place + replaced :]) in (records, None)


@pytest.mark.parametrize(
    ("text", "saw"),
    [
        ("", "saw nothing at all"),
        (" \n\n", "saw nothing at all"),
        ("sudo: a password is required\n", "ending in 'sudo: a password is required'"),
        (f"{TOKEN} 0 kind", "saw '4f1c2a9be07d3355 0 kind'"),
        (record(TOKEN, "0", "kind", b"file")[:-2] + "\n", "Incorrect padding|'Z'"),
        (f"{TOKEN} 0 kind a*b=\n", "saw '4f1c2a9be07d3355 0 kind a"),
        (f"{TOKEN} end 3\n", "wanted .*3.* whole answers, saw 0"),
        (f"{TOKEN} end many\n", "wanted .*many.* whole answers, saw 0"),
        (f"{TOKEN} end\n", "whole answers, saw 0"),
    ],
)
def test_a_refusal_says_what_was_seen(text: str, saw: str) -> None:
    with pytest.raises(TranscriptError, match=saw):
        read(text)


def test_a_refusal_is_short() -> None:
    with pytest.raises(TranscriptError) as refusal:
        read("x" * 100_000)
    assert len(str(refusal.value)) < 300


def test_fields_are_those_of_their_key() -> None:
    records = {("1", "kind"): b"file", ("12", "kind"): b"link", ("1", "mode"): b"644"}
    transcript = Transcript.parse(printed(records, TOKEN), TOKEN)
    assert transcript.fields("1") == {"kind": b"file", "mode": b"644"}
    assert transcript.fields("12") == {"kind": b"link"}


def test_a_key_without_fields_is_read_only_and_gets_none() -> None:
    transcript = Transcript.parse(printed({("12", "kind"): b"link"}, TOKEN), TOKEN)
    assert transcript.fields("1") == {}
    with pytest.raises(TypeError):
        transcript.fields("1")["kind"] = b"other"  # type: ignore[index]
    assert list(transcript.records) == ["12"]
