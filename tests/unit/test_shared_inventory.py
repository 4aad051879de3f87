# SPDX-License-Identifier: GPL-3.0-or-later
"""pyinfra's view of the inventory is Ansible's: ranges, precedence, templates, groups, host_vars, vault, patterns."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from builderfleet.plugin_utils.variables import values
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


# What people put into an inventory that can be seen in more than one way. Of what stands twice, Ansible decides.
TRICKY = {
    "fleet.yml": """
all:
  vars: {everywhere: all, twice: all}
macs:
  vars: {twice: macs inline, from_child: macs inline}
  children:
    canary:
      hosts: {studio-1: {inline: yes, octal: 0644}}
    laptops:
      hosts:
        anna: {ansible_host: "{{ address }}", ansible_become_pass: "{{ secret }}", twice: anna inline}
        bert:
      vars: {from_child: laptops inline}
intel:
  hosts: {bert: }
""",
    "group_vars/all.yml": "everywhere: group_vars\n",
    "group_vars/macs.yml": (
        "twice: group_vars\nfrom_child: group_vars\naddress: 192.0.2.{{ group_names | length }}\n"
        "group_size: 3\ninventory_note: mine\nlist: ['{{ twice }}', {deep: '{{ everywhere }}'}]\n"
    ),
    "group_vars/laptops.yml": "weight: light\n",
    "host_vars/anna.yml": "twice: host_vars\nweight: heavy\n",
}
SHOWN = (
    "everywhere",
    "twice",
    "from_child",
    "weight",
    "inline",
    "octal",
    "address",
    "group_size",
    "inventory_note",
    "list",
)


@pytest.fixture
def tricky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with such an inventory, a vault in it, and the vault's password."""
    for name, text in TRICKY.items():
        (tmp_path / "inventory" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "inventory" / name).write_text(text)
    (tmp_path / "password").write_text("sesame\n")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(tmp_path / "password"))
    vault = ansible("ansible-vault", "encrypt_string", "open", "--name", "secret")
    (tmp_path / "inventory/host_vars/anna.yml").open("a").write(vault)
    return tmp_path / "inventory"


def ansible(program: str, *arguments: str) -> str:
    """What one of Ansible's commands prints."""
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    environment = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    return done.stdout


def seen_by_ansible(inventory: Path, limit: str) -> dict[str, dict[str, object]]:
    """What Ansible itself makes of each host's variables, as a task would see them."""
    names = ", ".join(f"'{name}': {name} | default('(none)')" for name in (*SHOWN, "secret"))
    shown = f"SEEN {{{{ {{'host': inventory_hostname, 'groups': group_names, {names}}} | to_json }}}}"
    play = {"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.debug": {"msg": shown}}]}
    (inventory.parent / "play.yml").write_text(json.dumps([play]))
    said = ansible("ansible-playbook", "-i", str(inventory), "--limit", limit, str(inventory.parent / "play.yml"))
    decoded = [json.loads(line.partition(": ")[2]) for line in said.splitlines() if '"msg": "SEEN' in line]
    hosts = [json.loads(each.removeprefix("SEEN ")) for each in decoded]
    return {each.pop("host"): each for each in hosts}


@pytest.mark.parametrize("limit", ["all", "macs:!canary", "laptops:&intel", "~(anna|stud.*)", "bert,studio-*"])
def test_every_host_and_value_is_what_a_task_of_ansible_sees(tricky: Path, limit: str) -> None:
    expected = seen_by_ansible(tricky, limit)
    assert expected
    assert {
        host.name: {name: host.variables.get(name, "(none)") for name in (*SHOWN, "secret")}
        | {"groups": sorted(host.groups)}
        for host in load([str(tricky)], limit)
    } == expected


def test_a_password_from_the_vault_is_sudos(tricky: Path) -> None:
    anna = next(host for host in load([str(tricky)]) if host.name == "anna")
    assert anna.connection == {"ssh_hostname": "192.0.2.2", "_sudo_password": "open"}


def test_a_vault_without_its_password_is_the_trouble_of_whom_it_is_for(
    tricky: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANSIBLE_VAULT_PASSWORD_FILE")
    troubles = {host.name: host.trouble for host in load([str(tricky)])}
    assert "ansible_become_pass" in troubles["anna"] and "vault" in troubles["anna"].lower()
    assert [name for name, trouble in troubles.items() if trouble] == ["anna"]


def test_a_file_of_a_vault_without_its_password_is_as_well(tricky: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ansible("ansible-vault", "encrypt", str(tricky / "host_vars/anna.yml"))
    monkeypatch.delenv("ANSIBLE_VAULT_PASSWORD_FILE")
    troubles = {host.name: host.trouble for host in load([str(tricky)])}
    assert "vault" in troubles["anna"].lower()
    assert [name for name, trouble in troubles.items() if trouble] == ["anna"]


def test_what_ansible_would_never_render_here_is_left_out(fleet: Path) -> None:
    (fleet.parent / "group_vars/macs.yml").write_text(
        "bought: 2026-11-01\nfact: '{{ ansible_facts.hostname }}'\n"
        "other: '{{ hostvars[\"studio-2\"].inventory_hostname }}'\n"
    )
    variables = load([str(fleet)])[0].variables
    assert (variables["bought"], variables["other"]) == (datetime.date(2026, 11, 1), "studio-2")
    assert "fact" not in variables


@pytest.mark.parametrize("name", ["linux_builder_cores", "ansible_user"])
def test_what_is_needed_and_cannot_be_rendered_is_named(fleet: Path, name: str) -> None:
    (fleet.parent / "host_vars").mkdir()
    (fleet.parent / "host_vars/studio-1.yml").write_text(f"{name}: '{{{{ missing }}}}'\n")
    first, second = load([str(fleet)])
    assert name in first.trouble and "missing" in first.trouble
    assert not second.trouble


def test_a_date_is_refused_by_its_name(fleet: Path) -> None:
    (fleet.parent / "group_vars/macs.yml").write_text("linux_builder_key_rotation: 2026-11-01\n")
    _, (wrong,) = values(load([str(fleet)])[0].variables)
    assert "linux_builder_key_rotation: " in str(wrong) and "in quotes" in str(wrong)


def test_a_pattern_that_names_nobody_is_nobody(tricky: Path) -> None:
    assert load([str(tricky)], "intel:&canary") == []


def groups_of_pyinfra(inventory: Path, **environment: str) -> dict[str, list[str]]:
    """The groups that inventory.py has, with the names of their hosts."""
    code = (
        "import json, runpy; print(json.dumps({k: [h[0] for h in v] for k, v in runpy.run_path('inventory.py').items()"
    )
    code += " if isinstance(v, list) and not k.startswith('_')}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={**os.environ, "BUILDERFLEET_INVENTORY": str(inventory), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def test_pyinfra_gets_the_macs_in_their_groups_and_nobody_else(tricky: Path) -> None:
    """The hosts that the playbooks are for; BUILDERFLEET_LIMIT is Ansible's pattern."""
    (tricky / "servers.yml").write_text("servers: {hosts: {web: }}\n")
    assert groups_of_pyinfra(tricky, BUILDERFLEET_LIMIT="all:!bert") == {
        "macs": ["studio-1", "anna"],
        "canary": ["studio-1"],
        "laptops": ["anna"],
    }


def test_an_inventory_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "fleet.yml").write_text("macs: [hosts\n")
    with pytest.raises(InventoryError, match=r"YAML parsing failed.*fleet\.yml") as said:
        load([str(tmp_path / "fleet.yml")])
    assert "\n" not in str(said.value)


def test_a_group_has_ansibles_own_name_as_well(tmp_path: Path) -> None:
    (tmp_path / "hosts.json").write_text('{"team-a": {"hosts": {"anna": {}}}, "macs": {"children": {"team-a": {}}}}')
    assert set(groups_of_pyinfra(tmp_path / "hosts.json")) == {"macs", "team-a", "team_a"}


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
