# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback, with a real ansible-playbook: a task that comes to no conversation is a failure that the table names.

The hosts are this machine, which is no Mac: where it is asked at all, it is refused for that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
NO_MAC = "no Mac"


def play(tmp_path: Path, *tasks: dict[str, Any], **of_ill: Any) -> tuple[int, str]:
    """Exit code and output of tasks on two hosts; `of_ill` are the variables of the second."""
    hosts = {"well": {"word": "true"}, "ill": of_ill}
    inventory = {"macs": {"hosts": hosts, "vars": {"ansible_connection": "local"}}}
    (tmp_path / "hosts.json").write_text(json.dumps(inventory))
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "macs", "gather_facts": False, "tasks": list(tasks)}]))
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [program, "-i", tmp_path / "hosts.json", tmp_path / "play.yml"],
        cwd=REPOSITORY,
        env={**os.environ, "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"), "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def table(output: str) -> dict[str, str]:
    """The first line of each host's outcome."""
    lines = output.rpartition("\nOutcome\n")[2].splitlines()
    return {name: rest.strip() for name, _, rest in (line.strip().partition(" ") for line in lines) if rest}


SETTING = {"setting": "keep-outputs", "value": "true"}


def test_what_fails_before_the_mac_is_asked_is_in_the_table(tmp_path: Path) -> None:
    task = {
        "builderfleet.macos.nix_setting": {**SETTING, "value": "{{ word }}"},
        "ignore_errors": True,
    }
    code, output = play(tmp_path, task, word="{{ missing }}")
    found = table(output)
    assert code == 1, output
    assert found["ill"].startswith("failed") and "missing" in found["ill"], output
    assert found["well"].startswith("failed") and NO_MAC in found["well"], output


def test_an_item_of_a_loop_that_fails_before_is_as_well(tmp_path: Path) -> None:
    skipped = {
        "builderfleet.macos.nix_setting": SETTING,
        "loop": [1, 2],
        "when": "false",
    }
    wrong = {"builderfleet.macos.nix_setting": {"value": "{{ item }}"}, "loop": ["a", "b"], "when": "only is defined"}
    code, output = play(tmp_path, skipped, wrong, only="yes")
    assert (code, list(table(output))) == (1, ["ill"]), output
    assert "missing required arguments: setting" in table(output)["ill"], output


@pytest.mark.parametrize("loop", [{}, {"loop": [1]}])
def test_no_log_hides_the_words_and_not_the_failure(tmp_path: Path, loop: dict[str, Any]) -> None:
    task = {
        "builderfleet.macos.launchd_daemon": {
            "label": "a b",
            "program_arguments": ["/x"],
            "environment": {"TOKEN": "s3cret"},
        },
        "no_log": True,
        **loop,
    }
    code, output = play(tmp_path, task)
    assert code == 1 and {name: words.split()[0] for name, words in table(output).items()} == dict.fromkeys(
        ("well", "ill"), "failed"
    ), output
    assert "s3cret" not in output


def test_a_date_without_quotes_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars/ill.yml").write_text("linux_builder_key_rotation: 2026-11-01\n")
    code, output = play(tmp_path, {"builderfleet.macos.linux_builder": {}, "ignore_errors": True})
    assert code == 1
    assert "linux_builder_key_rotation = datetime.date(2026, 11, 1)" in table(output)["ill"], output
