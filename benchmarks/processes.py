# SPDX-License-Identifier: GPL-3.0-or-later
"""PID namespaces: what all processes of one have used, and one for whatever a controller leaves running behind it.

Ansible's connections stay open in the background (ControlPersist), where neither the time that they use nor their end
can be had from the command that opened them.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from .macs import BenchmarkError

_TICKS = os.sysconf("SC_CLK_TCK")
_USER, _CHILDREN_SYSTEM = 11, 14  # in /proc/PID/stat after the name: utime, stime, cutime and cstime


def cpu_seconds(leader: int) -> float:
    """What the processes in the PID namespace of a process have used so far, those that have ended included.

    Each passes its own on to whoever waits for it; who is orphaned is waited for by the namespace's first process.
    """
    namespace = Path(f"/proc/{leader}/ns/pid").readlink()
    ticks = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "ns/pid").readlink() == namespace:
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                ticks += sum(map(int, fields[_USER : _CHILDREN_SYSTEM + 1]))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has ended meanwhile, or belongs to somebody else
    return ticks / _TICKS


class Room:
    """A PID namespace for controllers. What they have left running ends with the block."""

    def __enter__(self) -> Self:
        # setpriv: if this process is killed, so is unshare, and with it (--kill-child) all that is in there
        self._keeper = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "sh", "-c", "echo; read _"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._keeper.stdout is not None
        if not self._keeper.stdout.readline():
            raise BenchmarkError(f"wanted a PID namespace, saw unshare end with status {self._keeper.wait()}")
        children = Path(f"/proc/{self._keeper.pid}/task/{self._keeper.pid}/children").read_text().split()
        self.leader = int(children[0])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeper.kill()
        self._keeper.communicate()

    @property
    def enter(self) -> list[str]:
        """The words before a command that is to run in here."""
        return ["/usr/bin/nsenter", "-t", str(self.leader), "-p"]
