# SPDX-License-Identifier: GPL-3.0-or-later
"""How many times a run waits for the network: a converged and a drifted run over a connection with a delay.

The simulated Mac counts the commands that it is given. Round trips are counted by the proxy that makes the delay
(delay.py), and come from the time as well: what a run takes longer with the delay than without it, through the same
proxy, divided by the delay. The second has the machine's noise in it; the first is exact, and leaves connecting out.
Against pyinfra with one `echo` fact on the same Mac, through the same proxy and the same inventory, in turns.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.harness import REPOSITORY, Pyinfra, read_run
from tests.simulated_mac import SimulatedMac

from .delay import DelayingProxy
from .macs import BenchmarkError, ConvergedMac, converged_mac
from .table import machine, median, say, table

DRIFT = "rm /etc/nix/machines /etc/ssh/ssh_config.d/150-builderfleet.conf"
ONE_FACT = "one echo fact"
_LIMIT = 300


@dataclass(frozen=True)
class Run:
    """One run: seconds, the commands and connections that the Mac's sshd counted, and the turns that the proxy did."""

    wall: float
    commands: int
    connections: int
    turns: int


class Far(Pyinfra):
    """pyinfra's front end on a Mac that it reaches through a proxy."""

    def __init__(self, near: Pyinfra, proxy: DelayingProxy) -> None:
        super().__init__(near.inventory.parent, near.variables)
        self.inventory = self.inventory.with_name("far.json")
        self.proxy = proxy

    def write_inventory(self, macs: Iterable[SimulatedMac], variables: Mapping[str, Any] | None = None) -> None:
        hosts = {}
        for mac in macs:
            public = mac.read("/etc/ssh/ssh_host_ed25519_key.pub").decode()
            known = self.inventory.with_name(f"known-{mac.name}")
            known.write_text(f"[127.0.0.1]:{self.proxy.port} {public}")
            hosts[mac.name] = {
                "ansible_host": "127.0.0.1",
                "ansible_port": self.proxy.port,
                "ansible_user": "admin",
                "ansible_ssh_private_key_file": str(mac.key),
                "ssh_known_hosts_file": str(known),
            }
        inventory = {"macs": {"hosts": hosts, "vars": {**self.variables, **(variables or {})}}}
        self.inventory.write_text(json.dumps(inventory))


def _measured(mac: SimulatedMac, command: Sequence[str], far: Far) -> tuple[Run, int, str]:
    commands, logins, turns = len(mac.commands()), mac.logins(), far.proxy.turns
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=REPOSITORY, env=far.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=_LIMIT, check=False,
    )  # fmt: skip
    wall = time.monotonic() - began
    run = Run(wall, len(mac.commands()) - commands, mac.logins() - logins, far.proxy.turns - turns)
    return run, done.returncode, done.stdout


def _rollout(mac: SimulatedMac, far: Far, wanted: str) -> Run:
    # Without the build that proves the builder: it takes seconds, and not always the same.
    far.write_inventory([mac], {"linux_builder_build": "never"})
    run, code, said = _measured(mac, far.command(dry=False), far)
    outcomes = read_run(code, said).outcomes
    if list(outcomes.values()) != [wanted]:
        raise BenchmarkError(f"wanted a run that ends with {wanted!r}, saw {dict(outcomes)}:\n{said[-3000:]}")
    return run


def converged(mac: SimulatedMac, far: Far) -> Run:
    """A run that has nothing to do."""
    return _rollout(mac, far, "converged")


def drifted(mac: SimulatedMac, far: Far) -> Run:
    """A run that puts two files right that somebody has removed."""
    mac.run(DRIFT)
    return _rollout(mac, far, "changed")


def one_fact(mac: SimulatedMac, far: Far) -> Run:
    """pyinfra, and one `echo`."""
    far.write_inventory([mac])
    pyinfra = str(Path(sys.executable).with_name("pyinfra"))
    run, code, said = _measured(mac, [pyinfra, "inventory.py", "benchmarks/one_fact.py", "--yes"], far)
    if code != 0 or run.commands != 1:
        raise BenchmarkError(
            f"pyinfra with one fact: wanted exit code 0 and one command, saw {code}, {run}:\n{said[-2000:]}"
        )
    return run


KINDS: Mapping[str, Callable[[SimulatedMac, Far], Run]] = {
    "converged": converged,
    "drifted (2 changes)": drifted,
    ONE_FACT: one_fact,
}
Results = dict[str, dict[float, list[Run]]]


def measure(near: ConvergedMac, delay: float, runs: int) -> Results:
    """Runs of each kind without and with the delay (seconds), in turns. The Mac is converged and proved at the end."""
    results: Results = {kind: {0.0: [], delay: []} for kind in KINDS}
    with DelayingProxy((near.mac.address, 22)) as proxy:
        far = Far(near.pyinfra, proxy)
        for number in range(runs):
            for kind, once in KINDS.items():
                for proxy.round_trip in (0.0, delay):
                    run = once(near.mac, far)
                    results[kind][proxy.round_trip].append(run)
                    say(f"run {number + 1} of {runs}, {proxy.round_trip * 1000:.0f} ms, {kind}: {run.wall:.2f} s")
    restored = near.pyinfra.run(near.mac)
    if restored.code != 0:
        raise BenchmarkError(f"the Mac could not be put right afterwards:\n{restored.output[-3000:]}")
    return results


def slope(runs: Mapping[float, Sequence[Run]], delay: float) -> float:
    """How often a run waited for the network, from the shortest times: what else the machine did only makes them longer."""
    return (min(run.wall for run in runs[delay]) - min(run.wall for run in runs[0.0])) / delay


def report(results: Results, delay: float) -> Iterator[str]:
    """The table; ratios are over the one fact's."""
    least = median(run.turns for run in results[ONE_FACT][delay])
    rows = []
    for kind, runs in results.items():
        turns = median(run.turns for run in runs[delay])
        rows.append(
            [
                kind, len(runs[delay]),
                _counts(run.connections for each in runs.values() for run in each),
                _counts(run.commands for each in runs.values() for run in each),
                f"{turns:.0f}", f"{turns / least:.2f}",
                f"{min(run.wall for run in runs[0.0]):.2f} s", f"{min(run.wall for run in runs[delay]):.2f} s",
                f"{slope(runs, delay):.1f}",
            ]
        )  # fmt: skip
    far = f"{delay * 1000:.0f} ms"
    yield table(["", "runs", "connections", "commands", "round trips", "ratio", "0 ms", far, "from the time"], rows)
    yield "Round trips: turns that the proxy counted with the delay, medians; one for connecting is to be added."
    yield "Ratio: those round trips over the one fact's."
    yield "Times are the shortest of the runs; from the time: their difference, divided by the delay."


def _counts(numbers: Iterable[int]) -> str:
    return " or ".join(map(str, sorted(set(numbers))))


def show(near: ConvergedMac, delay: float, runs: int) -> None:
    """Measure, and print."""
    print(f"round trips: pyinfra's front end on a simulated Mac, with {delay * 1000:.0f} ms of round trip and without")
    print(f"on {machine()}")
    print("converged, drifted: builderfleet rollout inventory.py deploy.py, with linux_builder_build: never")
    print(f"drifted, before each run: {DRIFT}")
    print(f"{ONE_FACT}: pyinfra inventory.py benchmarks/one_fact.py --yes\n", flush=True)
    print("\n".join(report(measure(near, delay, runs), delay)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 1 when it could not be run."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.round_trips", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--runs", type=int, default=3, help="runs of each kind, with and without the delay (default: %(default)s)"
    )
    parser.add_argument("--delay", type=float, default=100, help="milliseconds of a round trip (default: %(default)s)")
    given = parser.parse_args(arguments)
    if given.delay <= 0:
        parser.error(f"--delay: wanted more than 0 ms, saw {given.delay}")
    try:
        with converged_mac() as near:
            show(near, given.delay / 1000, given.runs)
    except BenchmarkError as error:
        print(f"round trips: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
