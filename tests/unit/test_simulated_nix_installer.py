# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated nix-installer leaves what the real one leaves: its receipt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from builderfleet.plugin_utils.flavour import Flavour, Observed, flavour
from builderfleet.plugin_utils.formats import receipt

from tests.simulated_mac import nix_installer as installer


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Mac's disk, of which the parts are there that are looked at."""
    for name, path in (("RECEIPT", "receipt.json"),):
        monkeypatch.setattr(installer, name, tmp_path / path)
    monkeypatch.setattr(installer, "world", lambda: {"identity": {"full_disk_access": True}, "faults": {}})
    return tmp_path


def settings(*words: str) -> dict[str, Any]:
    return installer.read_settings(["macos", "--no-confirm", *words])


# The receipt


def written(version: str, monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[receipt.Receipt, dict[str, Any]]:
    monkeypatch.setattr(installer, "VERSION", version)
    installer.write_receipt({action.__name__: "Completed" for action in installer.ACTIONS}, settings(*words))
    data = installer.RECEIPT.read_bytes()
    return receipt.parse(data), json.loads(data)["planner"]


def test_its_receipt_names_the_actions_as_the_real_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, _ = written("2.35.2", monkeypatch)
    assert seen.complete
    assert flavour(Observed(receipt=seen)) is Flavour.NIXOS_INSTALLER
    assert [name for name, _ in seen.actions] == [
        "create_nix_volume",
        "provision_nix",
        "create_users_and_group",
        "set_tmutil_exclusions",
        "configure_nix",
        "configure_remote_building",
        "create_nix_hook_service",
        "create_upstream_init_service",
        "remove_directory",
    ]


def test_its_receipt_has_the_settings_as_the_command_line_gave_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, planner = written("2.35.2", monkeypatch, "--extra-conf", "cores = 4", "--extra-conf", "# c")
    assert seen.settings["extra_conf"] == [{"String": "cores = 4"}, {"String": "# c"}]
    assert planner["root_disk"] is None
    assert "use_ec2_instance_store" not in planner
    newer, planner = written("2.36.0", monkeypatch)
    assert planner["use_ec2_instance_store"] is False
    assert newer.complete
