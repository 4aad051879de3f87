# SPDX-License-Identifier: GPL-3.0-or-later
"""The client key is rotated: another key, the same VM, and at no time a builder that lets nobody in."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable

from tests.simulated_mac import SimulatedMac

from .harness import Pyinfra, Run, read_run, writes_since
from .test_drift import BUILD, KEY, LABEL, STATE, wait_until
from .test_interrupted import connection_killed, controller_killed

KEYS = f"{STATE}/linux-builder/keys"
ACCEPTED = f"{KEYS}/builder_ed25519.pub"
MAKE, REMOVE = f"make SSH key pair {KEY}.next", f"remove SSH key pair {KEY}.next"
BOTH, ALONE = "let the builder VM accept the next client key as well", "let the builder VM accept the client key alone"
CHANGE = "change to the next client key, once a login with it has worked"
ALL = (MAKE, BOTH, CHANGE, ALONE)


def login(mac: SimulatedMac, key: str = "") -> subprocess.CompletedProcess[str]:
    """Log in to the guest: as the Mac's ssh block says, or with another key and nothing else."""
    ssh = "ssh -F /etc/ssh/ssh_config builderfleet true"
    if key:
        ssh = (
            f"ssh -F none -o IdentityFile={key} -o IdentitiesOnly=yes -o BatchMode=yes -o HostKeyAlias=builderfleet"
            f" -o UserKnownHostsFile={STATE}/linux-builder/known_hosts -p 31422 builder@127.0.0.1 true"
        )
    return mac.run(f"{ssh} </dev/null", check=False)


def gets_in(mac: SimulatedMac) -> None:
    done = login(mac)
    assert done.returncode == 0, done.stderr


def is_rotated(mac: SimulatedMac, before: bytes) -> None:
    """The Mac has another key than before, the guest accepts that one alone, and nothing else is left."""
    public = mac.read(f"{KEY}.pub")
    assert public != before
    assert mac.read(ACCEPTED) == public
    assert mac.run("ls -A /etc/nix | grep builderfleet").stdout.split() == [
        "builderfleet_ed25519",
        "builderfleet_ed25519.pub",
    ]
    gets_in(mac)


def test_a_rotation(converged: SimulatedMac, pyinfra: Pyinfra) -> None:
    mac = converged
    mac.run(f"cp -p {KEY} /tmp/former")
    before, spawned, mark = mac.read(f"{KEY}.pub"), mac.spawns(LABEL), mac.mark()

    dry = pyinfra.run(mac, dry=True, linux_builder_key_rotation="2026-11")
    assert (dry.outcome, dry.changes) == ("would change", (*ALL, BUILD)), dry.output
    assert writes_since(mac, mark) == []

    run = pyinfra.run(mac, linux_builder_key_rotation="2026-11")
    assert (run.outcome, run.code, run.changes) == ("changed", 0, dry.changes), run.output
    is_rotated(mac, before)
    former = login(mac, "/tmp/former")
    assert (former.returncode, "Permission denied (publickey)" in former.stderr) == (255, True), former.stderr
    assert mac.spawns(LABEL) == spawned

    mark, commands = mac.mark(), len(mac.commands())
    again = pyinfra.run(mac, linux_builder_key_rotation="2026-11")
    assert (again.outcome, len(mac.commands()) - commands, writes_since(mac, mark)) == ("converged", 1, []), (
        again.output
    )


def test_every_step_can_be_cut_off(converged: SimulatedMac, pyinfra: Pyinfra) -> None:
    """And the VM that nobody restarted lets the Mac in with the key that it has by then."""
    mac = converged
    before, spawned = mac.read(f"{KEY}.pub"), mac.spawns(LABEL)
    reached: list[str] = []
    cuts = itertools.cycle((connection_killed, controller_killed))
    while isinstance(end := _cut_off_at_the_next(mac, pyinfra, next(cuts), reached), str):
        reached.append(end)
        wait_until(mac, "! pgrep -x sudo >/dev/null")  # what a run that died left behind has come to its end
        gets_in(mac)
    assert end.code == 0, end.output
    assert len(reached) >= 3, reached  # one may be over before the cut comes, and is not begun again
    is_rotated(mac, before)
    assert mac.spawns(LABEL) == spawned


Cut = Callable[[SimulatedMac, "subprocess.Popen[str]"], None]


def _cut_off_at_the_next(mac: SimulatedMac, pyinfra: Pyinfra, cut: Cut, reached: list[str]) -> str | Run:
    """Roll out until a step begins that was not reached before, and cut it off; or how the run ended that got through."""
    run = pyinfra.start(mac, linux_builder_key_rotation="2026-12")
    assert run.stdout is not None
    output = []
    for line in run.stdout:
        output.append(line)
        _, found, change = line.strip().partition(f"[{mac.name}] ")
        if found and change in ALL and change not in reached:
            cut(mac, run)
            return change
    return read_run(run.wait(60), "".join(output))


def test_a_key_that_the_guest_refuses_does_not_come_into_use(converged: SimulatedMac, pyinfra: Pyinfra) -> None:
    mac = converged
    before = mac.read(f"{KEY}.pub")
    # QEMU holds on to the directory that it shares: what is written to another one of that name, the guest never sees.
    mac.run(f"mv {KEYS} {KEYS}.shared && cp -Rp {KEYS}.shared {KEYS}")
    run = pyinfra.run(mac, linux_builder_key_rotation="refused")
    assert (run.outcome, run.code) == ("failed", 1), run.output
    assert f"the builder VM lets nobody in with {KEY}.next" in run.output
    assert "Permission denied (publickey)" in run.output
    assert mac.read(f"{KEY}.pub") == before
    gets_in(mac)

    given_up = pyinfra.run(mac)
    assert (given_up.outcome, given_up.changes) == ("changed", (ALONE, REMOVE, BUILD)), given_up.output
    assert mac.read(f"{KEY}.pub") == before == mac.read(ACCEPTED)

    mac.run(f"rm -r {KEYS} && mv {KEYS}.shared {KEYS}")
    gets_in(mac)


def test_nothing_is_left_of_a_rotation_under_way(converged: SimulatedMac, pyinfra: Pyinfra) -> None:
    mac = converged
    for path in (f"{KEY}.next", f"{KEY}.next.pub"):
        mac.run(f"cp -p {KEY} {path}")
    gone = pyinfra.run(mac, linux_builder_state="absent")
    assert (gone.outcome, gone.code) == ("changed", 0), gone.output
    assert mac.run("ls -A /etc/nix | grep builderfleet || :").stdout == ""
    assert not mac.exists(STATE)
