# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as somebody else installs it: what is in it, and that it works far from this checkout.

Installed from a tarball it has another path, no ansible.cfg and no symbolic links, and what is pyinfra's is not there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
ACTIONS = sorted(path.stem for path in (ROOT / "plugins/action").glob("[!_]*.py"))
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))


class Elsewhere:
    """A directory of somebody else's, with the collection installed in it."""

    def __init__(self, directory: Path) -> None:
        self.home = directory
        self.run("ansible-galaxy", "collection", "build", "--output-path", str(directory), str(ROOT))
        (tarball,) = directory.glob("*.tar.gz")
        self.run("ansible-galaxy", "collection", "install", "--offline", str(tarball))
        self.collection = directory / "collections/ansible_collections/builderfleet/macos"

    def run(self, *command: str) -> str:
        """Run a command of Ansible's here; what it printed."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
        environment |= {"HOME": str(self.home), "ANSIBLE_COLLECTIONS_PATH": str(self.home / "collections")}
        ran = subprocess.run(
            [BIN / command[0], *command[1:]],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{' '.join(command)}: {ran.stdout}{ran.stderr}"
        return ran.stdout

    def documentation(self, kind: str, names: Sequence[str]) -> set[str]:
        """Those of the plugins that ansible-doc can explain."""
        full = [f"builderfleet.macos.{name}" for name in names]
        said = json.loads(self.run("ansible-doc", "--json", "-t", kind, *full))
        return {name.rpartition(".")[2] for name, about in said.items() if about.get("doc")}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    return Elsewhere(tmp_path_factory.mktemp("elsewhere"))


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir() if path.name != "__pycache__"}


def test_it_holds_what_is_ansibles_and_nothing_else(elsewhere: Elsewhere) -> None:
    """A new file that is neither belongs into galaxy.yml's build_ignore."""
    assert names(elsewhere.collection) == {
        "CHANGELOG.md",
        "FILES.json",
        "LICENSE",
        "MANIFEST.json",
        "README.md",
        "meta",
        "playbooks",
        "plugins",
        "roles",
    }
    assert names(elsewhere.collection / "plugins") == {
        "__init__.py",
        "action",
        "callback",
        "doc_fragments",
        "modules",
        "plugin_utils",
    }
    assert not [path for path in elsewhere.collection.rglob("*") if path.is_symlink()]


def test_every_action_is_explained(elsewhere: Elsewhere) -> None:
    assert elsewhere.documentation("module", ACTIONS) == set(ACTIONS)


def test_the_callback_is_explained(elsewhere: Elsewhere) -> None:
    assert elsewhere.documentation("callback", ["outcomes"]) == {"outcomes"}


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_every_playbook_is_found_and_parsed(elsewhere: Elsewhere, name: str) -> None:
    assert "playbook: " in elsewhere.run("ansible-playbook", "--syntax-check", f"builderfleet.macos.{name}")


def test_every_action_can_be_loaded(elsewhere: Elsewhere) -> None:
    """That it imports shows when a task wants it. Nothing is asked: no action takes this option."""
    slip = {"linux_builder_slip": True}
    tasks = [{"name": name, f"builderfleet.macos.{name}": slip, "ignore_errors": True} for name in ACTIONS]
    play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
    (elsewhere.home / "every.yml").write_text(json.dumps([play]))
    said = elsewhere.run("ansible-playbook", "--check", "--connection=local", "every.yml")
    assert said.count("...ignoring") == len(ACTIONS), said
    assert "Traceback" not in said
