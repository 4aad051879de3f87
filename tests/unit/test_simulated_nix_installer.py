# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated nix-installer leaves what the real one leaves: its receipt, Nix's configuration, what it does not take away."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from builderfleet.plugin_utils.flavour import Flavour, Observed, flavour
from builderfleet.plugin_utils.formats import receipt

from tests.simulated_mac import nix_installer as installer

IDENTIFIER = "0A1B2C3D-0000-4000-8000-000000000000"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Mac's disk, of which the parts are there that are looked at."""
    for name, path in (("CONF_FOLDER", "nix"), ("FSTAB", "fstab"), ("RECEIPT", "receipt.json")):
        monkeypatch.setattr(installer, name, tmp_path / path)
    monkeypatch.setattr(installer, "world", lambda: {"identity": {"full_disk_access": True}, "faults": {}})
    return tmp_path


def settings(*words: str) -> dict[str, Any]:
    return installer.read_settings(["macos", "--no-confirm", *words])


def existing(root: Path, text: str, name: str = "nix.custom.conf") -> Path:
    path = root / "nix" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def configured(root: Path, *words: str) -> str:
    """nix.custom.conf after an installation with these words."""
    installer.check_nix_conf(settings(*words))
    installer.write_nix_conf(settings(*words))
    return (root / "nix/nix.custom.conf").read_text()


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


# Nix's configuration


def test_its_files_are_those_that_nix_darwin_knows(root: Path) -> None:
    configured(root, "--enable-flakes")
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:8] for path in (root / "nix").iterdir()} == {
        "nix.conf": "74ee0ae5",
        "nix.custom.conf": "71f7fdc9",
    }


def test_what_is_given_stands_in_the_custom_file_as_settings(root: Path) -> None:
    words = ["trusted-users =  root admin", "# gone", "experimental-features = ca-derivations", "cores = 4 # gone"]
    text = configured(root, *(word for line in words for word in ("--extra-conf", line)))
    assert text == installer.CUSTOM_HEADER + (
        "\ntrusted-users = root admin\nextra-experimental-features = ca-derivations\ncores = 4\n"
    )
    assert "\ntrusted-users = root admin\n\n!include nix.custom.conf\n" in (root / "nix/nix.conf").read_text()


def test_a_line_that_sets_nothing_is_refused() -> None:
    with pytest.raises(installer.Failed, match="`garbage line`"):
        installer.check_nix_conf(settings("--extra-conf", "garbage line"))


def test_a_file_that_is_there_is_merged_under_the_header(root: Path) -> None:
    existing(
        root, "# alone\n\n# lost\nsandbox = true\n# why\n  keep-outputs=no\nfallback = true # as said\n!include more"
    )
    assert configured(root, "--extra-conf", "cores = 4", "--extra-conf", "sandbox = true") == (
        "# alone\n\n# why\n# keep-outputs=no\n"  # what its parser does not read becomes a comment
        "fallback = true# as said\n"
        "\n!include more\n"
        "sandbox = true\n"
        f"\n{installer.CUSTOM_HEADER}\ncores = 4\n"
    )


def test_a_file_that_says_all_of_it_stays_as_it_is(root: Path) -> None:
    existing(root, text := "# mine\nsystem-features = kvm big-parallel\n")
    assert configured(root, "--extra-conf", "system-features = big-parallel") == text
    assert configured(root) == text


def test_run_again_it_changes_nothing(root: Path) -> None:
    first = configured(root, "--extra-conf", "cores = 4"), (root / "nix/nix.conf").read_text()
    assert (configured(root, "--extra-conf", "cores = 4"), (root / "nix/nix.conf").read_text()) == first


@pytest.mark.parametrize(
    ("name", "text", "keys"),
    [
        ("nix.custom.conf", "cores = 2\nsandbox = true\n", "`cores`"),
        ("nix.custom.conf", "cores = 2\nsandbox = false\n", "`cores`, `sandbox`"),
        ("nix.conf", "max-jobs = 1\n", "`max-jobs`"),
    ],
)
def test_what_cannot_be_merged_ends_it_before_anything_is_done(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, text: str, keys: str
) -> None:
    path = existing(root, text, name)
    monkeypatch.setattr(installer, "refuse_unsuitable", lambda: None)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    words = ["--no-confirm", "--extra-conf", "cores = 4", "--extra-conf", "sandbox = true"]
    assert installer.install(words) == 1
    assert f"Could not merge Nix configuration for key(s) {keys}; consider removing" in capsys.readouterr().err
    assert path.read_text() == text
    assert not installer.RECEIPT.exists()


# Uninstalling


def test_of_the_configuration_only_its_two_files_go(root: Path) -> None:
    configured(root)
    machines = existing(root, "ssh-ng://me@elsewhere x86_64-linux\n", "machines")
    existing(root, "# theirs\n")
    installer.remove_nix_conf()
    assert list((root / "nix").iterdir()) == [machines]
    machines.unlink()
    installer.remove_nix_conf()
    assert not (root / "nix").exists()
    installer.remove_nix_conf()


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, ""), ("", ""), ("UUID=X /data apfs rw\n# mine", "UUID=X /data apfs rw\n# mine\n")],
)
def test_fstab_keeps_the_other_lines_and_stays_when_there_are_none(root: Path, before: str | None, after: str) -> None:
    if before is not None:
        (root / "fstab").write_text(before)
    installer.create_fstab_entry(IDENTIFIER)
    assert f"UUID={IDENTIFIER.lower()} /nix apfs " in (root / "fstab").read_text()
    installer.remove_fstab_entry()
    assert (root / "fstab").read_text() == after


def test_an_fstab_that_never_came_is_not_left_by_uninstalling(root: Path) -> None:
    installer.remove_fstab_entry()
    assert not (root / "fstab").exists()
