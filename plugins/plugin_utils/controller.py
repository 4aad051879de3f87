# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that a run is started on, as far as a Mac has to know it."""

from __future__ import annotations

import getpass
import os
import socket


def sudo_wants_a_password(option: str) -> str:
    """What to do about it; `option` is what makes the front end ask for it."""
    return (
        f"sudo on this Mac wants a password: run with {option}, set ansible_become_password, or let the account use sudo "
        "without one"
    )


def who(tool: str) -> str:
    """Who runs this, and with what: for the lock on the Mac, so that another run can say whom it waits for."""
    return f"{getpass.getuser()}@{socket.gethostname()} ({tool}, pid {os.getpid()})"
