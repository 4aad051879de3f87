# SPDX-License-Identifier: GPL-3.0-or-later
"""ssh's last words, as this machine's ssh says them: each is understood as what really happened."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from builderfleet.plugin_utils.checks.ssh import LAST_WORDS

from tests.unit.sshd import Sshd, closes, free_port, is_silent, listener, resets, sshd
from tests.unit.test_connection import changed_key, known, ssh

__all__ = ["sshd"]

Words = Callable[[Sshd], list[str]]

SAID: list[tuple[str, Words]] = [
    ("refuses this Mac's key", lambda sshd: known(sshd, key="other")),
    ("no algorithm in common", lambda sshd: ["-o", "HostKeyAlgorithms=ssh-rsa", *known(sshd)]),
    ("no algorithm in common", lambda sshd: ["-o", "KexAlgorithms=diffie-hellman-group1-sha1", *known(sshd)]),
    ("told to run another command", lambda sshd: ["-o", "RemoteCommand=uptime", *known(sshd)]),
    ("told to connect through ends at once", lambda sshd: ["-o", "ProxyCommand=false", *known(sshd)]),
    ("does not take the guest's host key", changed_key),
    ("nobody takes the connection", lambda sshd: ["-p", str(free_port())]),
]


def last_word(said: str) -> str:
    """The cause that is given for what ssh said, by its last line as the question about the guest takes it."""
    line = said.strip().splitlines()[-1]
    return next(each.cause for each in LAST_WORDS if each.pattern.search(line))


@pytest.mark.parametrize(("cause", "words"), SAID, ids=lambda each: each if isinstance(each, str) else "")
def test_what_a_real_ssh_says_last_is_understood(sshd: Sshd, cause: str, words: Words) -> None:
    assert cause in last_word(ssh(*words(sshd)))


@pytest.mark.parametrize(
    ("cause", "behaves"),
    [("ends the connection", closes), ("ends the connection", resets), ("does not answer in time", is_silent)],
)
def test_what_a_real_ssh_says_of_who_is_no_sshd_is_understood(cause: str, behaves: Callable[..., None]) -> None:
    with listener(behaves) as port:
        assert cause in last_word(ssh("-p", str(port)))
