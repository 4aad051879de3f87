# SPDX-License-Identifier: GPL-3.0-or-later
"""launchctl: the client of launchd, and the few verbs that need no launchd (`macos_commands §2.1`)."""

from __future__ import annotations

import os
import sys
import time

from . import quickly, shared

RESTART_LIMIT = 30.0  # seconds

_ERRORS = {
    2: "No such file or directory",
    3: "No such process",
    5: "Input/output error",
    36: "Operation now in progress",
    37: "Operation already in progress",
    113: "Could not find specified service",
    119: "Service is disabled",
    122: "Path had bad ownership/permissions",
    125: "Domain does not support specified action",
}


def main(arguments: list[str]) -> int:
    verb = arguments[0] if arguments else "help"
    if verb == "managername":
        print("Background" if _in_ssh_session() else "System")
        return 0
    if verb == "error" and len(arguments) == 2 and arguments[1].isdigit():
        number = int(arguments[1])
        if number not in _ERRORS:
            raise shared.Unmodelled(f"error {number}")
        print(f"{number}: {_ERRORS[number]}")
        return 0
    if verb == "version":
        print("Darwin Bootstrapper Version 7.0.0 (simulated)")
        return 0
    ran_before = _runs(arguments) if verb == "kickstart" else 0
    status, text = ask(arguments)
    if verb == "kickstart" and status == 0:
        # Returns once the new process is there [I]: `-p` could not say its number otherwise.
        deadline = time.monotonic() + RESTART_LIMIT
        while "-k" in arguments and _runs(arguments) == ran_before and time.monotonic() < deadline:
            time.sleep(0.01)
    if status == -1:
        raise shared.Unmodelled(text)
    if text:
        # The legacy verbs end with 0 and say what went wrong on standard error.
        legacy = verb in ("load", "unload")
        print(text, file=sys.stderr if status or legacy else sys.stdout)
    return status


def ask(arguments: list[str]) -> tuple[int, str]:
    """What launchd answers: its status and its text."""
    status, text = quickly.ask(shared.LAUNCHD_SOCKET, arguments)
    return int(status), str(text)


def _runs(arguments: list[str]) -> int:
    """How often the job has been started that a command is about; 0 when it is not loaded."""
    status, text = ask([" jobs"])
    jobs = quickly.loads(text) if status == 0 else []
    return next((int(job["runs"]) for job in jobs if arguments[-1] == f"system/{job['label']}"), 0)


def _in_ssh_session() -> bool:
    """Whether sshd is among the callers' parents; a job of launchd's has only launchd above it."""
    pid = os.getppid()
    while pid > 1:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)
        if "(sshd" in fields[0]:
            return True
        pid = int(fields[1].split()[1])
    return False
