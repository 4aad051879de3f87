# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of a command line that pyinfra would end in tracebacks at, or find nobody by."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from builderfleet.pyinfra_words import WrongWords, fitting


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["inventory.py", "deploy.py", "--dry", "-vv"], ["inventory.py", "deploy.py", "--dry", "-vv"]),
        (["--limit", "a,b,!c"], ["--limit", "a", "--limit", "b", "--exclude", "c"]),
        (["--limit=macs:!canary"], ["--limit", "macs", "--exclude", "canary"]),
        (["--limit", "mac*"], ["--limit", "mac*"]),
        (["--data", "linux_builder_cores=8"], ["--data", "linux_builder_cores=8"]),
        (["--data=nix_proxy=http://proxy:1"], ["--data", "nix_proxy=http://proxy:1"]),
        (["@local", "deploy.py"], ["@local", "deploy.py"]),
    ],
)
def test_what_pyinfra_gets(given: list[str], taken: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("inventory.py", "deploy.py"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert fitting(given) == taken


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["--data", "name"], "--data wants NAME=VALUE, such as linux_builder_cores=8, saw 'name'"),
        (["--data"], "--data wants NAME=VALUE"),
        (["--limit"], "--limit wants a host's or a group's name, saw ''"),
        (["--limit", "--dry"], "--limit wants a host's or a group's name, saw '--dry'"),
        (["--limit", "&canary"], "set BUILDERFLEET_LIMIT='&canary'"),
        (["--limit", "mac[1:3]"], "set BUILDERFLEET_LIMIT="),
        (["nowhere.py", "deploy.py"], "wanted INVENTORY and DEPLOY, saw nowhere.py, and there is no such file"),
    ],
)
def test_what_cannot_be_meant_is_said(given: list[str], problem: str) -> None:
    with pytest.raises(WrongWords) as wrong:
        fitting(given)
    assert problem in str(wrong.value)


def test_it_is_said_before_anybody_is_asked() -> None:
    """In a process of its own: pyinfra's gevent would patch this one, and whoever runs tests in it."""
    command = [sys.executable, "-m", "builderfleet.cli", "rollout", "--data", "name"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "failed: --data wants NAME=VALUE, such as linux_builder_cores=8, saw 'name'\n",
    )
