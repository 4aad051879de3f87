# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `builderfleet`: rollout hands everything on to pyinfra, the other commands know their own words."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from builderfleet import cli
from builderfleet.plugin_utils.outcome import Outcome


@pytest.mark.parametrize(
    "words",
    [
        ["inventory.py", "deploy.py"],
        ["inventory.py", "deploy.py", "--limit", "canary", "--dry"],
        ["@local", "-y", "deploy.py", "--data", "a=b", "-vvv", "--parallel=40"],
        ["--debug-all", "inventory.py", "deploy.py", "--group", "x", "--file"],
    ],
)
def test_rollout_hands_its_words_on_in_their_order(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[str] = []

    def rollout(arguments: Sequence[str]) -> int:
        handed.extend(arguments)
        return 3

    monkeypatch.setattr(cli, "rollout", rollout)
    assert cli.main(["rollout", *words]) == 3
    assert handed == words


@pytest.mark.parametrize(
    "words", [[], ["nonsense"], ["pin", "--nonsense"], ["pin", "word"], ["enroll", "mac", "--limit=x"]]
)
def test_a_wrong_command_line_ends_with_failed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert end.value.code == 1
    assert "usage: builderfleet" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["enroll", "--help"], ["pin", "--help"]])
def test_help_tells_the_exit_codes(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert end.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    codes = {each.code: [word.word for word in Outcome if word.code == each.code] for each in Outcome}
    assert " ".join(f"{code} {', '.join(words)}" for code, words in sorted(codes.items())) in said


def test_version_names_what_it_runs_with(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert re.fullmatch(r"builderfleet [0-9.]+ \(pyinfra [0-9.]+, ansible-core [0-9.]+, Python [0-9.]+\)\n", said)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_completion_is_a_script_of_that_shell_with_every_command(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--print-completion", shell])
    script = capsys.readouterr().out
    assert end.value.code == 0 and all(name in script for name in ("rollout", "doctor", "enroll", "pin"))
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here to read it")
    assert subprocess.run([shell, "-n"], input=script, text=True, capture_output=True, check=False).stderr == ""


@pytest.mark.parametrize(("no_color", "coloured"), [("1", False), ("", True)])
def test_who_wants_no_colours_gets_none(no_color: str, coloured: bool, tmp_path: Path) -> None:
    """On a terminal, where pyinfra has them; an empty NO_COLOR is none (no-color.org)."""
    (tmp_path / "deploy.py").write_text("from pyinfra import host\nhost.log_styled('careful', fg='red')\n")
    (tmp_path / "inventory.py").write_text("macs = ['@local']\n")
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "builderfleet.cli", "rollout", "inventory.py", "deploy.py", "--dry"]
    process = subprocess.Popen(
        words, cwd=tmp_path, env={**os.environ, "NO_COLOR": no_color}, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    said = b""
    try:
        while some := os.read(ours, 65536):
            said += some
    except OSError:  # how Linux says that a terminal has no other end any more
        pass
    os.close(ours)
    process.wait(20)
    assert b"careful" in said
    assert (b"\x1b[31m" in said) is coloured, said
    assert (b"\x1b[1m" in said) is coloured, said
