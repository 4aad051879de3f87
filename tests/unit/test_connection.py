# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients say when they cannot connect, and what it means: every row of the table by a text that was really said."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from builderfleet.plugin_utils.connection import TABLE, not_connected, row_of
from builderfleet.plugin_utils.outcome import Outcome

from tests.unit.sshd import Sshd, closes, free_port, is_silent, listener, resets, speaks_http, sshd

__all__ = ["sshd"]

FAILED, PERSON, UNREACHABLE = Outcome.FAILED, Outcome.NEEDS_PERSON, Outcome.UNREACHABLE

# What this machine's programs cannot be made to say here: macOS's own words, other versions, a network's.
SAID_ELSEWHERE = [
    ("ssh: connect to host anna port 22: Operation timed out", UNREACHABLE, "macOS's OpenSSH"),
    ("ssh: connect to host anna port 22: Host is down", UNREACHABLE, "macOS's OpenSSH"),
    ("ssh: connect to host anna port 22: Network is unreachable", UNREACHABLE, "OpenSSH 9.2, no route at all"),
    ("ssh: connect to host anna port 22: No route to host", UNREACHABLE, "OpenSSH 9.2"),
    ("ssh: connect to host anna port 22: Permission denied", FAILED, "OpenSSH 9.2, a route that prohibits"),
    ("ssh: Could not resolve hostname anna-macbok: nodename nor servname provided, or not known", FAILED, "macOS"),
    ("ssh: Could not resolve hostname anna.local: Name or service not known", UNREACHABLE, "OpenSSH 9.2"),
    ("ssh: Could not resolve hostname anna: Temporary failure in name resolution", FAILED, "OpenSSH 9.2"),
    ("channel 0: open failed: connect failed: Connection timed out\nstdio forwarding failed\n"
     "Connection closed by UNKNOWN port 65535", UNREACHABLE, "OpenSSH 9.2, ProxyJump"),
    ("client_loop: send disconnect: Broken pipe", UNREACHABLE, "OpenSSH 9.2"),
    ("Timeout, server 192.0.2.1 not responding.", UNREACHABLE, "OpenSSH 9.2"),
    ("Connection to 192.0.2.1 closed by remote host.", UNREACHABLE, "OpenSSH 9.2"),
    ("Shared connection to 192.0.2.1 closed.", UNREACHABLE, "OpenSSH 9.2, ControlMaster"),
    ('Data could not be sent to remote host "anna". Make sure this host can be reached over ssh: ', UNREACHABLE, "ansible"),
    ("Failed to connect to the host via ssh: ssh: connect to host anna port 22: Connection refused", PERSON, "ansible"),
    ("Could not connect (timed out)", UNREACHABLE, "pyinfra 3.10"),
    ("Connection closed by 192.0.2.1 port 22", FAILED, "OpenSSH 9.2, an account that pam refuses"),
    ("Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures", FAILED, "OpenSSH 9.2"),
    ("This system is locked. To unlock it, use a local\naccount name and password. Once successfully\nunlocked, you will be "
     "able to connect normally.\nadmin@anna: Permission denied (publickey,password,keyboard-interactive).", PERSON, "macOS 26"),
    ("admin@anna: Permission denied (password,keyboard-interactive).", PERSON, "a sshd that takes no keys"),
    ("Bad authentication type; allowed types: ['password', 'keyboard-interactive']", PERSON, "paramiko 4.0"),
    ("This account is currently not available.", FAILED, "Debian's nologin"),
    ("Connection reset by 192.0.2.1 port 22", UNREACHABLE, "OpenSSH 9.2"),
    ("something that nobody has met", FAILED, ""),
    ("", FAILED, ""),
]  # fmt: skip


@pytest.mark.parametrize(("said", "outcome", "_where"), SAID_ELSEWHERE)
def test_what_was_said_elsewhere(said: str, outcome: Outcome, _where: str) -> None:
    assert not_connected(said).outcome is outcome


def test_only_what_sleep_and_distance_look_like_needs_no_remedy() -> None:
    for row in TABLE:
        assert row.seen
        assert row.remedy or row.outcome is UNREACHABLE, row


@pytest.mark.parametrize(
    "said",
    [
        "ssh: connect to host anna port 22: Connection refused",
        "kex_exchange_identification: Connection closed by remote host",
        "Connection closed by 192.0.2.1 port 22",
    ],
)
def test_who_answered_a_moment_ago_and_now_refuses_is_going_down(said: str) -> None:
    """Nobody switched Remote Login off in between: the Mac is restarting, and owed to the next run."""
    assert not_connected(said).outcome is not UNREACHABLE
    lost = not_connected(said, answered=True)
    assert lost.outcome is UNREACHABLE and lost.remark.startswith(said) and "restarted" in lost.remark


@pytest.mark.parametrize("said", ["Host key verification failed.", "a@b: Permission denied (publickey)."])
def test_who_answered_and_now_has_another_key_or_lets_nobody_in_is_no_mac_that_goes_down(said: str) -> None:
    assert not_connected(said, answered=True) == not_connected(said)


def test_the_reason_stands_first_and_is_fit_for_a_terminal() -> None:
    result = not_connected("\x1b[31mssh: connect to host anna port 22: Connection refused\x1b[0m\r\n@@@@\n\x07")
    first, second = result.remark.splitlines()
    assert first == "ssh: connect to host anna port 22: Connection refused"
    assert "Remote Login" in second


def ssh(*words: str, user: str = "") -> str:
    """What OpenSSH's client says; it has to fail."""
    command = ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=2", *words]
    environment = {**os.environ, "LC_ALL": "C"}
    environment.pop("SSH_AUTH_SOCK", None)
    done = subprocess.run(
        [*command, f"{user}127.0.0.1", "true"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        env=environment, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 255, done
    return done.stderr


Words = Callable[[Sshd], list[str]]


def known(sshd: Sshd, *words: str, key: str = "key") -> list[str]:
    return [
        "-p", str(sshd.port), "-i", str(sshd.directory / key), "-o", "IdentitiesOnly=yes", "-o", "GlobalKnownHostsFile=none",
        "-o", f"UserKnownHostsFile={sshd.known_hosts}", *words,
    ]  # fmt: skip


def changed_key(sshd: Sshd) -> list[str]:
    other = sshd.directory / "known_wrong"
    other.write_text(f"[127.0.0.1]:{sshd.port} {sshd.public('other')}\n")
    return ["-o", f"UserKnownHostsFile={other}", *known(sshd)]


@pytest.mark.parametrize(
    ("words", "outcome", "cause"),
    [
        (lambda sshd: ["-p", str(free_port())], PERSON, "Remote Login"),
        (lambda sshd: ["-o", "HostName=no-such-name.invalid"], FAILED, "finds no such name"),
        (lambda sshd: ["-o", "UseKeychian=yes"], FAILED, "does not take an option"),
        (lambda sshd: ["-o", "ConnectTimeout=x"], FAILED, "does not take an option"),
        (changed_key, FAILED, "not the host key that is known"),
        (lambda sshd: ["-o", "UserKnownHostsFile=none", *known(sshd)], FAILED, "builderfleet enroll"),
        (lambda sshd: known(sshd, key="other"), FAILED, "ansible_user"),
        (lambda sshd: known(sshd, key="encrypted"), FAILED, "agent|ansible_user"),
        (lambda sshd: ["-i", "/nope", *known(sshd, key="other")], FAILED, "ansible_user"),
        (lambda sshd: ["-o", f"IdentityFile={sshd.directory}", *known(sshd, key="other")], FAILED, "cannot be"),
        (lambda sshd: known(sshd, "-o", "HostKeyAlgorithms=ssh-rsa"), FAILED, "no algorithm in common"),
        (lambda sshd: known(sshd, "-o", "ProxyCommand=/bin/false"), FAILED, "way through the proxy"),
        (lambda sshd: known(sshd, "-J", "127.0.0.1:1"), FAILED, "jump host"),
    ],
)  # fmt: skip
def test_openssh(sshd: Sshd, words: Words, outcome: Outcome, cause: str) -> None:
    result = not_connected(said := ssh(*words(sshd)))
    assert result.outcome is outcome, said
    assert any(each in result.remark.splitlines()[-1] for each in cause.split("|")), result.remark


def test_openssh_through_a_jump_host_that_the_mac_refuses(sshd: Sshd) -> None:
    jump = " ".join(
        ["ssh", "-F", "none", "-o", "BatchMode=yes", *known(sshd), "-W", f"127.0.0.1:{free_port()}", "127.0.0.1"]
    )
    assert not_connected(ssh("-o", f"ProxyCommand={jump}")).outcome is PERSON


@pytest.mark.parametrize(
    ("answer", "outcome", "cause"),
    [
        (closes, FAILED, "before anybody could log in"),
        (resets, FAILED, "before anybody could log in"),
        (is_silent, UNREACHABLE, "timed out"),
        (speaks_http, FAILED, "no ssh server"),
    ],
)
def test_openssh_at_what_is_no_server(answer: Callable[..., None], outcome: Outcome, cause: str) -> None:
    with listener(answer) as port:
        result = not_connected(said := ssh("-p", str(port)))
    assert result.outcome is outcome, said
    assert cause in result.remark


def test_a_wrong_user(sshd: Sshd) -> None:
    result = not_connected(ssh(*known(sshd), user="no-such-user@"))
    assert result.outcome is FAILED and "ansible_user" in result.remark


def test_no_route_and_a_route_that_prohibits(tmp_path: Path) -> None:
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("needs root, unshare and ip, for routes of its own")
    script = "ip link set lo up; ip route add unreachable 192.0.2.1; ip route add prohibit 192.0.2.2\n"
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        script += f"ssh -F none -o BatchMode=yes -o ConnectTimeout=2 {address} true 2>{tmp_path / address}\n"
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.stderr:
        pytest.skip(f"needs a network namespace: {done.stderr!r}")
    found = {path.name: not_connected(path.read_text()).outcome for path in tmp_path.iterdir()}
    assert found == {"192.0.2.1": UNREACHABLE, "192.0.2.2": FAILED, "192.0.2.3": UNREACHABLE}


def test_every_row_is_met_by_a_text_that_stands_in_these_tests() -> None:
    texts = [said for said, _outcome, _where in SAID_ELSEWHERE]
    met = {row.text for text in texts if (row := row_of(text))}
    by_real_programs = {
        "bad configuration", "remote host identification", "no host key for", "host key verification", "unable to negotiate",
        "no such identity", "(?s)connect to host", "invalid format", "unknown port", "kex_exchange",
    }  # fmt: skip
    assert all(row.text in met or any(each in row.text for each in by_real_programs) for row in TABLE)
