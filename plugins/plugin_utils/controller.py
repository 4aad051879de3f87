# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that a run is started on, as far as a Mac has to know it."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Mapping


def sudo_wants_a_password(option: str) -> str:
    """What to do about it; `option` is what makes the front end ask for it."""
    return sudo_refuses("sudo", option, given=False)


def sudo_refuses(method: str, option: str, *, given: bool) -> str:
    """What to do about a password that is missing, or that was given and is not taken."""
    if given:
        return f"{method} on this Mac does not take the password that was given, or does not know this account"
    return (
        f"{method} on this Mac wants a password: run with {option}, set ansible_become_password, or let the account use "
        f"{method} without one"
    )


_WRONG, _NONE = "Sorry, try again|incorrect password attempt", "a password is required|no password was provided"

SUDO_SAYS: Mapping[str, tuple[str, ...]] = {
    _WRONG: ("Sorry, try again.\nsudo: no password was provided\nsudo: 1 incorrect password attempt",),
    _NONE: ("sudo: a password is required", "sudo: no password was provided"),
}
"""What Debian 12's sudo (1.9.13) says, by what that means; of macOS's, which is of the same line, it is inferred."""


def sudo_refused(errors: str, option: str) -> str:
    """What sudo's own words mean, where it did not let a script run; empty where it said nothing of the kind."""
    if re.search(_WRONG, errors):
        return f"Incorrect sudo password: {sudo_refuses('sudo', option, given=True)}"
    return f"Missing sudo password: {sudo_wants_a_password(option)}" if re.search(_NONE, errors) else ""


LEAST_ANSIBLE = (2, 19)


def too_old(ansible: str) -> str:
    """Why a version of ansible-core changes nothing; empty where it is supported (or newer than what was tried)."""
    found = tuple(map(int, re.findall(r"\d+", ansible)[:2]))
    if found >= LEAST_ANSIBLE:
        return ""
    least = ".".join(map(str, LEAST_ANSIBLE))
    return f"builderfleet wants ansible-core {least} or later, and this is {ansible}: nothing was asked. Install a later one"


def who(tool: str) -> str:
    """Who runs this, and with what: for the lock on the Mac, so that another run can say whom it waits for."""
    return f"{getpass.getuser()}@{socket.gethostname()} ({tool}, pid {os.getpid()})"
