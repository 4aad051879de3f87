# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift, each kind alone and all at once: a dry run shows it and writes nothing, a run mends it, the next changes nothing.

Through both front ends: what one has put right the other finds converged, and both leave the Mac in the same state.
"""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass

import pytest

from tests.simulated_mac import SimulatedMac

from .harness import Ansible, FrontEnd, Pyinfra, read_run, writes_since
from .parity import Alike, End, end

LABEL = "org.builderfleet.linux-builder"
PLIST = f"/Library/LaunchDaemons/{LABEL}.plist"
KEY = "/etc/nix/builderfleet_ed25519"
MACHINES = "/etc/nix/machines"
SSH = "/etc/ssh/ssh_config.d/150-builderfleet.conf"
STATE = "/var/lib/builderfleet"
BUILD = "prove it with a Linux build for aarch64-linux"
WAIT = f"wait until {LABEL} answers on port 31422"


@dataclass(frozen=True)
class Drift:
    """What somebody does to a Mac (as root, in sh), and the changes that put it right, the proof not counted.

    A `wait until` that is planned is not made where the VM is up again by then.
    """

    name: str
    script: str
    changes: tuple[str, ...]


DRIFTS = (
    Drift("machines line removed", f": > {MACHINES}", (f"register ssh-ng://builder@builderfleet in {MACHINES}",)),
    Drift("machines file removed", f"rm {MACHINES}", (f"register ssh-ng://builder@builderfleet in {MACHINES}",)),
    Drift(
        "machines line edited",
        f"sed -e 's/ 1 1 / 9 1 /' {MACHINES} > /tmp/m && cat /tmp/m > {MACHINES}",
        (f"register ssh-ng://builder@builderfleet in {MACHINES}",),
    ),
    Drift(
        "machines line duplicated",
        f"cat {MACHINES} {MACHINES} > /tmp/m && cat /tmp/m > {MACHINES}",
        (f"register ssh-ng://builder@builderfleet in {MACHINES}",),
    ),
    Drift(
        "nix.conf setting removed",
        "grep -v builders-use-substitutes /etc/nix/nix.custom.conf > /tmp/c; cat /tmp/c > /etc/nix/nix.custom.conf",
        ("set builders-use-substitutes in /etc/nix/nix.custom.conf",),
    ),
    Drift(
        "our setting written wrongly",
        "sed -e 's/builders-use-substitutes = /builders-use-substitutes=/' /etc/nix/nix.custom.conf > /tmp/c; "
        "cat /tmp/c > /etc/nix/nix.custom.conf",
        ("set builders-use-substitutes in /etc/nix/nix.custom.conf",),
    ),
    Drift(
        "plist edited on disk",
        f"sed -e 's/<integer>60</<integer>61</' {PLIST} > /tmp/p; cat /tmp/p > {PLIST}",
        (f"reload launchd daemon {LABEL}, which ends the builds that run in it", WAIT),
    ),
    Drift("plist's mode changed", f"chmod 0600 {PLIST}", (f"put {PLIST} right",)),
    Drift("job booted out", f"launchctl bootout system/{LABEL}", (f"load launchd daemon {LABEL}", WAIT)),
    Drift("job disabled", f"launchctl disable system/{LABEL}", (f"enable launchd daemon {LABEL} for the next boot",)),
    Drift(
        "job booted out and disabled",
        f"launchctl bootout system/{LABEL}; launchctl disable system/{LABEL}",
        (f"load launchd daemon {LABEL}", WAIT),
    ),
    Drift(
        "private key deleted",
        f"rm {KEY}",
        (f"make SSH key pair {KEY}", "hand the client's public key to the builder VM", WAIT),
    ),
    Drift("public key deleted", f"rm {KEY}.pub", (f"derive {KEY}.pub from its private half",)),
    Drift("private key readable for all", f"chmod 0644 {KEY}", (f"set owner and mode of {KEY}",)),
    Drift(
        "public half of another key",
        f"ssh-keygen -q -t ed25519 -N '' -f /tmp/other && cat /tmp/other.pub > {KEY}.pub && rm /tmp/other*",
        (f"derive {KEY}.pub from its private half",),
    ),
    Drift(
        "GC root deleted and the store collected",
        "rm /nix/var/nix/gcroots/builderfleet/*; /nix/var/nix/profiles/default/bin/nix-collect-garbage >/dev/null 2>&1",
        ("realise the builder VM",),
    ),
    Drift(
        "ssh block edited",
        f"sed -e 's/31422/31022/' {SSH} > /tmp/s; cat /tmp/s > {SSH}",
        ("write ssh host builderfleet",),
    ),
    Drift("ssh block removed", f"rm {SSH}", ("write ssh host builderfleet",)),
    Drift(
        "state directory's owner changed",
        f"chown 501:20 {STATE} {STATE}/linux-builder",
        (f"put the state directory {STATE} right",),
    ),
    Drift(
        "start script edited",
        f"echo 'exit 0' >> {STATE}/linux-builder/run",
        ("write the builder VM's start script",),
    ),
    Drift(
        "disk in Time Machine's backups",
        f"xattr -d com.apple.metadata:com_apple_backup_excludeItem {STATE}/linux-builder",
        ("keep the builder VM's disk out of Time Machine's backups",),
    ),
    Drift("plist in quarantine", f"xattr -wx com.apple.quarantine 303038313b {PLIST}", (f"put {PLIST} right",)),
    Drift(
        "certificates renewed",
        "bundle=/nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt; cp $bundle /tmp/b; echo '# again' >> /tmp/b;"
        " cat /tmp/b > $bundle",
        ("restart the builder VM with the certificates as they are now, which ends the builds that run in it", WAIT),
    ),
    Drift(
        "VM disk deleted",
        f"rm {STATE}/linux-builder/nixos.qcow2",
        ("restart the builder VM, whose disk was deleted", WAIT),
    ),
)


def wait_until(mac: SimulatedMac, condition: str) -> None:
    """What was done to a Mac shows: a job that was booted out has gone, say."""
    mac.run(f"i=0; until {condition}; do i=$((i+1)); [ $i -lt 300 ] || exit 1; sleep 0.2; done", timeout=90)


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.name.replace(" ", "-"))
def test_drift_is_shown_put_right_and_gone(
    drift: Drift, converged: SimulatedMac, pyinfra: Pyinfra, ansible: Ansible
) -> None:
    ends: list[End] = []
    for door, other in ((pyinfra, ansible), (ansible, pyinfra)):
        converged.run(drift.script)
        if "bootout" in drift.script:
            wait_until(converged, f"! launchctl print system/{LABEL} >/dev/null 2>&1")
        mark = converged.mark()
        dry = door.run(converged, dry=True)
        assert (dry.outcome, dry.code) == ("would change", 2), dry.output
        assert set(dry.changes) == {*drift.changes, BUILD}, dry.output
        assert writes_since(converged, mark) == []

        run = door.run(converged)
        assert (run.outcome, run.code) == ("changed", 0), run.output
        assert {*run.changes, WAIT} == {*drift.changes, BUILD, WAIT}, run.output

        again = other.run(converged)
        assert (again.outcome, again.code) == ("converged", 0), again.output
        ends.append(end(run, converged))
    assert ends[0] == ends[1]


def test_somebody_elses_secret_is_in_nothing_that_is_printed(
    converged: SimulatedMac, door: FrontEnd, alike: Alike
) -> None:
    """Neither beside a line of ours that is missing, nor in a line that Nix does not read."""
    path = "/etc/nix/nix.custom.conf"
    ours = converged.read(path)
    others = (
        b"access-tokens = github.com=T0KEN a=PAT:T0KEN\nsubstituters = https://anna:T0KEN@cache.invalid\n# \x1b[2J\n"
    )
    converged.write(path, others)
    dry = door.run(converged, dry=True)
    converged.write(path, others + b"access-tokens=github.com=T0KEN\n")
    runs = [door.run(converged, dry=dry) for dry in (True, False)]
    converged.write(path, ours)
    assert (dry.outcome, dry.code) == ("would change", 2), dry.output
    assert "+builders-use-substitutes = true" in dry.output
    for run in (dry, *runs):
        assert "T0KEN" not in run.output and "\x1b[2J" not in run.output
    for run in runs:
        assert (run.outcome, run.code) == ("needs a person", 4), run.output
        assert f"{path}, line 4, `access-tokens …`" in run.output
        alike("a line that Nix does not read", run.changes)
    assert door.run(converged).code == 0


PROXY = "Host *\\n  ProxyCommand /usr/bin/false\\n"
OTHERS = {
    "/etc/ssh/ssh_config.d/000-corp.conf": PROXY,
    "/var/root/.ssh/config": PROXY,
}


@pytest.mark.parametrize("path", OTHERS)
def test_an_ssh_that_leads_elsewhere_needs_a_person(
    path: str, converged: SimulatedMac, door: FrontEnd, alike: Alike
) -> None:
    """The proof of before is there still, and nothing of ours is otherwise than it should be."""
    converged.run(f"mkdir -p /var/root/.ssh; printf '{OTHERS[path]}' > {path}")
    runs = [door.run(converged, dry=dry) for dry in (True, False)]
    converged.run(f"rm {path}")
    for run in runs:
        assert (run.outcome, run.code) == ("needs a person", 4), run.output
        assert f"{path}, line 2, proxycommand" in run.output
        alike(path, run.changes)


def test_what_comes_after_our_block_is_not_inherited(converged: SimulatedMac, door: FrontEnd) -> None:
    """What a hardening baseline and a company's own settings say for all hosts."""
    converged.write(
        "/etc/ssh/ssh_config.d/fips_ssh_config",
        b"Host *\n  HostKeyAlgorithms ecdsa-sha2-nistp256\n  KexAlgorithms ecdh-sha2-nistp256\n  Ciphers aes128-gcm@openssh.com\n"
        b"  PubkeyAuthentication no\n  ProxyJump bastion.invalid\n  RemoteCommand tmux\n  RequestTTY force\n",
    )
    run = door.run(converged, linux_builder_build="always")
    converged.run("rm /etc/ssh/ssh_config.d/fips_ssh_config")
    assert (run.outcome, run.code) == ("converged", 0), run.output


def test_another_builder_proves_nothing_of_ours(converged: SimulatedMac, door: FrontEnd) -> None:
    """A faster one for the same system, which is the same guest by another name: Nix prefers it, the proof does not."""
    ours = converged.read(MACHINES)
    converged.run(
        f"sed 's/^Host .*/Host other/' {SSH} > /etc/ssh/ssh_config.d/160-other.conf;"
        f" sed -e 's/@builderfleet /@other /' -e 's/ 1 - / 100 - /' {MACHINES} > /tmp/m; cat /tmp/m >> {MACHINES}"
    )
    run = door.run(converged, linux_builder_build="always")
    converged.run("rm /etc/ssh/ssh_config.d/160-other.conf")
    converged.write(MACHINES, ours)
    assert (run.outcome, run.code) == ("converged", 0), run.output
    assert re.search(r"prove it with a Linux build for aarch64-linux: built on Linux \S+ in builderfleet", run.output)
    assert "\tssh-ng://builder@builderfleet\t" in converged.read(f"{STATE}/proved").decode()


EVERYTHING = (
    "GC root deleted and the store collected",  # first: with a setting that it does not read, Nix collects nothing
    "machines file removed",
    "our setting written wrongly",
    "plist edited on disk",
    "job booted out and disabled",
    "private key deleted",
    "ssh block removed",
    "state directory's owner changed",
    "start script edited",
    "VM disk deleted",
)


def test_all_at_once(converged: SimulatedMac, door: FrontEnd, alike: Alike) -> None:
    scripts = {drift.name: drift.script for drift in DRIFTS}
    for name in EVERYTHING:
        converged.run(scripts[name])
    wait_until(converged, f"! launchctl print system/{LABEL} >/dev/null 2>&1")
    run = door.run(converged)
    assert (run.outcome, run.code) == ("changed", 0), run.output
    alike("all at once", end(run, converged))
    again = door.run(converged)
    assert (again.outcome, again.code) == ("converged", 0), again.output


def test_foreign_lines_around_ours_come_through(converged: SimulatedMac, door: FrontEnd) -> None:
    ours = converged.read(MACHINES)
    converged.write(
        MACHINES, b"# mine\n\nssh-ng://me@a x86_64-linux\n" + ours + b"# \xff\n" + ours + b"ssh-ng://me@b x86_64-linux"
    )
    run = door.run(converged)
    # A blank line stops older parsers, but it is not ours: the build says whether this Mac's Nix minds.
    assert (
        converged.read(MACHINES)
        == b"# mine\n\nssh-ng://me@a x86_64-linux\n" + ours + b"# \xff\nssh-ng://me@b x86_64-linux"
    ), run.output
    converged.write(MACHINES, ours)
    assert door.run(converged).code == 0


def test_a_run_that_is_stopped_says_what_was_made_and_what_is_left(converged: SimulatedMac, pyinfra: Pyinfra) -> None:
    converged.run(f"launchctl bootout system/{LABEL}; : > {MACHINES}")
    run = pyinfra.start(converged)
    assert run.stdout is not None
    output = []
    for line in run.stdout:
        output.append(line)
        if f"[{converged.name}] {WAIT}" in line:
            os.killpg(run.pid, signal.SIGINT)
            break
    output.append(run.stdout.read())
    stopped = read_run(run.wait(30), "".join(output))
    assert (stopped.outcome, stopped.code) == ("failed", 1), stopped.output
    made, *rest = stopped.changes
    said = "\n".join(rest)
    assert made == f"interrupted: made: load launchd daemon {LABEL}", stopped.output
    # Whether the wait had begun on the Mac when the run was stopped is a race; that it is named is none.
    assert WAIT in said and "left: " in said and "register ssh-ng://builder@builderfleet" in said, stopped.output
    done = pyinfra.run(converged)
    assert (done.outcome, done.code) == ("changed", 0), done.output
