# SPDX-License-Identifier: GPL-3.0-or-later
"""What the probe costs a Mac: its time, its CPU time, and the processes that it starts, on one simulated Mac.

Against three others on the same Mac, their runs alternating: the probe but for its greeting (the builder's guest is
emulated here, and slow to greet), the probe without any question (a shell and a perl, the least there can be), and the
probe's commands one after another in one shell (what asking side by side saves).

Processes are counted by the PIDs that the Mac's own PID namespace gives out while the script runs: threads, and what its
daemons start to answer, count as well. A double is a Python or a shell, so a real Mac starts fewer than this. Where
there is strace, what the script itself forks and executes is counted, too, in a run that is not timed.
"""

from __future__ import annotations

import argparse
import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builderfleet.plugin_utils.asking import Request, probe_of
from builderfleet.plugin_utils.shell import quote, wrap

from tests.simulated_mac import SimulatedMac

from .macs import BenchmarkError, ConvergedMac, converged_mac
from .recording import probe_script
from .table import machine, median, say, table

_HIDDEN = "/.simulated-mac/"
_TOOLS = f"{_HIDDEN}debian/usr/bin"
_LIMIT = 120
# Reading the last PID with dash's own `read` costs no process; the script itself runs in a shell of its own.
_COUNTED = f"""read -r _ _ _ _ before </proc/loadavg
/bin/sh -s >/dev/null 2>/dev/null
status=$?
read -r _ _ _ _ after </proc/loadavg
{_TOOLS}/printf '%s %s\\n' "$status" "$((after - before))"
"""


@dataclass(frozen=True)
class Run:
    """One run of a script: seconds, seconds of CPU of its process tree, and PIDs that the Mac gave out meanwhile."""

    wall: float
    cpu: float
    pids: int


@dataclass(frozen=True)
class Traced:
    """What strace saw: processes forked, and the programs executed with how often each was."""

    forks: int
    programs: dict[str, int]


def requests_in(script: str) -> list[Request]:
    """What a probe's script asks for, as it stands at its end."""
    _, _, data = script.partition("\n__END__\n")
    lines = data.partition("\n' | /usr/bin/perl - ")[0].replace("'\"'\"'", "'").splitlines()
    requests = [Request(words[1], tuple(words[2:])) for words in (line.split("\t") for line in lines)]
    if not requests:
        raise BenchmarkError("wanted a probe's script with its requests at the end, saw none: has its form changed?")
    return requests


def scripts(variables: dict[str, Any]) -> dict[str, str]:
    """The scripts to measure by their names."""
    probe = probe_script(variables)
    commands = [request.words[1:] for request in requests_in(probe) if request.verb == "run"]
    one_by_one = "".join(f"{' '.join(map(quote, words))} </dev/null >/dev/null 2>&1\n" for words in commands)
    return {
        "the probe": probe,
        "the probe but for its greeting": re.sub(r"(?m)^\d+\tgreet\t.*\n", "", probe),
        "a probe without a question": wrap(probe_of(()).script("0")),
        "its commands one by one": wrap(f"{one_by_one}:"),
    }


def _enter(mac: SimulatedMac) -> list[str]:
    return ["/usr/bin/nsenter", "-t", str(mac.leader), "-m", "-u", "-i", "-n", "-p", "--root", "--wdns=/"]


def run_once(mac: SimulatedMac, name: str, script: str) -> Run:
    """Run a script as root, not through ssh. Raises BenchmarkError when it does not end well."""
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout:
        stdin.write(script.encode())
        stdin.seek(0)
        began = time.monotonic()
        process = subprocess.Popen([*_enter(mac), f"{_TOOLS}/dash", "-c", _COUNTED], stdin=stdin, stdout=stdout, env={})
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0)
        words = stdout.read().decode().split()
    if process.returncode or len(words) != 2 or words[0] != "0" or int(words[1]) < 1:
        raise BenchmarkError(f"{name}: wanted status 0 and a number of PIDs, saw {process.returncode}, {words}")
    return Run(wall, used.ru_utime + used.ru_stime, int(words[1]))


def trace(mac: SimulatedMac, script: str) -> Traced | None:
    """What a script forks and executes; None where there is no strace."""
    strace = shutil.which("strace")
    if strace is None:
        return None
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory, "trace")
        command = [
            strace,
            "-f",
            "-qq",
            "-o",
            str(log),
            "-e",
            "trace=clone,clone3,fork,vfork,execve",
            "-e",
            "signal=none",
        ]
        done = subprocess.run(
            [*command, *_enter(mac), "/bin/sh", "-s"],
            input=script.encode(),
            capture_output=True,
            env={},
            timeout=_LIMIT,
            check=False,
        )
        if done.returncode:
            raise BenchmarkError(f"strace of the probe ended with status {done.returncode}: {done.stderr[-1000:]!r}")
        return read_trace(log.read_text(errors="replace"))


def read_trace(text: str) -> Traced:
    """Count in strace's log what succeeded, but for nsenter's own first fork and first execve.

    A call that another process's interrupts stands on two lines, of which the second has the result.
    """
    begun: dict[str, str] = {}
    forks, programs = 0, []
    for line in text.splitlines():
        process, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            begun[process] = call
            continue
        if call.startswith("<..."):
            call = begun.pop(process, "") + call
        if not re.search(r"= \d+$", call):
            continue
        if program := re.match(r'execve\("([^"]+)"', call):
            programs.append(program[1])
        elif "CLONE_THREAD" not in call:
            forks += 1
    return Traced(forks - 1, dict(collections.Counter(programs[1:]).most_common()))


def measure(mac: SimulatedMac, scripts: dict[str, str], runs: int) -> dict[str, list[Run]]:
    """Alternating runs of all scripts, after one of each that does not count."""
    for name, script in scripts.items():
        run_once(mac, name, script)
    results: dict[str, list[Run]] = {name: [] for name in scripts}
    for number in range(runs):
        for name, script in scripts.items():
            results[name].append(run_once(mac, name, script))
        say(
            f"run {number + 1} of {runs}: "
            + ", ".join(f"{name} {each[-1].wall * 1000:.0f} ms" for name, each in results.items())
        )
    return results


def report(results: dict[str, list[Run]]) -> Iterator[str]:
    """The table."""
    first = next(iter(results))

    def of(name: str, what: str) -> float:
        return median(float(getattr(run, what)) for run in results[name])

    rows = []
    for name in results:
        row = [name, str(len(results[name]))]
        for what, shown in (("wall", f"{of(name, 'wall') * 1000:.0f} ms"), ("cpu", f"{of(name, 'cpu') * 1000:.0f} ms"),
                            ("pids", f"{of(name, 'pids'):.0f}")):  # fmt: skip
            row += [shown, "" if name == first else f"{of(first, what) / of(name, what):.2f}"]
        rows.append(row)
    yield table(["", "runs", "time", "probe/this", "CPU", "probe/this", "PIDs", "probe/this"], rows)
    yield "Medians. probe/this: the ratio of the whole probe's number to the line's."


def show(converged: ConvergedMac, runs: int) -> None:
    """Measure, and print."""
    mac, made = converged.mac, scripts(converged.pyinfra.variables)
    requests = requests_in(made["the probe"])
    kinds = collections.Counter(request.verb for request in requests)
    print(
        "probe: what the probe of a converged Mac costs the Mac, against the least there can be, and its commands one by one"
    )
    print(f"on {machine()}")
    print(
        f"a simulated Mac, as root, not through ssh; {len(requests)} requests ("
        + ", ".join(f"{count} {verb}" for verb, count in sorted(kinds.items()))
        + f") in a script of {len(made['the probe'].encode())} bytes\n",
        flush=True,
    )
    print("\n".join(report(measure(mac, made, runs))))
    traced = trace(mac, made["the probe"])
    if traced is None:
        print("\nstrace is missing, so what the probe itself forks and executes is not shown: apt-get install strace")
    else:
        print("\n" + "\n".join(traced_lines(traced)))


def traced_lines(traced: Traced) -> Iterator[str]:
    """What strace saw, in words."""
    inside = {name: count for name, count in traced.programs.items() if not name.startswith(_HIDDEN)}
    behind = sum(traced.programs.values()) - sum(inside.values())
    yield f"The probe itself (strace): {traced.forks} forks, {sum(inside.values())} programs executed of those that a Mac has:"
    yield "  " + ", ".join(f"{Path(name).name} {count}" for name, count in inside.items())
    yield f"and {behind} that stand behind doubles, which a Mac does not have."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 1 when it could not be run."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.probe", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10, help="runs of each script (default: %(default)s)")
    given = parser.parse_args(arguments)
    try:
        with converged_mac() as converged:
            show(converged, given.runs)
    except BenchmarkError as error:
        print(f"probe: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
