# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback, with a real ansible-playbook: a task that comes to no conversation is a failure that the table names.

The hosts are this machine, which is no Mac: where it is asked at all, it is refused for that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible import context
from ansible_collections.builderfleet.macos.plugins.callback import outcomes

REPOSITORY = Path(__file__).parents[2]
NO_MAC = "no Mac"


def play(tmp_path: Path, *tasks: dict[str, Any], **of_ill: Any) -> tuple[int, str]:
    """Exit code and output of tasks on two hosts; `of_ill` are the variables of the second."""
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "macs", "gather_facts": False, "tasks": list(tasks)}]))
    done = playbook(tmp_path, str(tmp_path / "play.yml"), **of_ill)
    return done.returncode, done.stdout + done.stderr


def playbook(
    tmp_path: Path, *arguments: str, environment: Mapping[str, str] | None = None, **of_ill: Any
) -> subprocess.CompletedProcess[str]:
    """A playbook on the two hosts."""
    hosts = {"well": {"word": "true"}, "ill": of_ill}
    inventory = {"macs": {"hosts": hosts, "vars": {"ansible_connection": "local"}}}
    (tmp_path / "hosts.json").write_text(json.dumps(inventory))
    return subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", tmp_path / "hosts.json", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"), "HOME": str(tmp_path), **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def table(output: str) -> dict[str, str]:
    """The first line of each host's outcome."""
    lines = output.rpartition("\nOutcome\n")[2].splitlines()
    return {name: rest.strip() for name, _, rest in (line.strip().partition(" ") for line in lines) if rest}


SETTING = {"setting": "keep-outputs", "value": "true"}


def test_what_fails_before_the_mac_is_asked_is_in_the_table(tmp_path: Path) -> None:
    code, output = play(
        tmp_path, {"builderfleet.macos.nix_setting": {**SETTING, "value": "{{ word }}"}}, word="{{ missing }}"
    )
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
    assert table(output)["ill"].startswith("failed  builderfleet.macos.nix_setting: "), "it names the task"


@pytest.mark.parametrize("loop", [{}, {"loop": [1]}])
def test_no_log_hides_the_words_and_not_the_failure(tmp_path: Path, loop: dict[str, Any]) -> None:
    task = {
        "builderfleet.macos.launchd_daemon": {
            "label": "s3cret b",
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
    code, output = play(tmp_path, {"builderfleet.macos.linux_builder": {}})
    assert code == 1
    assert "linux_builder_key_rotation: it is a word such as 2026-11, in quotes" in table(output)["ill"], output


def test_what_its_author_ignores_or_rescues_counts_for_nothing(tmp_path: Path) -> None:
    wrong = {"builderfleet.macos.nix_setting": SETTING}
    rescued = {"block": [wrong], "rescue": [{"ansible.builtin.debug": {"msg": "rescued"}}]}
    code, output = play(tmp_path, {**wrong, "ignore_errors": True}, {**wrong, "failed_when": False}, rescued)
    assert code == 0 and "rescued=1" in output, output
    assert "Outcome" not in output and "No Mac was asked" not in output
    code, output = play(tmp_path, rescued, {**wrong, "when": "only is defined"}, only=1)
    assert (code, list(table(output))) == (1, ["ill"]), output


def test_beside_a_programs_output_the_table_is_on_the_standard_error(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(
        json.dumps([{"hosts": "macs", "gather_facts": False, "tasks": [{"builderfleet.macos.nix_setting": SETTING}]}])
    )
    done = playbook(tmp_path, str(tmp_path / "play.yml"), environment={"ANSIBLE_STDOUT_CALLBACK": "minimal"})
    assert "Outcome" not in done.stdout and set(table(done.stderr)) == {"well", "ill"}, done


def test_environment_is_not_ignored_without_a_word(tmp_path: Path) -> None:
    _, output = play(tmp_path, {"builderfleet.macos.nix_setting": SETTING, "environment": {"HTTPS_PROXY": "http://p"}})
    assert "nix_setting takes nothing from `environment`" in output.replace("\n", " "), output


def test_that_nobody_listens_is_no_drift(tmp_path: Path) -> None:
    elsewhere = {"ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.junit"}
    done = playbook(tmp_path, "playbooks/drift.yml", environment=elsewhere)
    assert done.returncode == 1 and "Wanted the callback builderfleet.macos.outcomes" in done.stderr, done
    assert NO_MAC not in done.stdout + done.stderr
    for name in ("rollout", "doctor"):
        first = yaml.safe_load((REPOSITORY / f"playbooks/{name}.yml").read_text())[0]
        assert first["tasks"][0]["run_once"] == "{{ __builderfleet_once }}"


def test_one_hosts_connection_variable_is_its_own_failure(tmp_path: Path) -> None:
    """Of the host that is first, too."""
    done = playbook(tmp_path, "playbooks/rollout.yml", "-e", "builderfleet_hosts=ill,well", ansible_user="{{ nosuch }}")
    found = table(done.stdout)
    assert done.returncode == 1 and set(found) == {"ill", "well"}, done
    assert "nosuch" in done.stdout and NO_MAC in done.stdout, done
    removal = playbook(tmp_path, "playbooks/remove.yml", "-e", "confirm=remove", ansible_user="{{ nosuch }}")
    assert "Wanted the word" not in removal.stdout and set(table(removal.stdout)) == {"ill", "well"}, removal


CANARY, OTHER = "canary-1", "other-1"


class Told:
    """What the callback hears of a playbook's results, without Ansible around it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        monkeypatch.setattr(outcomes, "say", self.said.append)
        monkeypatch.setattr(context, "CLIARGS", {"check": False})
        self.callback = outcomes.CallbackModule()
        monkeypatch.setattr(self.callback, "get_option", lambda name: None)

    def play(self, path: Path) -> None:
        self.callback.v2_playbook_on_play_start(SimpleNamespace(get_path=lambda: f"{path}:1"))

    def result(self, host: str, outcome: str, remark: str, *, dry: bool = False) -> Any:
        action = "builderfleet.macos.linux_builder"
        task = SimpleNamespace(
            resolved_action=action, check_mode=dry, delegate_to=None, _uuid="x", get_name=lambda: "builder"
        )
        host_ = SimpleNamespace(get_name=lambda: host)
        return SimpleNamespace(task=task, host=host_, result={"outcome": outcome, "remark": remark})

    def end(self) -> tuple[int, str]:
        try:
            self.callback.v2_playbook_on_stats(SimpleNamespace(summarize=lambda name: {"failures": 1}))
        except SystemExit as ended:
            return int(str(ended.code)), "\n".join(self.said)
        return 0, "\n".join(self.said)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    return Told(monkeypatch)


def test_a_rollout_that_stops_says_because_of_whom(told: Told) -> None:
    told.play(REPOSITORY / "playbooks/rollout.yml")
    for mac in (CANARY, OTHER, "other-2"):
        told.callback.v2_runner_on_ok(told.result(mac, "would change", "make a key", dry=True))
    told.callback.v2_runner_on_failed(told.result("broken", "failed", "rubbish", dry=True))
    told.callback.v2_runner_on_failed(told.result(CANARY, "failed", "no room"))
    assert told.end() == (
        1,
        f"""
Outcome
  broken    failed        rubbish
  canary-1  failed        no room
  other-1   would change  not done: the rollout stopped when canary-1 failed
                          make a key
  other-2   would change  the same as {OTHER}
Put canary-1 right, or leave it out for now with --limit 'all:!canary-1', and run it again.""",
    )


def test_a_mac_that_fails_when_it_is_asked_stops_nothing(told: Told) -> None:
    told.play(REPOSITORY / "playbooks/rollout.yml")
    told.callback.v2_runner_on_failed(told.result("broken", "failed", "rubbish", dry=True))
    told.callback.v2_runner_on_ok(told.result(OTHER, "would change", "make a key", dry=True))
    told.callback.v2_runner_on_ok(told.result(OTHER, "changed", "make a key"))
    code, said = told.end()
    assert code == 1 and "stopped" not in said and "not done" not in said


def test_what_a_task_only_looks_at_is_no_drift(told: Told, tmp_path: Path) -> None:
    told.play(tmp_path / "site.yml")
    told.callback.v2_runner_on_ok(told.result(OTHER, "would change", "make a key", dry=True))
    assert told.end() == (0, "")
    told.callback.v2_runner_on_failed(told.result(OTHER, "failed", "rubbish", dry=True))
    assert told.end()[0] == 1


def test_a_playbook_of_ours_counts_all_that_it_only_looks_at(told: Told) -> None:
    told.play(REPOSITORY / "playbooks/drift.yml")
    told.callback.v2_runner_on_ok(told.result(OTHER, "would change", "make a key", dry=True))
    code, said = told.end()
    assert code == 2 and "not done" not in said
