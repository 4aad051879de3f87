# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on a TCP port of a Mac, and what it says by itself."""

from __future__ import annotations

from dataclasses import dataclass

from ..asking import Replies, Request, Unknown, greet, run


@dataclass(frozen=True, slots=True)
class Process:
    """A process that listens: its PID, its process group, its parent, its command's name, and where it listens."""

    pid: int
    group: int
    parent: int
    command: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listeners:
    """The processes that listen on a port, as lsof's field output (-F) tells. lsof ends with 1 when there is none."""

    port: int

    def __str__(self) -> str:
        return f"who listens on port {self.port}"

    def requests(self) -> tuple[Request, ...]:
        return (run("/usr/sbin/lsof", "-nP", f"-iTCP:{self.port}", "-sTCP:LISTEN", "-FpgRcn", limit=20),)

    def answer(self, replies: Replies) -> tuple[Process, ...]:
        ran = replies.ran(0)
        if ran.status not in (0, 1) or (ran.status == 1 and ran.output):
            raise Unknown(f"lsof ended with status {ran.status}: {ran.errors.strip()}")
        processes: list[dict[str, list[str]]] = []
        for line in ran.output.splitlines():
            field, value = line[:1], line[1:]
            if field == "p":
                processes.append({"p": [value]})
            elif processes:
                processes[-1].setdefault(field, []).append(value)
        try:
            return tuple(
                Process(
                    pid=int(each["p"][0]),
                    group=int(each["g"][0]),
                    parent=int(each["R"][0]),
                    command=each["c"][0],
                    addresses=tuple(each.get("n", ())),
                )
                for each in processes
            )
        except (KeyError, ValueError) as error:
            raise Unknown(f"lsof's output makes no sense: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a server on 127.0.0.1 says first; empty when nothing listens or it is silent.

    An open port is no server that is up: QEMU accepts before its guest listens (`facts/simulation_recipes §2.3`).
    """

    port: int

    def __str__(self) -> str:
        return f"the greeting on port {self.port}"

    def requests(self) -> tuple[Request, ...]:
        return (greet(self.port),)

    def answer(self, replies: Replies) -> bytes:
        return replies.fields(0)["said"]
