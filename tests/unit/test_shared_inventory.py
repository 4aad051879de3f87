# SPDX-License-Identifier: GPL-3.0-or-later
"""pyinfra's view of the inventory is Ansible's: ranges, precedence, templates, groups."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from builderfleet.shared_inventory import InventoryError, load

REPOSITORY = Path(__file__).parents[2]

FLEET = """
macs:
  vars: {linux_builder_cores: 2, site: north}
  children:
    studio:
      hosts: {"studio-[1:2]": {ansible_host: "192.0.2.{{ 1 + 1 }}", ansible_user: admin, ansible_port: 2200}}
      vars: {linux_builder_cores: 8}
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    (tmp_path / "fleet.yml").write_text(FLEET)
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/macs.yml").write_text(
        "linux_builder_memory: 4GiB\nsite_name: '{{ site }} {{ inventory_hostname }}'\n"
    )
    return tmp_path / "fleet.yml"


def test_hosts_are_what_ansible_sees(fleet: Path) -> None:
    hosts = load([str(fleet)])
    assert [host.name for host in hosts] == ["studio-1", "studio-2"]
    first = hosts[0]
    assert set(first.groups) == {"macs", "studio"}
    assert first.variables["linux_builder_cores"] == 8
    assert first.variables["linux_builder_memory"] == "4GiB"
    assert first.variables["site_name"] == "north studio-1"
    assert first.connection == {"ssh_hostname": "192.0.2.2", "ssh_user": "admin", "ssh_port": 2200}


def test_an_inventory_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "fleet.yml").write_text("macs: [hosts\n")
    with pytest.raises(InventoryError, match=r"fleet\.yml"):
        load([str(tmp_path / "fleet.yml")])


def test_the_inventory_of_the_repository_has_no_hosts_yet() -> None:
    assert load([str(REPOSITORY / "inventory")]) == []


def test_pyinfra_at_local_on_linux_refuses_in_a_sentence() -> None:
    if sys.platform == "darwin":
        pytest.skip("this is a Mac: there it is the main job")
    pin = f"linux_builder_nixpkgs=github:NixOS/nixpkgs/{'a' * 40}"
    done = subprocess.run(
        [sys.executable, "-m", "pyinfra", "@local", "deploy.py", "-y", "--data", pin],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert (
        "this is no Mac: its kernel is Linux. Run `./rollout` to try builderfleet against a simulated Mac"
        in done.stderr
    )
