# SPDX-License-Identifier: GPL-3.0-or-later
"""What is Ansible's alone: single actions with check mode and return values, roles and their tags, and the playbooks."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.simulated_mac import Lab, SimulatedMac

from .harness import REPOSITORY, Ansible, FrontEnd, Run, read_run, writes_since

MACHINES = "/etc/nix/machines"
LABEL = "org.builderfleet.linux-builder"
REGISTER = f"register ssh-ng://builder@builderfleet in {MACHINES}"
PARTS = {"Key pair", "Host for ssh", "Machine", "Setting", "Daemon"}
ALL_PARTS = PARTS | {"Nix"}


def results(ansible: Ansible, mac: SimulatedMac, *arguments: str, **variables: Any) -> dict[str, dict[str, Any]]:
    """The results of the tasks of tests/integration/playbooks/parts.yml, by the tasks' names."""
    ansible.write_inventory([mac])
    command = [*ansible.playbook("rollout")[:-1], "tests/integration/playbooks/parts.yml", *arguments]
    done = subprocess.run(
        [*command, "-e", json.dumps(variables)],
        cwd=REPOSITORY,
        env={
            **ansible.environment(),
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).with_name("callbacks")),
            "ANSIBLE_STDOUT_CALLBACK": "every_result",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = [
        json.loads(line.removeprefix("RESULT ")) for line in done.stdout.splitlines() if line.startswith("RESULT ")
    ]
    assert found, done.stdout + done.stderr
    return {each["task"]: each["result"] for each in found}


def changed(found: dict[str, dict[str, Any]]) -> set[str]:
    assert not [name for name, each in found.items() if each.get("failed")], found
    return {name for name, each in found.items() if each.get("changed")}


def foreign(mac: SimulatedMac) -> dict[str, Any]:
    return mac.snapshot(ignore=("/nix/*", "/private/var/lib/builderfleet*"))


def test_actions_change_then_do_not_then_take_back(converged: SimulatedMac, ansible: Ansible) -> None:
    before = foreign(converged)
    mark = converged.mark()
    check = results(ansible, converged, "--check", "--diff")
    assert changed(check) == PARTS
    assert writes_since(converged, mark) == []

    first = results(ansible, converged, "--diff")
    assert changed(first) == PARTS and set(first) - {"Build"} == ALL_PARTS
    assert {name: each.get("changes") for name, each in first.items()} == {
        name: each.get("changes") for name, each in check.items()
    }
    assert {name: first[name]["outcome"] for name in ALL_PARTS} == dict.fromkeys(PARTS, "changed") | {
        "Nix": "converged"
    }
    assert "ssh-ng://builder@big-builder x86_64-linux" in first["Machine"]["diff"][0]["after"]
    assert "PRIVATE KEY" not in json.dumps(first)
    assert converged.run("ssh -G big-builder | grep '^hostname '").stdout == "hostname 192.0.2.7\n"

    spawned, commands = converged.spawns("org.example.parts"), len(converged.commands())
    assert changed(results(ansible, converged)) == set()
    assert len(converged.commands()) - commands == len(ALL_PARTS), "one command a task"
    assert converged.spawns("org.example.parts") == spawned
    assert changed(results(ansible, converged, parts_colour="blue")) == {"Daemon"}

    assert changed(results(ansible, converged, parts_state="absent")) == PARTS
    after = foreign(converged)
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} == set()


def test_a_build_by_itself_is_no_change(converged: SimulatedMac, ansible: Ansible) -> None:
    built = results(ansible, converged, parts_state="absent", parts_build="first")["Build"]
    assert (built["changed"], built["outcome"]) == (False, "converged")
    assert built["changes"] == ["prove it with a Linux build for aarch64-linux"]
    assert results(ansible, converged, parts_state="absent", parts_build="first")["Build"]["changes"] == []


def test_a_wrong_option_is_refused_before_the_mac_is_asked(converged: SimulatedMac, ansible: Ansible) -> None:
    commands = len(converged.commands())
    ansible.write_inventory([converged])
    for module, arguments, said in (
        ("nix_machine", {"uri": "ssh://a", "system": "x86_64-linux"}, "no such option; systems was meant?"),
        ("nix_machine", {"state": "present"}, "uri"),
        ("builder_vm", {"memory": "8GB"}, "write 8GiB"),
        ("linux_builder", {"cores": 4}, "no such option; linux_builder_cores was meant?"),
        ("linux_builder", {"phases": []}, "nothing would be looked at"),
        ("linux_builder", {"phases": ["all"]}, "there is no phase all; they are nix, key"),
        ("linux_builder", {"phases": "all"}, "phases: there is no phase all"),
        ("nix_machine", {"uri": "a"}, "uri"),
        ("ssh_host", {"alias": "x", "file": "../y"}, "it is the name of a file, without a directory"),
        ("ssh_keypair", {"path": "relative"}, "it is the absolute path"),
        ("launchd_daemon", {"label": "org.example.x"}, "it is the program and its arguments"),
        ("launchd_daemon", {"label": "../x", "program_arguments": ["/bin/true"]}, "it is a label: letters"),
        ("linux_builder", {"linux_builder_memory": "8GB"}, "write 8GiB"),
    ):
        run = ad_hoc(ansible, converged, f"builderfleet.macos.{module}", json.dumps(arguments))
        assert run.returncode != 0 and said in run.stdout + run.stderr, (module, run.stdout, run.stderr)
    assert len(converged.commands()) == commands


def ad_hoc(ansible: Ansible, mac: SimulatedMac, module: str, arguments: str) -> subprocess.CompletedProcess[str]:
    """One task, as `ansible -m` runs it."""
    program, *inventory = ansible.playbook("rollout")[:-1]
    return subprocess.run(
        [program.removesuffix("-playbook"), *inventory, mac.name, "--become", "-m", module, "-a", arguments],
        cwd=REPOSITORY,
        env=ansible.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


# --- roles ---------------------------------------------------------------------------------------------------------


def roles(ansible: Ansible, mac: SimulatedMac, *arguments: str, **variables: Any) -> Run:
    ansible.write_inventory([mac], variables)
    return ansible.execute([*ansible.playbook("rollout")[:-1], "tests/integration/playbooks/roles.yml", *arguments])


def test_a_tag_does_its_phase_alone(converged: SimulatedMac, ansible: Ansible) -> None:
    ssh = "/etc/ssh/ssh_config.d/150-builderfleet.conf"
    converged.run(f"rm {MACHINES} {ssh}")
    one = roles(ansible, converged, "--tags", "linux_builder_machine")
    assert (one.outcome, one.changes) == ("changed", (REGISTER,)), one.output
    assert not converged.exists(ssh)
    rest = roles(ansible, converged, "--skip-tags", "linux_builder_build,ssh,vm")  # the last two are somebody else's
    assert (rest.outcome, rest.changes) == ("changed", ("write ssh host builderfleet",)), rest.output
    proof = roles(ansible, converged, "--tags", "linux_builder_build")
    assert proof.outcome == "converged" and "prove it with a Linux build" in proof.output, proof.output
    commands = len(converged.commands())
    last = roles(ansible, converged)
    assert last.outcome == "converged"
    assert len(converged.commands()) - commands == 2, "one command a role"


def test_a_tag_on_the_role_runs_its_one_task(converged: SimulatedMac, ansible: Ansible, tmp_path: Path) -> None:
    play = {
        "hosts": "macs",
        "gather_facts": False,
        "become": True,
        "roles": [{"role": "builderfleet.macos.linux_builder", "tags": ["mac"]}],
    }
    (tmp_path / "tagged.yml").write_text(json.dumps([play]))
    ansible.write_inventory([converged])
    for arguments in ([], ["--tags", "mac"], ["--tags", "mac,linux_builder_ssh", "--check"]):
        commands = len(converged.commands())
        run = ansible.execute([*ansible.playbook("rollout")[:-1], str(tmp_path / "tagged.yml"), *arguments])
        assert run.outcome == "converged", run.output
        assert len(converged.commands()) - commands <= (2 if "--check" in arguments else 1), run.output


def test_a_part_of_it_is_not_taken_back(converged: SimulatedMac, ansible: Ansible) -> None:
    """What is taken back is so in an order of its own, and the ledger goes last."""
    mark = converged.mark()
    for arguments in (["--tags", "linux_builder_cleanup"], ["--skip-tags", "linux_builder_machine"]):
        run = roles(ansible, converged, *arguments, linux_builder_state="absent")
        assert run.code == 1 and "takes all of it back, in an order of its own" in run.output, run.output
    assert writes_since(converged, mark) == []


def test_a_wrong_variable_is_refused_by_the_role(converged: SimulatedMac, ansible: Ansible) -> None:
    commands = len(converged.commands())
    run = roles(ansible, converged, linux_builder_cores="four")
    assert run.code == 1 and "linux_builder_cores" in run.output, run.output
    assert len(converged.commands()) - commands <= 1, "the role of Nix has nothing against it"


# --- playbooks -----------------------------------------------------------------------------------------------------


def test_rotate_keys(converged: SimulatedMac, ansible: Ansible) -> None:
    key = converged.read("/etc/nix/builderfleet_ed25519.pub")
    spawned = converged.spawns(LABEL)
    ansible.write_inventory([converged])
    run = ansible.execute(ansible.playbook("rotate_keys"))
    assert (run.outcome, run.code) == ("changed", 0), run.output
    assert converged.read("/etc/nix/builderfleet_ed25519.pub") != key
    assert converged.spawns(LABEL) == spawned
    again = ansible.execute(ansible.playbook("rotate_keys"))
    assert (again.outcome, again.code) == ("converged", 0), again.output
    assert ansible.run(converged).outcome == "converged"
    other = ansible.execute(ansible.playbook("rotate_keys", "--check", "-e", "linux_builder_key_rotation=another"))
    assert (other.outcome, other.code) == ("would change", 2), other.output


def test_doctor(converged: SimulatedMac, ansible: Ansible) -> None:
    ansible.write_inventory([converged])
    well = ansible.execute(ansible.playbook("doctor"))
    assert (well.outcome, well.code) == ("converged", 0), well.output
    for check in ("nix", "daemon", "job", "port", "host key", "key", "ssh", "disk", "clock", "dns", "cache", "build"):
        assert f"[{converged.name}] ok     {check}" in well.output, well.output
    converged.run(f"rm {MACHINES}")
    ill = ansible.execute(ansible.playbook("doctor"))
    assert (ill.outcome, ill.code) == ("needs a person", 4), ill.output
    assert "WRONG  machine   Nix does not know the builder" in ill.output
    assert f"Run the rollout: it will {REGISTER}" in ill.output
    assert ansible.run(converged).outcome == "changed"


def test_nix_does_not_go_before_the_builder(converged: SimulatedMac, ansible: Ansible) -> None:
    run = roles(ansible, converged, "--tags", "nix", nix_state="absent")
    assert (run.outcome, run.code) == ("needs a person", 4), run.output
    assert "Take it back first: linux_builder_state: absent" in run.output
    assert converged.exists("/nix/nix-installer")


def test_the_role_of_nix_installs_it_alone(lab: Lab, ansible: Ansible) -> None:
    mac = lab.start("nix-alone")
    run = roles(ansible, mac, "--tags", "nix")
    assert (run.outcome, run.changes) == ("changed", ("install Nix with nix-installer 2.35.2",)), run.output
    assert not mac.exists("/etc/nix/machines")
    assert roles(ansible, mac, "--tags", "nix").outcome == "converged"
    mac.stop()


def test_a_build_that_is_owed_is_made(converged: SimulatedMac, ansible: Ansible) -> None:
    converged.run("rm /var/lib/builderfleet/proved")
    run = ansible.run(converged)
    assert (run.outcome, run.code) == ("converged", 0), run.output
    assert f"[{converged.name}] prove it with a Linux build" in run.output
    assert converged.exists("/var/lib/builderfleet/proved")


def test_a_report_that_cannot_be_written_is_a_failure(converged: SimulatedMac, ansible: Ansible) -> None:
    ansible.write_inventory([converged])
    for kind in ("JSON", "JUNIT"):
        run = ansible.execute(
            ansible.playbook("drift"), environment={f"BUILDERFLEET_REPORT_{kind}": "/nonexistent/report"}
        )
        assert run.code == 1 and "cannot be written to /nonexistent/report" in run.output, run.output


def test_nobody_to_ask_is_a_failure(ansible: Ansible) -> None:
    ansible.write_inventory([])
    for playbook in ("drift", "rollout", "doctor"):
        run = ansible.execute(ansible.playbook(playbook))
        assert run.code == 1 and "No Mac was asked anything" in run.output, run.output


@pytest.mark.parametrize("playbook", ["rollout", "drift", "doctor", "remove", "rotate_keys"])
def test_without_the_callback_nothing_is_done(playbook: str, converged: SimulatedMac, ansible: Ansible) -> None:
    ansible.write_inventory([converged])
    commands = len(converged.commands())
    run = ansible.execute(
        ansible.playbook(playbook, "-e", "confirm=remove"),
        environment={"ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.junit"},
    )
    assert len(converged.commands()) == commands
    assert run.code != 0 and "Set ANSIBLE_CALLBACKS_ENABLED=builderfleet.macos.outcomes" in run.output, run.output


def test_several_playbooks_and_loops(converged: SimulatedMac, ansible: Ansible, tmp_path: Path) -> None:
    """A playbook that ends well lets the next one run; of a loop every item counts."""
    loop = {
        "hosts": "macs",
        "gather_facts": False,
        "become": True,
        "tasks": [
            {"builderfleet.macos.nix_setting": {"setting": "{{ item }}", "value": "true"}, "loop": ["keep-outputs"]},
        ],
    }
    (tmp_path / "loop.yml").write_text(json.dumps([loop]))
    ansible.write_inventory([converged])
    run = ansible.execute([*ansible.playbook("drift"), str(tmp_path / "loop.yml"), "--check"])
    assert (run.outcome, run.code) == ("would change", 2), run.output
    assert run.changes == ("set keep-outputs in /etc/nix/nix.custom.conf",)


def test_drift_shows_what_differs(converged: SimulatedMac, ansible: Ansible) -> None:
    converged.run(f"rm {MACHINES}")
    run = ansible.run(converged, dry=True)
    assert (run.outcome, run.code) == ("would change", 2)
    assert "+ssh-ng://builder@builderfleet aarch64-linux" in run.output
    assert ansible.run(converged).code == 0


def test_remove_asks_first(converged: SimulatedMac, ansible: Ansible) -> None:
    ansible.write_inventory([converged])
    commands = len(converged.commands())
    refused = ansible.execute(ansible.playbook("remove"))
    assert refused.code == 1 and "Wanted the word remove" in refused.output, refused.output
    assert len(converged.commands()) == commands
    tagged = ansible.execute(ansible.playbook("remove", "--tags", "linux_builder_machine"))
    assert tagged.code == 1 and converged.exists(MACHINES), tagged.output
    untold = ansible.execute(ansible.playbook("remove", "--skip-tags", "always"))
    assert untold.code == 1 and converged.exists(MACHINES), untold.output
    store = ansible.execute(ansible.playbook("remove", "-e", "confirm=remove", "-e", "nix_state=absent"))
    assert store.code == 1 and "Wanted the word remove-nix" in store.output, store.output
    assert len(converged.commands()) == commands
    shown = ansible.execute(ansible.playbook("remove", "--check", "--diff"))
    assert (shown.outcome, shown.code) == ("would change", 2), shown.output
    assert converged.exists(MACHINES)
    done = ansible.execute(ansible.playbook("remove", "-e", "confirm=remove"))
    assert (done.outcome, done.code) == ("changed", 0), done.output
    assert set(done.changes) == set(shown.changes)
    assert not converged.exists("/var/lib/builderfleet"), converged.run("cat /var/lib/builderfleet/ledger.json").stdout
    assert converged.exists("/nix/nix-installer")


# --- an installed collection ---------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Path]:
    """A directory of somebody else's with the collection as Galaxy would give it."""
    programs = Path(Ansible.program("ansible-galaxy")).parent
    for command in (
        ["collection", "build", "--output-path", str(tmp_path), str(REPOSITORY)],
        ["collection", "install", "--offline", "-p", str(tmp_path / "collections"), "builderfleet-macos-0.1.0.tar.gz"],
    ):
        done = subprocess.run([programs / "ansible-galaxy", *command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "ansible.cfg").write_text(
        "[defaults]\ncollections_path = collections\ncallbacks_enabled = builderfleet.macos.outcomes\n"
    )
    yield tmp_path


def test_the_installed_collection_rolls_out(lab: Lab, ansible: Ansible, converged_disk: str, installed: Path) -> None:
    mac = lab.start("installed")
    mac.restore(converged_disk)
    mac.run(f"rm {MACHINES}")
    ansible.write_inventory([mac])
    done = subprocess.run(
        [Ansible.program("ansible-playbook"), "-i", str(ansible.inventory), "builderfleet.macos.rollout"],
        cwd=installed,
        env=ansible.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    run = read_run(done.returncode, done.stdout)
    assert (run.outcome, run.code) == ("changed", 0) and REGISTER in run.changes, done.stdout + done.stderr
    mac.stop()


@pytest.mark.parametrize("known", ["", "another"], ids=["unknown", "changed"])
def test_no_key_is_taken_unseen_whatever_the_environment_says(
    converged: SimulatedMac, door: FrontEnd, tmp_path: Path, known: str
) -> None:
    """As half the world has it for other machines: only the inventory itself can be looser."""
    hosts, key = tmp_path / "known_hosts", tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    another = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    hosts.write_text(f"{converged.address} {another}\n" if known else "")
    before, commands = hosts.read_text(), len(converged.commands())
    door.write_inventory([converged])
    inventory = door.inventory.read_text()
    door.inventory.write_text(inventory.replace(str(converged.machine / "known_hosts"), str(hosts)))
    run = door.execute(door.command(dry=True), environment={"ANSIBLE_HOST_KEY_CHECKING": "False"})
    assert (run.outcome, run.code) == ("failed", 1), run.output
    assert ("not the host key that is known" if known else "none is taken unseen") in run.output, run.output
    assert len(converged.commands()) == commands and hosts.read_text() == before
