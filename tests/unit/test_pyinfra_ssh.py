# SPDX-License-Identifier: GPL-3.0-or-later
"""pyinfra reaches what OpenSSH reaches, takes no host key unseen, and one host's trouble is its own.

The hosts are this machine, which is no Mac: whoever is reached is refused for that.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from builderfleet import openssh
from builderfleet.openssh import Destination, InEffect, SshProblem, in_effect
from builderfleet.shared_inventory import load

from tests.unit.sshd import Sshd, closes, free_port, is_silent, listener, resets, speaks_http, sshd

__all__ = ["sshd"]

REPOSITORY = Path(__file__).parents[2]
NO_MAC = "this is no Mac"


def environment(inventory: Path) -> dict[str, str]:
    found = {**os.environ, "BUILDERFLEET_INVENTORY": str(inventory), "PYINFRA_PROGRESS": "off"}
    found.pop("SSH_AUTH_SOCK", None)
    return found


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "builderfleet.cli", "rollout", "inventory.py", "deploy.py", *words]


@dataclass(frozen=True)
class Fleet:
    """What one run said of hosts with a trouble each, and the files that it may not have touched."""

    macs: dict[str, dict[str, Any]]
    output: str
    code: int
    unseen: Path

    def remark(self, name: str) -> str:
        return "\n".join(self.macs[name]["remarks"])


def hosts(sshd: Sshd, ports: dict[str, int], directory: Path) -> dict[str, dict[str, Any]]:
    def common(*words: str, known: Path = sshd.known_hosts) -> dict[str, Any]:
        options = ["GlobalKnownHostsFile=none", f"UserKnownHostsFile={known}", *words]
        return {"ansible_ssh_common_args": " ".join(f"-o '{each}'" for each in options)}

    wrong = directory / "wrong"
    wrong.write_text(f"[127.0.0.1]:{sshd.port} {sshd.public('other')}\n")
    (directory / "garbage").write_text("garbage\n")
    (directory / "matching").write_text(f'Match exec "true"\n  Port {sshd.port}\n  HostName 127.0.0.1\n')
    well = {"ansible_port": sshd.port, **common()}
    key = "ansible_ssh_private_key_file"
    jump = f"ssh -F none -p {sshd.port} -i {sshd.directory / 'key'} -o BatchMode=yes -o UserKnownHostsFile={sshd.known_hosts}"
    return {
        "aaa-no-key": {**well, key: str(directory / "none")},
        "directory": {**well, key: str(directory)},
        "garbage": {**well, key: str(directory / "garbage")},
        "encrypted": {**well, key: str(sshd.directory / "encrypted")},
        "other-key": {**well, key: str(sshd.directory / "other")},
        "other-user": {**well, "ansible_user": "no-such-user"},
        "changed": {**well, **common(known=wrong)},
        "unseen": {**well, **common(known=directory / "unseen")},
        "unchecked": {**well, **common(known=directory / "unseen"), "ansible_ssh_host_key_checking": False},
        "loose": {**well, **common("StrictHostKeyChecking=no", known=directory / "unseen")},
        "refused": {**well, "ansible_port": free_port()},
        "no-name": {**well, "ansible_host": "no-such-name.invalid"},
        "option": {**well, **common("UseKeychian=yes")},
        "quotes": {**well, "ansible_ssh_extra_args": "-o 'x"},
        "port": {**well, "ansible_port": "abc"},
        "text-port": {**well, "ansible_port": str(sshd.port)},
        "template": {**well, "ansible_user": "{{ missing }}"},
        "variable": {**well, "linux_builder_cores": "{{ missing }}"},
        "pyinfras": {**well, "ssh_allow_agent": "maybe"},
        **{name: {**well, "ansible_port": port} for name, port in ports.items()},
        "exec": {"ansible_host": "no-such-name.invalid", "ansible_ssh_args": f"-F {directory / 'matching'}", **common()},
        "proxy": {**well, **common(f"ProxyCommand={jump} -W %h:%p 127.0.0.1")},
        "proxy-refused": {**well, "ansible_port": free_port(), **common(f"ProxyCommand={jump} -W %h:%p 127.0.0.1")},
        "proxy-dead": {**well, **common("ProxyCommand=false")},
        "well": well,
    }  # fmt: skip


@pytest.fixture(scope="module")
def fleet(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    if os.geteuid() != 0 and not shutil.which("sudo"):
        pytest.skip("needs root or sudo")
    directory = tmp_path_factory.mktemp("fleet")
    shared = {"ansible_host": "127.0.0.1", "ansible_ssh_private_key_file": str(sshd.directory / "key")}
    with listener(closes) as a, listener(resets) as b, listener(is_silent) as c, listener(speaks_http) as d:
        named = hosts(sshd, {"closes": a, "resets": b, "silent": c, "http": d}, directory)
        (directory / "inventory.json").write_text(json.dumps({"macs": {"hosts": named, "vars": shared}}))
        done = subprocess.run(
            command("--dry"), cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
            env={**environment(directory / "inventory.json"), "BUILDERFLEET_REPORT_JSON": str(directory / "report")},
        )  # fmt: skip
    assert (directory / "report").exists(), done.stdout
    yield Fleet(
        json.loads((directory / "report").read_text())["macs"], done.stdout, done.returncode, directory / "unseen"
    )


@pytest.mark.parametrize(
    ("name", "outcome", "words"),
    [
        ("aaa-no-key", "failed", "ansible_ssh_private_key_file"),
        ("directory", "failed", "ansible_ssh_private_key_file"),
        ("garbage", "failed", "ansible_ssh_private_key_file"),
        ("encrypted", "failed", "agent"),
        ("other-key", "failed", "ansible_user"),
        ("other-user", "failed", "no-such-user@"),
        ("changed", "failed", "not the host key that is known"),
        ("unseen", "failed", "none is taken unseen"),
        ("refused", "needs a person", "Remote Login"),
        ("no-name", "failed", "no-such-name.invalid"),
        ("option", "failed", "Bad configuration option: usekeychian"),
        ("quotes", "failed", "ansible_ssh_extra_args: No closing quotation"),
        ("port", "failed", "ansible_port = 'abc': it is a TCP port"),
        ("template", "failed", "ansible_user: "),
        ("variable", "failed", "linux_builder_cores: "),
        ("pyinfras", "failed", "ssh_allow_agent"),
        ("closes", "failed", "before anybody could log in"),
        ("resets", "failed", "before anybody could log in"),
        ("silent", "unreachable", "timed out"),
        ("http", "failed", "no ssh server"),
        ("proxy-refused", "needs a person", "Remote Login"),
        ("proxy-dead", "failed", "the way through the proxy"),
        *((name, "failed", NO_MAC) for name in ("well", "text-port", "exec", "proxy", "unchecked", "loose")),
    ],
)
def test_each_is_reported_as_what_it_is(name: str, outcome: str, words: str, fleet: Fleet) -> None:
    assert (fleet.macs[name]["outcome"], fleet.code) == (outcome, 1), fleet.output
    assert words.lower() in fleet.remark(name).lower(), fleet.output


def test_no_host_key_is_written_down(fleet: Fleet) -> None:
    assert not fleet.unseen.exists()
    assert "Traceback" not in fleet.output


def test_a_run_that_is_interrupted_while_it_connects_says_so(sshd: Sshd, tmp_path: Path) -> None:
    connected = threading.Event()

    def keeps(connection: socket.socket) -> None:
        is_silent(connection)
        connected.set()

    with listener(keeps) as port:
        given = {"ansible_host": "127.0.0.1", "ansible_port": port}
        (tmp_path / "hosts.json").write_text(json.dumps({"macs": {"hosts": {"anna": given}}}))
        run = subprocess.Popen(
            command(), cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, env={**environment(tmp_path / "hosts.json"), "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        assert run.stdout is not None
        assert connected.wait(30), "it does not connect"
        run.send_signal(signal.SIGINT)
        rest = run.stdout.read()
        assert run.wait(30) == 1, rest
    assert "anna  failed  interrupted: it was not asked yet, and nothing was done on it" in rest, rest


# --- what ssh has in effect ------------------------------------------------------------------------------------------


def found(destination: Destination) -> InEffect:
    answer = in_effect([destination])[destination]
    assert isinstance(answer, InEffect), answer
    return answer


def test_ssh_is_asked_once_where_no_line_depends_on_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text("Include included\nHost *\n  User admin\n  UserKnownHostsFile ~/known\n")
    asked: list[Destination] = []
    real = openssh._ask

    def ask(destination: Destination) -> InEffect | SshProblem:
        asked.append(destination)
        return real(destination)

    monkeypatch.setattr(openssh, "_ask", ask)
    names = [
        Destination(f"mac-{number}", ("-F", str(config), "-o", f"Port={number + 1}", "-4")) for number in range(1000)
    ]
    answers = in_effect(names)
    assert len(asked) == 1
    last = answers[names[-1]]
    assert isinstance(last, InEffect)
    assert (last.hostname, last.one("user"), last.port) == ("mac-999", "admin", 1000)
    assert last.paths("userknownhostsfile") == (str(Path.home() / "known"),)

    for text, differ in (("Host mac-7\n  User eve\n", 2), ("UserKnownHostsFile ~/%k\n", 20)):
        config.write_text(text)
        asked.clear()
        answers = in_effect(names[:20])
        told = {(each.one("user"), each.paths("userknownhostsfile")) for each in answers.values()}  # type: ignore[union-attr]
        assert (len(asked), len(told)) == (20, differ)


def test_a_jump_is_made_by_ssh_itself(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Host anna\n  ProxyJump first,me@second:2200\n  HostName 192.0.2.1\n")
    proxy = found(Destination("anna", ("-F", str(tmp_path / "config")))).proxy
    assert proxy[:3] == ("ssh", "-F", str(tmp_path / "config"))
    assert proxy[-5:] == ("-J", "first", "-W", "[192.0.2.1]:22", "ssh://me@second:2200")
    assert found(Destination("bert", ("-o", "ProxyCommand=nc %h %p", "-p", "7"))).proxy[2] == "exec nc bert 7"


def test_one_destinations_problem_is_its_own() -> None:
    bad, good = Destination("a", ("-o", "Nonsense=1")), Destination("b")
    answers = in_effect([bad, good])
    assert isinstance(answers[bad], SshProblem) and isinstance(answers[good], InEffect)


def test_a_name_is_no_option() -> None:
    (answer,) = in_effect([Destination("-oProxyCommand=touch /tmp/never")]).values()
    assert isinstance(answer, SshProblem)


# --- the inventory's own words ---------------------------------------------------------------------------------------


def test_what_ansible_gives_ssh_is_in_its_order(tmp_path: Path) -> None:
    variables = {
        "ansible_user": "me", "ansible_port": "2200", "ansible_ssh_args": "-o Compression=yes",
        "ansible_ssh_common_args": "-o Port=7 -o User=x", "ansible_ssh_extra_args": "-4",
    }  # fmt: skip
    (tmp_path / "hosts.json").write_text(json.dumps({"macs": {"hosts": {"anna": variables}}}))
    (host,) = load([str(tmp_path / "hosts.json")])
    assert host.ssh_words == (
        "-o", "Compression=yes", "-o", 'Port="2200"', "-o", 'User="me"', "-o", "Port=7", "-o", "User=x", "-4",
    )  # fmt: skip
    answer = found(Destination(host.address, host.ssh_words))
    assert (answer.hostname, answer.port, answer.one("user")) == ("anna", 2200, "me")
