# SPDX-License-Identifier: GPL-3.0-or-later
"""nix.conf: the laws of editing over generated files, and real Nix as the judge of what was read and written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from builderfleet.plugin_utils.formats import nix_conf
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.unit.foreign_files import files

NAME = "builders"
LINES = [
    b"# a comment with builders = in it",
    b"builders = one",
    b"builders = one two  # why",
    b"\t builders\t=   one \t two \t# why",
    b"builders =",
    b"builders =   ",
    b"builders =# nothing",
    b"builders = # nothing",
    b"builders = \xff\xfe",
    b"#builders = one",
    b"extra-builders = three",
    b"max-jobs = 4",
    b"a=b = c",
    b"builders=one",
    b"builders =one",
    b"include = file",
    b"include file",
    b"!include other # optional",
]
FILES = files(LINES)
WORDS = st.lists(st.text(st.characters(exclude_characters=" \t\r\n#", codec="utf-8"), min_size=1), max_size=3)
VALUES = st.one_of(st.sampled_from(["one", "one two", ""]), WORDS.map(" ".join))


def assignments(data: bytes) -> dict[bytes, bytes]:
    """A second reader of the rules of nix_configuration §1: the effective value of every name."""
    found = {}
    for line in data.split(b"\n"):
        tokens = line.split(b"#")[0].replace(b"\t", b" ").replace(b"\r", b" ").split(b" ")
        tokens = [token for token in tokens if token]
        if tokens[1:2] == [b"="] and tokens[0] not in (b"include", b"!include"):
            found[tokens[0]] = b" ".join(tokens[2:])
    return found


@given(FILES, VALUES)
@example(b"builders =   true", "")
@example(b"no final newline", "x")
@example(b"", "x")
def test_what_is_put_in_comes_out_again(data: bytes, value: str) -> None:
    former = nix_conf.written_value(data, NAME)
    kept = json.loads(json.dumps(former))  # as the ledger keeps it
    assert nix_conf.without_setting(nix_conf.with_setting(data, NAME, value), NAME, kept) == data


@given(FILES, VALUES)
def test_a_setting_is_read_back_and_setting_it_again_changes_nothing(data: bytes, value: str) -> None:
    edited = nix_conf.with_setting(data, NAME, value)
    assert nix_conf.value(edited, NAME) == value
    assert nix_conf.with_setting(edited, NAME, value) == edited
    assert assignments(edited) == assignments(data) | {NAME.encode(): value.encode()}


@given(FILES)
def test_reading_agrees_with_the_second_reader(data: bytes) -> None:
    expected = assignments(data).get(NAME.encode())
    seen = nix_conf.value(data, NAME)
    assert (None if seen is None else seen.encode("utf-8", "surrogateescape")) == expected
    if seen is not None:
        assert nix_conf.with_setting(data, NAME, seen) == data


@given(FILES, VALUES)
def test_only_one_line_is_touched_and_its_comment_stays(data: bytes, value: str) -> None:
    before, after = data.split(b"\n"), nix_conf.with_setting(data, NAME, value).split(b"\n")
    if nix_conf.value(data, NAME) is None:
        added = next(i for i, line in enumerate(after) if assignments(line).keys() == {NAME.encode()})
        assert after[:added] + after[added + 1 :] == before or (data == b"" and after == [after[0], b""])
        return
    different = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert len(different) <= 1
    for old, new in different:
        assert new.partition(b"#")[1:] == old.partition(b"#")[1:]
        assert new[: new.index(b"=") + 1] == old[: old.index(b"=") + 1]


def test_the_value_is_changed_in_place() -> None:
    data = b"builders = a\n\tbuilders  =  b   c # mine\r\nmax-jobs = 1"
    edited = nix_conf.with_setting(data, "builders", "d")
    assert edited == b"builders = a\n\tbuilders  =  d # mine\r\nmax-jobs = 1"
    assert nix_conf.without_setting(edited, "builders", "b c") == data.replace(b"b   c", b"b c")


def test_a_line_is_added_before_the_additions_it_would_undo() -> None:
    data = b"a = 1\nextra-system-features = kvm\nb = 2\n"
    edited = nix_conf.with_setting(data, "system-features", "big-parallel")
    assert edited == b"a = 1\nsystem-features = big-parallel\nextra-system-features = kvm\nb = 2\n"


def test_a_file_without_final_newline_gets_one_before_our_line() -> None:
    assert nix_conf.with_setting(b"a = 1", "b", "2") == b"a = 1\nb = 2"
    assert nix_conf.with_setting(b"a = 1\n", "b", "2") == b"a = 1\nb = 2\n"
    assert nix_conf.with_setting(b"", "b", "2") == b"b = 2\n"


def test_names_and_values_at_the_edges() -> None:
    assert nix_conf.with_setting(b"a =  b # c\n", "a", "") == b"a = # c\n"
    assert nix_conf.value(b"a=b  = c", "a=b") == "c"
    assert nix_conf.with_setting(b"a=b  = c", "a=b", "d") == b"a=b  = d"
    assert nix_conf.value(b"include = c", "include") is None


def test_taking_out_what_is_not_there_changes_nothing() -> None:
    assert nix_conf.without_setting(b"a = 1\n", "b", "2") == b"a = 1\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [("a", "1 # 2"), ("a", "1\n2"), ("a", "1  2"), ("a", " 1"), ("a b", "1"), ("", "1"), ("include", "x"), ("#a", "x")],
)
def test_what_nix_would_not_read_as_meant_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"wanted .* saw "):
        nix_conf.with_setting(b"", name, value)


def test_a_former_value_cannot_smuggle_in_a_line() -> None:
    with pytest.raises(ValueError, match="wanted"):
        nix_conf.without_setting(b"a = 1\n", "a", " 1\nb = 2")


def test_syntax_errors_name_line_and_rule() -> None:
    data = b"max-jobs=4\nok = \\\n  more words\nfine = 1\n\nnonsense\ninclude\ninclude a b\n!include c\n  x =y\n"
    problems = nix_conf.syntax_errors(data)
    assert [problem.line for problem in problems] == [1, 3, 6, 7, 8, 10]
    assert [problem.text for problem in problems][:2] == ["max-jobs=4", "  more words"]
    assert "space before and after" in problems[0].reason
    assert "continued" in problems[1].reason
    assert "neither" in problems[2].reason
    assert "exactly one" in problems[3].reason
    assert "exactly one" in problems[4].reason
    assert "space before and after" in problems[5].reason


def test_includes_in_order() -> None:
    data = b"a = 1\n!include nix.custom.conf # users' own\n#include no\n\tinclude /etc/x\ninclude a b\n"
    assert nix_conf.includes(data) == (
        nix_conf.Include(path="nix.custom.conf", optional=True, line=2),
        nix_conf.Include(path="/etc/x", optional=False, line=4),
    )


def nix_show_config(directory: Path, data: bytes) -> subprocess.CompletedProcess[bytes]:
    (directory / "nix.conf").write_bytes(data)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NIX_")}
    environment |= {"NIX_CONF_DIR": str(directory), "NIX_USER_CONF_FILES": ""}
    command = ["nix", "--extra-experimental-features", "nix-command", "show-config"]
    return subprocess.run(command, env=environment, capture_output=True, timeout=30, check=False)


needs_nix = pytest.mark.skipif(shutil.which("nix") is None, reason="no nix on this machine: its parser cannot be asked")
# Nix takes no NUL in a setting it prints, and would read the included files of this machine.
REAL_LINES = [line for line in LINES if b"include" not in line and not line.startswith(b"max-jobs")]
REAL_FILES = files(REAL_LINES, any_line=st.just(b"note-\xff = \xfe"))
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@needs_nix
@few
@given(REAL_FILES, st.sampled_from(["", "@/etc/nix/machines", "ssh-ng://b aarch64-linux - 4 ; @/x", "\\ \" ' é"]))
def test_real_nix_reads_what_was_set(tmp_path: Path, data: bytes, value: str) -> None:
    bad = {problem.line for problem in nix_conf.syntax_errors(data)}
    data = b"\n".join(line for number, line in enumerate(data.split(b"\n"), 1) if number not in bad)
    shown = nix_show_config(tmp_path, nix_conf.with_setting(data, NAME, value))
    assert shown.returncode == 0, shown.stderr
    assert f"builders = {value}".encode() in shown.stdout.splitlines()


@needs_nix
@few
@given(REAL_FILES)
def test_real_nix_refuses_exactly_the_files_with_syntax_errors(tmp_path: Path, data: bytes) -> None:
    shown = nix_show_config(tmp_path, data)
    assert (shown.returncode != 0) == bool(nix_conf.syntax_errors(data)), shown.stderr
