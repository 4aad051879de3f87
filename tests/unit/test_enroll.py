# SPDX-License-Identifier: GPL-3.0-or-later
"""`builderfleet enroll`: which groups a Mac gets, what is refused, what is said, and what becomes of the file.

Macs are handed over as answers; a stand-in for ssh plays the ways in which a connection ends.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from builderfleet import enroll
from builderfleet.cli import main
from builderfleet.edited_file import EditedFile, FileProblem
from builderfleet.enroll import Refusal, ask
from builderfleet.plugin_utils.asking import Answers
from builderfleet.plugin_utils.outcome import Outcome
from builderfleet.plugin_utils.questions.mac import Mac, MacFacts
from builderfleet.plugin_utils.questions.nix import NixVersion
from builderfleet.plugin_utils.questions.power import InternalBattery
from builderfleet.shared_inventory import load

from tests.unit.answers import APPLE_SILICON
from tests.unit.sshd import Sshd, sshd

__all__ = ["sshd"]

INVENTORY = Path(__file__).parents[2] / "inventory"
ASLEEP = Refusal("ssh: connect to host asleep port 22: Connection timed out", Outcome.UNREACHABLE)
USER = replace(APPLE_SILICON, uid=501, full_disk_access=False)


def answers(mac: MacFacts = USER, *, battery: bool = True, nix: str = "nix (Nix) 2.35.2") -> Answers:
    return Answers.given({Mac(): mac, InternalBattery(): battery, NixVersion(): nix})


FLEET: Mapping[str, Answers | Refusal] = {
    "laptop": answers(),
    "192.0.2.2": answers(battery=False),
    "intel": answers(replace(USER, apple_silicon=False)),
    "linux": answers(replace(USER, kernel="Linux", version=())),
    "speechless": Answers.given({Mac(): USER, NixVersion(): ""}),
    "old": answers(replace(USER, version=(13, 7), can_virtualise=False)),
    "small": answers(replace(USER, memory=8 * 2**30)),
    "asleep": ASLEEP,
}


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped inventory, and the Macs of FLEET to answer."""

    def answer(destination: Sequence[str]) -> Answers:
        answer = FLEET[destination[-1]]
        if isinstance(answer, Refusal):
            raise answer
        return answer

    monkeypatch.setattr(enroll, "ask", answer)
    shutil.copytree(INVENTORY, tmp_path / "inventory")
    return tmp_path / "inventory/fleet.yml"


def run(fleet: Path, *words: str) -> int:
    return main(["enroll", "--inventory", str(fleet), *words])


def groups(fleet: Path) -> dict[str, set[str]]:
    return {host.name: set(host.groups) for host in load([str(fleet)])}


def test_each_mac_gets_the_groups_that_its_answers_put_it_in(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fleet, "laptop", "desktop=192.0.2.2", "intel", "--user", "admin") == 0
    assert groups(fleet) == {
        "laptop": {"macs", "laptops"},
        "desktop": {"macs", "desktops"},
        "intel": {"macs", "laptops", "intel"},
    }
    hosts = {host.name: host.connection for host in load([str(fleet)])}
    assert hosts["desktop"] == {"ssh_hostname": "192.0.2.2", "ssh_user": "admin"}
    assert hosts["laptop"] == {"ssh_user": "admin"}
    out = capsys.readouterr().out
    assert "+        desktop:\n+          ansible_host: 192.0.2.2\n" in out
    assert "  laptop   changed  laptops: Apple silicon, macOS 15.5, 8 cores, 16GiB\n" in out
    assert "  intel    changed  laptops, intel: Intel, macOS 15.5" in out
    assert "warning" not in out


def test_a_group_of_ones_own_replaces_the_first(fleet: Path) -> None:
    assert run(fleet, "laptop", "intel", "--group", "canary") == 0
    assert groups(fleet) == {"laptop": {"macs", "canary"}, "intel": {"macs", "canary", "intel"}}


def test_one_macs_trouble_is_its_own(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fleet, "laptop", "asleep", "linux", "speechless") == 1
    out = capsys.readouterr().out
    assert set(groups(fleet)) == {"laptop"}
    assert "asleep      unreachable  ssh: connect to host asleep port 22: Connection timed out" in out
    assert "linux       failed       this is no Mac: its kernel is Linux" in out
    assert "speechless  failed       could not tell what kind of Mac this is: the battery" in out


def test_a_mac_that_is_named_twice(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fleet, "laptop", "old", "laptop=192.0.2.2") == 1
    assert capsys.readouterr().err == "failed: laptop is named more than once: name each Mac once\n"
    assert groups(fleet) == {}


def test_a_mac_that_sleeps_is_no_failure(fleet: Path) -> None:
    assert run(fleet, "laptop", "asleep") == 5
    assert run(fleet, "asleep", "--dry") == 5
    assert run(fleet, "desktop=192.0.2.2", "asleep", "--dry") == 5


def test_dry_writes_nothing(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in fleet.parent.rglob("*")}
    assert run(fleet, "laptop", "--dry") == 2
    assert {path: path.stat().st_mtime_ns for path in fleet.parent.rglob("*")} == before
    out = capsys.readouterr().out
    assert "-      hosts: {}\n+      hosts:\n+        laptop:\n" in out
    assert "laptop  would change  laptops:" in out


def test_who_is_in_the_inventory_already_is_no_change_and_not_asked(
    fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.write_text(fleet.read_text().replace("hosts: {}", "hosts:\n        first:\n        'mac-[1:3]':", 1))
    before = fleet.read_text()
    assert run(fleet, "first", "mac-2", "--group", "canary") == 0
    out = capsys.readouterr().out
    assert f"first  converged  no changes; it is in the inventory already ({fleet}, line 9; canary)" in out
    assert f"mac-2  converged  no changes; it is in the inventory already ({fleet}, in a range; canary)" in out
    assert run(fleet, "first=192.0.2.9", "mac-2") == 1
    assert "with the address first and not 192.0.2.9: edit it there" in capsys.readouterr().out
    assert run(fleet, "first", "--group", "laptops") == run(fleet, "first", "--user", "eve") == 1
    assert fleet.read_text() == before


def test_one_mac_has_one_name(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fleet, "laptop=192.0.2.2", "again=192.0.2.2", "laptop-2=laptop") == 1
    out = capsys.readouterr().out
    assert "laptop    failed   192.0.2.2 is the address of again as well" in out
    assert set(groups(fleet)) == {"laptop-2"}
    assert run(fleet, "third=laptop") == 1
    assert "laptop is the address of laptop-2 as well" in capsys.readouterr().out


def test_a_group_is_not_made_by_a_slip(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fleet, "laptop", "--group", "canry") == 1
    err = capsys.readouterr().err
    assert f"failed: {fleet} has no group canry, it has canary, laptops" in err
    assert "canary was meant? --new-group makes a new one" in err
    assert groups(fleet) == {}
    assert run(fleet, "laptop", "--group", "canry", "--new-group") == 0
    assert groups(fleet) == {"laptop": {"macs", "canry"}}


def test_words_for_ssh_are_kept(fleet: Path) -> None:
    assert run(fleet, "laptop", "--ssh-option=-o ProxyJump=bastion", "--ssh-option", "-o 'User=a b'") == 0
    (host,) = load([str(fleet)])
    assert host.ssh_words[-4:] == ("-o", "ProxyJump=bastion", "-o", "User=a b")


def test_what_a_run_would_refuse_is_said(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (fleet.parent / "group_vars/intel.yml").write_text('linux_builder_nixpkgs_release: "26.11"\n')
    (fleet.parent / "group_vars/canary.yml").write_text("linux_builder_corse: 2\n")
    assert run(fleet, "old", "small", "intel", "--dry") == 2
    out = capsys.readouterr().out
    assert "warning: macOS: it has 13.7, and 14 is the oldest that is supported" in out
    assert "warning: host: this Mac cannot run virtual machines" in out
    assert "warning: linux_builder_memory: this Mac has 8GiB of memory" in out
    assert "warning: linux_builder_nixpkgs_release: this Mac has an Intel processor" in out
    assert "uid" not in out
    assert run(fleet, "laptop", "--group", "canary", "--dry") == 2
    assert "warning: linux_builder_corse: there is no such variable" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"), [("macs: [hosts\n", "Ansible cannot read the inventory"), (None, "wanted the file")]
)
def test_an_inventory_that_is_none(
    fleet: Path, text: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.unlink() if text is None else fleet.write_text(text)
    assert run(fleet, "laptop") == 1
    assert said in capsys.readouterr().err


def test_a_group_that_is_written_in_another_way_is_left_alone(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "macs:\n  children:\n    laptops:\n      hosts: &h\n        a:\n    canary:\n      hosts: *h\n"
    fleet.write_text(text)
    assert run(fleet, "laptop") == 1
    assert f"{fleet} could not be edited: the edited file would not be what was meant" in capsys.readouterr().out
    assert fleet.read_text() == text


@pytest.mark.parametrize(
    "words",
    [["-x"], ["a b"], ["=192.0.2.1"], ["a="], ["a=-oProxyCommand=x"], ["mac-[1:3]"], ["admin@mac"], [], ["a", "--nonsense"],
     ["a", "--group", "a-b"], ["a", "--ssh-option=-o 'x"]],
)  # fmt: skip
def test_a_wrong_command_line_is_a_failure_and_no_drift(fleet: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(fleet, *words)
    assert end.value.code == 1


# --- the file ------------------------------------------------------------------------------------------------------


def test_the_file_keeps_its_mode_and_a_link_stays_one(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yml", tmp_path / "link.yml"
    real.write_bytes(b"a: 1\r\n")
    real.chmod(0o640)
    link.symlink_to(real)
    EditedFile.read(link).replace("a: 2\r\n")
    assert link.is_symlink()
    assert real.read_bytes() == b"a: 2\r\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert sorted(tmp_path.iterdir()) == [link, real]


def test_a_file_that_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yml"
    path.write_text("a: 1\n")
    file = EditedFile.read(path)
    path.write_text("a: 3\n")
    with pytest.raises(FileProblem, match="has changed since it was read"):
        file.replace("a: 2\n")
    assert path.read_text() == "a: 3\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff")
    for path in (tmp_path / "x", tmp_path):
        with pytest.raises(FileProblem, match="cannot read"):
            EditedFile.read(path)


# --- ssh -----------------------------------------------------------------------------------------------------------

Ssh = Callable[[str], Path]


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ssh:
    """Puts a script in ssh's place; its words are logged a line each."""
    log = tmp_path / "words"

    def stand_in(script: str) -> Path:
        (tmp_path / "bin").mkdir()
        program = tmp_path / "bin/ssh"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {log}\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
        return log

    return stand_in


def test_the_script_goes_in_and_the_answers_come_back(ssh: Ssh) -> None:
    log = ssh("exec /bin/sh -s")
    assert ask(["-F", "config", "-l", "admin", "mac"])[Mac()].kernel == "Linux"
    words = log.read_text().split("\n")[:-1]
    assert words[:4] == ["-F", "config", "-l", "admin"], "what is given comes first, because ssh takes the first"
    assert words[-3:] == ["mac", "/bin/sh", "-s"]
    assert {"BatchMode=yes", "ControlMaster=no"} <= set(words)


@pytest.mark.parametrize(
    ("errors", "outcome"),
    [
        ("ssh: connect to host mac port 22: Connection timed out", Outcome.UNREACHABLE),
        ("ssh: connect to host mac port 22: Operation timed out", Outcome.UNREACHABLE),
        ("ssh: connect to host mac port 22: No route to host", Outcome.UNREACHABLE),
        ("ssh: connect to host mac port 22: Connection refused", Outcome.NEEDS_PERSON),
        ("ssh: Could not resolve hostname mac: Name or service not known", Outcome.FAILED),
        ("Connection closed by UNKNOWN port 65535", Outcome.FAILED),
        ("Host key verification failed.", Outcome.FAILED),
        ("admin@mac: Permission denied (publickey).", Outcome.FAILED),
        ("command-line: line 0: Bad configuration option: x", Outcome.FAILED),
        ("", Outcome.FAILED),
    ],
)
def test_a_connection_that_fails(ssh: Ssh, errors: str, outcome: Outcome) -> None:
    ssh(f"cat >/dev/null; echo '{errors}' >&2; exit 255")
    with pytest.raises(Refusal) as refused:
        ask(["-F", "config", "mac"])
    assert refused.value.outcome is outcome
    assert errors in str(refused.value)
    assert ("see that `ssh -o BatchMode=yes -F config mac true` works" in str(refused.value)) == (
        outcome is Outcome.FAILED
    )


def test_rubbish_is_no_answer(ssh: Ssh) -> None:
    ssh("echo Welcome; echo no such shell >&2; exit 1")
    with pytest.raises(
        Refusal, match=r"whole of .* answer, saw .*'Welcome'; ssh ended with status 1\nno such shell"
    ) as refused:
        ask(["mac"])
    assert refused.value.outcome is Outcome.FAILED


def test_who_never_answers_is_given_up(ssh: Ssh, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh("exec tail -f /dev/null")
    monkeypatch.setattr(enroll, "ASK_LIMIT", 0.5)
    with pytest.raises(Refusal, match=r"no answer within 0\.5 seconds") as refused:
        ask(["mac"])
    assert refused.value.outcome is Outcome.UNREACHABLE


def test_no_ssh_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refusal, match="Install OpenSSH's client"):
        ask(["mac"])


# --- host keys -----------------------------------------------------------------------------------------------------


@pytest.fixture
def real(sshd: Sshd, tmp_path: Path) -> tuple[Path, list[str]]:
    """An inventory, and the words by which a real server is enrolled whose key is in no known_hosts."""
    shutil.copytree(INVENTORY, tmp_path / "inventory")
    words = f"-F none -p {sshd.port} -i {sshd.directory / 'key'} -o GlobalKnownHostsFile=none"
    words += f" -o UserKnownHostsFile={tmp_path / 'ssh/known'}"
    fleet = tmp_path / "inventory/fleet.yml"
    return fleet, ["enroll", "--inventory", str(fleet), "here=127.0.0.1", f"--ssh-option={words}"]


def fingerprint(sshd: Sshd) -> str:
    command = ["ssh-keygen", "-lf", str(sshd.directory / "host.pub")]
    said: str = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return said.split()[1]


def test_a_host_key_is_shown_and_taken_by_its_fingerprint(
    real: tuple[Path, list[str]],
    sshd: Sshd,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _fleet, words = real
    known = tmp_path / "ssh/known"
    assert main(words) == 1
    assert f"its host key is not known; it shows the ED25519 key {fingerprint(sshd)}" in capsys.readouterr().out
    assert main([*words, "--accept-key", "SHA256:" + "A" * 43]) == 1
    assert main([*words, "--accept-key", fingerprint(sshd)]) == 1, "this machine is no Mac"
    assert "this is no Mac" in capsys.readouterr().out
    assert not known.exists(), "only the key of a Mac that is enrolled is taken"

    asked = enroll.ask
    monkeypatch.setattr(enroll, "ask", lambda destination: (asked(destination), answers())[1])
    assert main([*words, "--accept-key", fingerprint(sshd), "--dry"]) == 2
    assert not known.exists()
    assert main([*words, "--accept-key", fingerprint(sshd)]) == 0
    assert f"ED25519 host key {fingerprint(sshd)} accepted" in capsys.readouterr().out
    assert known.read_text() == f"[127.0.0.1]:{sshd.port} {sshd.public('host')}\n"
    assert stat.S_IMODE(known.stat().st_mode) == 0o600
    assert main([*words, "--accept-key", fingerprint(sshd)]) == 0
    assert "converged" in capsys.readouterr().out

    known.write_text("# mine, without an end")
    assert main([*words, "--accept-key", fingerprint(sshd)]) == 0, "of a Mac that is enrolled as well"
    assert known.read_text().startswith("# mine, without an end\n[127.0.0.1]")

    known.write_text(f"[127.0.0.1]:{sshd.port} {sshd.public('other')}\n")
    assert main([*words, "--accept-key", fingerprint(sshd)]) == 1, (
        "a key that has changed is not taken beside the former"
    )
    assert "not the host key that is known" in capsys.readouterr().out
