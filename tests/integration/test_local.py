# SPDX-License-Identifier: GPL-3.0-or-later
"""`pyinfra @local deploy.py` on the Mac itself, as the developer who sits before it: no controller, no SSH."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests.simulated_mac import Lab

from .harness import REPOSITORY

PYTHON = "/usr/bin/python3"  # the host's, which a simulated Mac has in its hidden place
LEFT_BEHIND = (
    "ansible*",
    "mypy*",
    "ruff*",
    "*.dist-info/RECORD",
    "__pycache__",
    "pip",
    "setuptools",
    "hypothesis",
    "pygments",
)


def test_pyinfra_at_local(lab: Lab, variables: dict[str, Any]) -> None:
    version = subprocess.run([PYTHON, "-V"], capture_output=True, text=True, check=False).stdout.split()[-1:]
    if not version or version[0].split(".")[:2] != list(map(str, sys.version_info[:2])):
        pytest.skip(f"{PYTHON} is {version}, so the packages of this environment's Python do not run on it")
    mac = lab.start("local")
    site, checkout = mac.disk / "opt/site", mac.disk / "opt/checkout"
    packages = Path(sysconfig.get_path("purelib"))
    shutil.copytree(packages, site, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    shutil.copytree(REPOSITORY / "plugins", site / "builderfleet", ignore=shutil.ignore_patterns("__pycache__"))
    checkout.mkdir()
    shutil.copy(REPOSITORY / "deploy.py", checkout)

    words = {name: value if isinstance(value, str) else json.dumps(value) for name, value in variables.items()}
    data = " ".join(f"--data '{name}={word}'" for name, word in words.items())
    command = (
        "cd /opt/checkout && HOME=/Users/admin PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/opt/site PYINFRA_PROGRESS=off "
        f"/.simulated-mac/debian{PYTHON} -m pyinfra @local deploy.py -y {data} 2>&1"
    )
    first = mac.run(command, user="admin", check=False, timeout=300)
    assert first.returncode == 0, first.stdout
    assert "changed; proved by a build on Linux" in first.stdout
    assert mac.commands() == []
    mark = mac.mark()
    second = mac.run(command, user="admin", check=False, timeout=100)
    assert second.returncode == 0 and "converged" in second.stdout, second.stdout
    assert [line for line in mac.writes_since(mark) if "/linux-builder/" not in line] == []
    mac.stop()
