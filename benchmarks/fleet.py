# SPDX-License-Identifier: GPL-3.0-or-later
"""What a converged check of a fleet costs the controller, against pyinfra with one trivial fact on the same hosts.

The hosts answer from a recording (replayer.py), so that neither a Mac nor its doubles are measured. Both sides use the
same inventory, the same hosts and host data, sudo, and one command over one connection a host; their runs alternate, so
that what else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.integration.harness import REPOSITORY, read_run

from .macs import BenchmarkError
from .recording import Recording, kept_or_new
from .replayer import Replayer, end
from .table import machine, median, say, table

SIDES = {
    "builderfleet": ["builderfleet", "rollout", "inventory.py", "deploy.py", "--yes"],
    "one fact": ["pyinfra", "inventory.py", "benchmarks/one_fact.py", "--yes"],
}
AIM = 1.1
LIMIT = 900


@dataclass(frozen=True)
class Run:
    """What one run took: seconds, seconds of CPU (the controller's own, and the inventory's), and KiB at its peak."""

    wall: float
    cpu: float
    inventory_cpu: float
    peak: int


@dataclass(frozen=True)
class Result:
    """The runs of both sides over so many hosts, in their order."""

    hosts: int
    runs: dict[str, list[Run]]

    def median(self, side: str, what: str) -> float:
        return median(float(getattr(run, what)) for run in self.runs[side])

    def ratio(self, what: str) -> float:
        """builderfleet's median over the other's."""
        return self.median("builderfleet", what) / self.median("one fact", what)

    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and the highest ratio of the times of two neighbouring runs."""
        pairs = zip(self.runs["builderfleet"], self.runs["one fact"], strict=True)
        ratios = sorted(ours.wall / theirs.wall for ours, theirs in pairs)
        return ratios[0], ratios[-1]


def run_once(replayer: Replayer, hosts: int, side: str, inventory: Path) -> Run:
    """One run. Raises BenchmarkError when it did not do what it is measured for on each host."""
    result, output = replayer.directory / "result.json", replayer.directory / "output"
    environment = {**os.environ, "BUILDERFLEET_INVENTORY": f"inventory:{inventory}", "PYINFRA_PROGRESS": "off"}
    command = [*replayer.enter, sys.executable, "-m", "benchmarks.controller", str(result), *SIDES[side]]
    result.unlink(missing_ok=True)
    before = replayer.commands(), replayer.logins()
    with output.open("w") as file:
        began = time.monotonic()
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )
        try:
            code = process.wait(LIMIT)
        finally:
            wall = time.monotonic() - began
            end(process)
    said, commands, logins = output.read_text(), replayer.commands() - before[0], replayer.logins() - before[1]
    if (code, commands, logins) != (0, hosts, hosts):
        raise BenchmarkError(
            f"{side}, {hosts} hosts: wanted exit code 0 and as many connections and commands, "
            f"saw {code}, {logins} and {commands}:\n{said[-3000:]}"
        )
    if side == "builderfleet":
        outcomes = list(read_run(code, said).outcomes.values())
        if outcomes != ["converged"] * hosts:
            raise BenchmarkError(f"wanted {hosts} hosts that are converged, saw {outcomes}:\n{said[-3000:]}")
    return Run(wall, **json.loads(result.read_text()))


def measure(replayer: Replayer, hosts: int, runs: int) -> Result:
    """Alternating runs of both sides; which goes first changes each time."""
    result = Result(hosts, {side: [] for side in SIDES})
    inventory = replayer.inventory(hosts)
    for number in range(runs):
        for side in list(SIDES) if number % 2 == 0 else reversed(SIDES):
            result.runs[side].append(run_once(replayer, hosts, side, inventory))
            say(f"{hosts} hosts, run {number + 1} of {runs}, {side}: {result.runs[side][-1].wall:.2f} s")
    return result


def report(results: Sequence[Result]) -> Iterator[str]:
    """The lines that are printed."""
    head = [
        "hosts",
        "runs",
        "builderfleet",
        "one fact",
        "ratio",
        "(lowest-highest)",
        "CPU",
        "CPU",
        "ratio",
        "peak",
        "peak",
    ]
    rows = []
    for each in results:
        low, high = each.spread
        rows.append(
            [
                each.hosts, len(each.runs["one fact"]),
                f"{each.median('builderfleet', 'wall'):.2f} s", f"{each.median('one fact', 'wall'):.2f} s",
                f"{each.ratio('wall'):.2f}", f"({low:.2f}-{high:.2f})",
                f"{each.median('builderfleet', 'cpu'):.2f} s", f"{each.median('one fact', 'cpu'):.2f} s",
                f"{each.ratio('cpu'):.2f}",
                f"{each.median('builderfleet', 'peak') / 1024:.0f} MiB", f"{each.median('one fact', 'peak') / 1024:.0f} MiB",
            ]
        )  # fmt: skip
    yield table(head, rows)
    yield "Medians. Wall first, then the CPU of the controller itself, then its peak memory; builderfleet on the left of each."
    yield ""
    shared = ", ".join(f"{each.hosts}: {each.median('one fact', 'inventory_cpu'):.2f} s" for each in results)
    yield f"In both walls: Ansible, in a child process, reads the inventory (CPU by hosts: {shared})."
    for before, after in pairwise(results):
        yield _growth(before, after)
    at = next((each for each in results if each.hosts == 100), None)
    if at is not None:
        verdict = "met" if at.ratio("wall") <= AIM else "MISSED"
        yield f"Aim at 100 hosts: a ratio of at most {AIM}. Measured: {at.ratio('wall'):.2f}; {verdict}."


def _growth(before: Result, after: Result) -> str:
    more = after.hosts - before.hosts
    words = []
    for side in SIDES:
        time_each = (after.median(side, "wall") - before.median(side, "wall")) / more * 1000
        memory_each = (after.median(side, "peak") - before.median(side, "peak")) / more
        words.append(f"{side} {time_each:.1f} ms and {memory_each:.0f} KiB")
    return f"Each host more, from {before.hosts} to {after.hosts}: " + ", ".join(words) + "."


def allow_connections(hosts: int) -> str:
    """Let this process's children open a connection to each host: pyinfra keeps them all open. What was done, if anything."""
    wanted = hosts + 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return ""
    if hard < wanted:
        raise BenchmarkError(
            f"{hosts} hosts need some {wanted} open files, and the limit is {hard}: raise it (ulimit -Hn)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return f"both: the limit of open files was raised from {soft} to {wanted}\n"


def numbers(text: str) -> list[int]:
    """Numbers from 1 up, with commas. Raises ValueError, of which argparse makes a message."""
    read = [int(word) for word in text.split(",")]
    if min(read) < 1:
        raise ValueError(text)
    return read


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        "python -m benchmarks.fleet", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    made.add_argument(
        "--hosts",
        type=numbers,
        default="1,20,100",
        help="numbers of hosts, with commas (default: %(default)s; 1,20,100,1000 takes minutes)",
    )
    made.add_argument(
        "--runs", type=int, default=5, help="runs of each side for each number of hosts (default: %(default)s)"
    )
    made.add_argument(
        "--recording", type=Path, help="a recording to answer from (default: the one in the user's cache)"
    )
    made.add_argument(
        "--record", action="store_true", help="record anew on a simulated Mac, even if there is one that fits"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 1 when it could not be run."""
    given = parser().parse_args(arguments)
    try:
        recording = Recording.load(given.recording) if given.recording else kept_or_new(anew=given.record)
        recording.check()
        raised = allow_connections(max(given.hosts))
        with Replayer(recording) as replayer:
            size = sum(map(len, recording.records))
            print(
                "fleet: a converged check of hosts that answer from a recording, against pyinfra with one `echo` fact"
            )
            print(f"on {machine()}")
            for side, words in SIDES.items():
                print(f"{side}: {' '.join(words)}")
            print(
                "both: the same inventory (inventory/ and the hosts, read through Ansible), host data, sudo, sshd, "
                f"one connection and one command a host (counted by sshd); the recording holds {len(recording.records)} "
                f"records of {size} bytes\n"
                f"{raised}",
                flush=True,
            )
            results = [measure(replayer, hosts, given.runs) for hosts in given.hosts]
        print("\n".join(report(results)))
    except BenchmarkError as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
