# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are cut off: each file is old or new, the lock does not stay, and the next run goes on from there.

One Mac is rolled out to again and again, and each run is cut off at the first change that no run before it reached, of those
that a dry run names. So every change is cut off once, and every run starts from what a cut left behind.
"""

from __future__ import annotations

import os
import plistlib
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tests.simulated_mac import Lab, SimulatedMac

from .harness import Ansible, FrontEnd, Pyinfra, read_run
from .parity import End, end

MANAGED = (
    "/etc/nix/machines",
    "/etc/nix/nix.custom.conf",
    "/etc/ssh/ssh_config",
    "/etc/ssh/ssh_config.d/150-builderfleet.conf",
    "/Library/LaunchDaemons/org.builderfleet.linux-builder.plist",
    "/var/lib/builderfleet/ledger.json",
    "/var/lib/builderfleet/linux-builder/run",
    "/var/lib/builderfleet/linux-builder/keys/builder_ed25519.pub",
)


def power_cut(mac: SimulatedMac, run: subprocess.Popen[str]) -> None:
    """The Mac's power goes, everything at once; it is switched on again."""
    mac.power_cut()
    run.wait(120)
    mac.power_on()


def controller_killed(mac: SimulatedMac, run: subprocess.Popen[str]) -> None:
    """The machine that rolls out dies; what it started on the Mac goes on or not."""
    for process in (run.pid, *descendants(run.pid)):  # Ansible's workers have sessions of their own, and would go on
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    run.wait(30)


def descendants(process: int) -> list[int]:
    """What a process has started, and what that has."""
    children = [
        int(child) for path in Path(f"/proc/{process}/task").glob("*/children") for child in path.read_text().split()
    ]
    return [*children, *(each for child in children for each in descendants(child))]


def connection_killed(mac: SimulatedMac, run: subprocess.Popen[str]) -> None:
    """The SSH session dies on the Mac's side, with what runs in it, and so does every new one until the run has given up."""
    deadline = time.monotonic() + 300
    while run.poll() is None:
        assert time.monotonic() < deadline, "the run goes on without a connection"
        mac.run("pkill -KILL -f 'sshd: admin' || :")
        time.sleep(0.05)


Cut = Callable[[SimulatedMac, subprocess.Popen[str]], None]
CUTS: tuple[Cut, ...] = (power_cut, connection_killed, controller_killed)


def test_every_change_can_be_cut_off(lab: Lab, pyinfra: Pyinfra, ansible: Ansible) -> None:
    """The means take turns, and each pass begins with another: so each change is cut off by each of them once.

    The scripts are the same; what differs between the front ends is who carries them. The Mac ends the same. Three Macs at
    the same time, because most of it is waiting.
    """

    def go_through(door: FrontEnd, first: int) -> End:
        mac = lab.start(f"cut{first}")
        ended = every_change_is_cut_off(mac, door, (*CUTS[first:], *CUTS[:first]))
        mac.stop()
        return ended

    doors = (pyinfra, pyinfra.beside(), ansible)
    with ThreadPoolExecutor(len(CUTS)) as pool:
        ends = list(pool.map(go_through, doors, range(len(CUTS))))
    assert ends[0] == ends[1] == ends[2]


def every_change_is_cut_off(mac: SimulatedMac, door: FrontEnd, cuts: Sequence[Cut]) -> End:
    """Roll out to a new Mac until each change that a dry run names was cut off, and find it converged.

    A cut can come too late, when the next change is over as well: then all but Nix is taken back, and what is missing
    gets its turn.
    """
    left = list(door.run(mac, dry=True).changes)
    for turn in range(4):
        if turn:
            door.run(mac, linux_builder_state="absent")
        while left and (change := _cut_off_at_the_next(mac, door, cuts[len(left) % len(cuts)], left)) is not None:
            left.remove(change)
            _nothing_is_half_written(mac)
        if not left:
            break
    assert left == []
    run = door.run(mac)
    assert run.outcome in ("changed", "converged"), run.output
    again = door.run(mac)
    assert (again.outcome, again.code) == ("converged", 0), again.output
    assert mac.read("/etc/nix/machines").count(b"builderfleet_ed25519") == 1
    return end(again, mac)


def _cut_off_at_the_next(mac: SimulatedMac, door: FrontEnd, cut: Cut, left: Sequence[str]) -> str | None:
    """Roll out until a change begins that is left, and cut it off; None when the run got through."""
    run = door.start(mac)
    assert run.stdout is not None
    output = []
    for line in run.stdout:
        output.append(line)
        _, found, words = line.strip().partition(f"[{mac.name}] ")
        change = words.removesuffix(" (this can take a while)")
        if found and change in left:
            if words != change:  # one that takes a while: not always at the very beginning of it
                time.sleep(0.15 * (len(left) % 4))
            cut(mac, run)
            return change
    code = run.wait(60)
    last = read_run(code, "".join(output))
    assert last.outcome in ("changed", "converged"), last.output
    return None


def _nothing_is_half_written(mac: SimulatedMac) -> None:
    for path in MANAGED:
        if mac.exists(path):
            data = mac.read(path)
            assert data and data.endswith(b"\n"), (path, data)
            if path.endswith(".plist"):
                plistlib.loads(data)
