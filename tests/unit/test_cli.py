# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `builderfleet`: rollout hands everything on to pyinfra, the other commands know their own words."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from builderfleet import cli


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
    assert "5 unreachable" in " ".join(capsys.readouterr().out.split())
