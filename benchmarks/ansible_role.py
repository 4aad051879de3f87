# SPDX-License-Identifier: GPL-3.0-or-later
"""What a converged check costs through the role linux_builder, against the same content written with ordinary modules.

Both sides are ansible-playbook with the project's ansible.cfg (forks, pipelining, ControlPersist), the same inventory
and sudo, on the same hosts; their runs alternate. The hosts are one sshd (replayer.py) that does as it is told, with one
exception: the probe is answered from a recording. So ordinary modules really run there, in this machine's own Python and
on its own processors, while what the probe does on a Mac costs nothing here (benchmarks.probe measures that). Hence two
ratios: as measured, and as though the hosts took no time at all, on either side.
"""

from __future__ import annotations

import argparse
import configparser
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.integration.harness import REPOSITORY

from .fleet import numbers
from .macs import BenchmarkError
from .playing import ORDINARY, PLAYBOOKS, ROLE, Bench, Run
from .recording import Recording, kept_or_new
from .replayer import Replayer
from .table import machine, median, say, table

AIM = 20
CONTACTS = ("cold", "warm")


@dataclass(frozen=True)
class Result:
    """The runs of both sides over so many hosts, in their order; `contact` is one of CONTACTS."""

    hosts: int
    contact: str
    runs: Mapping[str, list[Run]]

    def median(self, side: str, what: str) -> float:
        return median(self._values(side, what))

    def ratio(self, what: str) -> float:
        """How many times as much the ordinary modules take."""
        return self.median(ORDINARY, what) / self.median(ROLE, what)

    def spread(self, what: str) -> tuple[float, float]:
        """The lowest and the highest ratio of two neighbouring runs."""
        pairs = zip(self._values(ORDINARY, what), self._values(ROLE, what), strict=True)
        ratios = sorted(theirs / ours for theirs, ours in pairs)
        return ratios[0], ratios[-1]

    def _values(self, side: str, what: str) -> list[float]:
        if what == "without_hosts":
            return [self._without_hosts(run) for run in self.runs[side]]
        return [float(getattr(run, what)) for run in self.runs[side]]

    def _without_hosts(self, run: Run) -> float:
        """The wall clock, had the hosts taken no time: one host is waited for, several share the processors."""
        return run.wall - run.hosts_cpu / min(self.hosts, os.cpu_count() or 1)


def measure(bench: Bench, hosts: int, runs: int, contacts: Sequence[str]) -> list[Result]:
    """Alternating runs of both sides, a result for each of `contacts`; which side goes first changes each time."""
    results = [Result(hosts, contact, {side: [] for side in PLAYBOOKS}) for contact in contacts]
    for number in range(runs):
        for side in list(PLAYBOOKS) if number % 2 == 0 else reversed(PLAYBOOKS):
            for result, run in zip(results, bench.measure(side, hosts, len(results)), strict=True):
                result.runs[side].append(run)
                say(f"{hosts} hosts, run {number + 1} of {runs}, {side}, {result.contact}: {run.wall:.2f} s")
    return results


def conditions(bench: Bench) -> Iterator[str]:
    """What was run against what, and on what."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(REPOSITORY / "ansible.cfg")
    connection = config["ssh_connection"]
    python = subprocess.run(["/usr/bin/python3", "-V"], capture_output=True, text=True, check=True).stdout.strip()
    yield "ansible_role: a converged check through builderfleet.macos.linux_builder, against ordinary modules"
    yield f"on {machine()}, ansible-core {version('ansible-core')}"
    for side, playbook in PLAYBOOKS.items():
        yield f"{side}: ansible-playbook -i inventory -i HOSTS {playbook}"
    yield (
        f"both: become, no facts gathered, forks {config['defaults']['forks']}, pipelining {connection['pipelining']}, "
        f"{connection['ssh_args']}; cold: no connection is open yet, warm: the same again over those that are"
    )
    yield (
        "the hosts: one sshd of this machine with real sudo. It answers the role's probe from a recording of "
        f"{len(bench.replayer.recording.records)} records, and runs all else: {python} with the modules on this machine's "
        "processors, in one directory for all hosts; scripts stand for launchctl, nix and nix-build there, its sshd for "
        "the builder's"
    )


def report(results: Sequence[Result]) -> Iterator[str]:
    """The lines that are printed."""
    yield "Wall clock, medians; ratio: how many times as long the ordinary modules take, from its lowest to its highest:"
    yield _compared(results, "wall")
    yield "\nWall clock without the time of the hosts: less their CPU, of which up to as many as processors work at once:"
    yield _compared(results, "without_hosts")
    yield "\nCPU of the controller with its ssh, medians:"
    yield _compared(results, "cpu")
    yield "\nCPU of all hosts with their sshd, medians (the role's without the probe, which is not run):"
    yield _compared(results, "hosts_cpu")
    yield ""
    for side in PLAYBOOKS:
        tasks, commands, connections = (_counts(results, side, what) for what in ("tasks", "commands", "connections"))
        yield f"{side}, by host: tasks {tasks}; commands {commands}; new connections {connections} (as sshd counted them)"
    for each in results:
        yield (
            f"Aim for {each.contact} runs with hosts: {each.hosts}, a ratio of at least {AIM}. Measured: "
            f"{each.ratio('wall'):.1f}, but {each.ratio('without_hosts'):.1f} without the time of the hosts; {_verdict(each)}."
        )


def _verdict(result: Result) -> str:
    """The measured ratio counts the hosts' work for one side alone, so by itself it is not enough."""
    if result.ratio("wall") < AIM:
        return "MISSED"
    if result.ratio("without_hosts") < AIM:
        return "met only because the modules' work on the hosts counts and the probe's does not"
    return "met"


def _compared(results: Sequence[Result], what: str) -> str:
    rows = []
    for each in results:
        low, high = each.spread(what)
        times = [f"{each.median(side, what):.2f} s" for side in PLAYBOOKS]
        rows.append(
            [
                each.hosts,
                each.contact,
                len(each.runs[ROLE]),
                *times,
                f"{each.ratio(what):.1f}",
                f"({low:.1f}-{high:.1f})",
            ]
        )
    return table(["hosts", "contact", "runs", *PLAYBOOKS, "ratio", ""], rows)


def _counts(results: Sequence[Result], side: str, what: str) -> str:
    return " or ".join(
        f"{each:g}" for each in sorted({getattr(run, what) for one in results for run in one.runs[side]})
    )


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        "python -m benchmarks.ansible_role", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    made.add_argument(
        "--hosts",
        type=numbers,
        default="1,20,100",
        help="numbers of hosts, with commas (default: %(default)s)",
    )
    made.add_argument(
        "--runs",
        type=numbers,
        default="5,3,1",
        help="runs of each side for each of those numbers, or one number for all (default: %(default)s)",
    )
    made.add_argument("--warm", action="store_true", help="measure warm runs as well; takes twice the time")
    made.add_argument(
        "--recording", type=Path, help="a recording to answer from (default: the one in the user's cache)"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 1 when it could not be run."""
    made = parser()
    given = made.parse_args(arguments)
    runs = given.runs * len(given.hosts) if len(given.runs) == 1 else given.runs
    if len(runs) != len(given.hosts):
        made.error(f"--runs: wanted one number, or {len(given.hosts)} as in --hosts, saw {len(runs)}")
    try:
        recording = Recording.load(given.recording) if given.recording else kept_or_new()
        recording.check()
        with Replayer(recording, "as_told.sh") as replayer:
            bench = Bench(replayer)
            print("\n".join(conditions(bench)) + "\n", flush=True)
            bench.prepare()
            contacts = CONTACTS if given.warm else CONTACTS[:1]
            pairs = zip(given.hosts, runs, strict=True)
            results = [each for hosts, number in pairs for each in measure(bench, hosts, number, contacts)]
        print("\n".join(report(results)))
    except BenchmarkError as error:
        print(f"ansible_role: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
