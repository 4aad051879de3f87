# SPDX-License-Identifier: GPL-3.0-or-later
"""One job of launchd: a definition as it was when it was loaded, and the process it keeps.

The definition is a snapshot: changing the file has no effect until bootout and bootstrap (`simulated_mac §1` row 4).
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import shared

EX_CONFIG = 78  # what launchd reports for a program or a log file that it cannot open
DEFAULT_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
MINIMUM_RUNTIME = 10
EXIT_TIMEOUT = 5  # `exit timeout = 5` in the captured print of macOS 26 (macos_commands §2.2)

# Keys that change nothing that can be seen here (limits, priorities) are understood and ignored.
UNDERSTOOD_KEYS = {
    "AbandonProcessGroup", "Disabled", "EnvironmentVariables", "ExitTimeOut", "GroupName", "HardResourceLimits",
    "KeepAlive", "Label", "LaunchOnlyOnce", "LegacyTimers", "LowPriorityIO", "Nice", "ProcessType", "Program",
    "ProgramArguments", "RunAtLoad", "SoftResourceLimits", "StandardErrorPath", "StandardInPath", "StandardOutPath",
    "StartInterval", "ThrottleInterval", "Umask", "UserName", "WorkingDirectory",
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """`throttle_scale` stretches the pause between respawns; 0.1 makes the ten seconds one."""

    throttle_scale: float


class Job:
    """A loaded job. Times are of the monotonic clock."""

    def __init__(self, label: str, path: Path, definition: dict[str, Any], settings: Settings) -> None:
        self.label, self.path, self.definition, self.settings = label, path, definition, settings
        self.pid: int | None = None
        self.runs = 0
        self.wait_status: int | None = None
        self.leaving = False
        self.gone = False
        self._started = 0.0
        self._spawn_at: float | None = None
        self._kill_at: float | None = None
        self._linger_until = 0.0
        self._killed = False
        keep_alive = definition.get("KeepAlive")
        # RunAtLoad is implied by SuccessfulExit (simulation_recipes §5.2).
        implied = keep_alive is True or (isinstance(keep_alive, dict) and "SuccessfulExit" in keep_alive)
        if definition.get("RunAtLoad") or implied:
            self._spawn_at = time.monotonic()
        elif definition.get("StartInterval"):
            self._spawn_at = time.monotonic() + definition["StartInterval"]

    @property
    def arguments(self) -> list[str]:
        return list(self.definition.get("ProgramArguments") or [self.definition["Program"]])

    @property
    def program(self) -> str:
        return str(self.definition.get("Program") or self.arguments[0])

    @property
    def exit_timeout(self) -> float:
        return float(self.definition.get("ExitTimeOut", EXIT_TIMEOUT))

    @property
    def throttle_interval(self) -> int:
        return int(self.definition.get("ThrottleInterval", MINIMUM_RUNTIME))

    @property
    def state(self) -> str:
        if self.leaving:
            return "SIGKILLed" if self._killed else "SIGTERMed"
        if self.pid:
            return "running"
        return "spawn scheduled" if self._spawn_at is not None else "not running"

    def due(self) -> list[float]:
        """The moments at which `tick` has something to do."""
        moments = [self._spawn_at, self._kill_at if self.pid else None]
        if self.leaving and not self.pid:
            moments.append(self._linger_until)
        return [moment for moment in moments if moment is not None]

    def tick(self, now: float) -> None:
        if self.pid and self._kill_at is not None and now >= self._kill_at:
            self._kill_at, self._killed = None, True
            os.kill(self.pid, signal.SIGKILL)
        if self._spawn_at is not None and now >= self._spawn_at and not self.pid:
            self._spawn()
        if self.leaving and not self.pid and now >= self._linger_until:
            self.gone = True

    def forget_to_start(self) -> None:
        """Stay `not running` until it is kicked, as jobs were seen to do on macOS 26.5 (upstream_comparison A5)."""
        self._spawn_at = None

    def start(self) -> None:
        if not self.pid:
            self._spawn()

    def restart(self) -> None:
        """End the running process, then start again at once, throttle or not (kickstart -k)."""
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)
            self._kill_at = time.monotonic() + self.exit_timeout
            self._wanted_again = True
        else:
            self._spawn()

    _wanted_again = False

    def leave(self, slow: float = 0) -> None:
        """Ask the process to end; the job is gone once it has."""
        self.leaving, self._spawn_at = True, None
        self._linger_until = time.monotonic() + slow
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)
            self._kill_at = time.monotonic() + self.exit_timeout
        elif not slow:
            self.gone = True

    def ended(self, wait_status: int) -> None:
        """The process has ended: take its process group along, and decide whether it runs again."""
        assert self.pid
        pid, self.pid, self.wait_status, self._kill_at = self.pid, None, wait_status, None
        shared.log("jobs.jsonl", {"label": self.label, "event": "exit", "pid": pid, "status": wait_status})
        if not self.definition.get("AbandonProcessGroup"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        if self.leaving:
            self.gone = time.monotonic() >= self._linger_until
            return
        if self._wanted_again:
            self._wanted_again = False
            self._spawn_at = time.monotonic()
        elif self._kept_alive():
            # The throttle counts from the start: who ran long enough starts again at once.
            throttle = self.throttle_interval * self.settings.throttle_scale
            self._spawn_at = max(time.monotonic(), self._started + throttle)
        elif self.definition.get("StartInterval"):
            self._spawn_at = time.monotonic() + self.definition["StartInterval"]

    def _kept_alive(self) -> bool:
        keep_alive = self.definition.get("KeepAlive")
        if self.definition.get("LaunchOnlyOnce") or not keep_alive:
            return False
        if keep_alive is True:
            return True
        assert self.wait_status is not None
        successful, crashed = self.wait_status == 0, os.WIFSIGNALED(self.wait_status)
        paths = keep_alive.get("PathState", {})
        return (
            keep_alive.get("SuccessfulExit") == successful
            or keep_alive.get("Crashed") == crashed
            or any(Path(path).exists() == wanted for path, wanted in paths.items())
        )

    # Starting a process

    @property
    def environment(self) -> dict[str, str]:
        given = self.definition.get("EnvironmentVariables", {})
        return {**{str(name): str(value) for name, value in given.items()}, "XPC_SERVICE_NAME": self.label}

    def _spawn(self) -> None:
        self._spawn_at = None
        self.runs += 1
        self._started = time.monotonic()
        # A SIGTERM that comes before the program runs must end it, not land in launchd's own handler.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        pid = os.fork()
        if pid == 0:
            self._become()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        self.pid = pid
        shared.log("jobs.jsonl", {"label": self.label, "event": "spawn", "pid": pid})

    def _become(self) -> None:
        """In the child: nothing inherited, then the program."""
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, set())
            environment = {"PATH": DEFAULT_PATH, **self.environment}
            os.umask(int(self.definition.get("Umask", 0o22)))
            self._open("StandardInPath", 0, os.O_RDONLY)
            self._open("StandardOutPath", 1, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            self._open("StandardErrorPath", 2, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.closerange(3, 1024)
            os.chdir(self.definition.get("WorkingDirectory", "/"))
            self._become_user(environment)
            os.execve(self.program, self.arguments, environment)
        except (OSError, KeyError, TypeError, ValueError):
            os._exit(EX_CONFIG)

    def _open(self, key: str, descriptor: int, flags: int) -> None:
        opened = os.open(self.definition.get(key, "/dev/null"), flags, 0o644)
        os.dup2(opened, descriptor)

    def _become_user(self, environment: dict[str, str]) -> None:
        if "UserName" in self.definition:
            user = pwd.getpwnam(self.definition["UserName"])
            group = self.definition.get("GroupName")
            gid = grp.getgrnam(group).gr_gid if group else user.pw_gid
            os.initgroups(user.pw_name, gid)
            os.setgid(gid)
            os.setuid(user.pw_uid)
            environment.update({"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name})
