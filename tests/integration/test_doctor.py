# SPDX-License-Identifier: GPL-3.0-or-later
"""`builderfleet doctor` on a Mac with a working builder, in which one thing after another is broken."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from tests.simulated_mac import Lab, SimulatedMac

from .harness import Ansible, FrontEnd, Pyinfra, Run

LABEL, NIX_DAEMON = "org.builderfleet.linux-builder", "org.nixos.nix-daemon"
DIRECTORY = "/var/lib/builderfleet/linux-builder"
LEDGER = "/var/lib/builderfleet/ledger.json"
INSIDE = ["disk", "clock", "dns", "cache"]
CHECKS = ["nix", "daemon", "job", "port", "host key", "key", "ssh", *INSIDE, "machine", "files", "ledger"]
_LINE = re.compile(r"\[\S+\] +(ok|WRONG|\?|-) +(\S.*?)  +(.*)")
_REMEDY = re.compile(r"\[\S+\] +→ (.*)")


@dataclass(frozen=True)
class Found:
    """What one run found: by check its mark and cause; and the remedies, in order."""

    run: Run
    marks: Mapping[str, str]
    causes: Mapping[str, str]
    remedies: tuple[str, ...]

    @property
    def wrong(self) -> list[str]:
        return [check for check, mark in self.marks.items() if mark == "WRONG"]

    @property
    def hidden(self) -> set[str]:
        return {check for check, mark in self.marks.items() if mark == "-"}


def doctor(door: FrontEnd, mac: SimulatedMac, *, build: bool = True) -> Found:
    door.write_inventory([mac])
    if isinstance(door, Ansible):
        run = door.execute(door.playbook("doctor", *([] if build else ["--check"])))
    else:
        dry = [] if build else ["--dry"]
        run = door.execute([sys.executable, "-m", "builderfleet.cli", "doctor", "inventory.py", *dry])
    lines = [match.groups() for match in _LINE.finditer(run.output)]
    return Found(
        run,
        {check: mark for mark, check, _ in lines},
        {check: cause for _, check, cause in lines},
        tuple(_REMEDY.findall(run.output)),
    )


def test_a_healthy_builder(converged: SimulatedMac, door: FrontEnd) -> None:
    found = doctor(door, converged)
    assert list(found.marks) == [*CHECKS, "build"], found.run.output
    assert set(found.marks.values()) == {"ok"}, found.run.output
    assert (found.run.outcome, found.run.code) == ("converged", 0)
    assert re.fullmatch(r"Nix [0-9.]+, NixOS nix-installer", found.causes["nix"])
    assert "Linux" in found.causes["build"]
    assert "PRIVATE" not in found.run.output


def test_a_dry_run_builds_nothing(converged: SimulatedMac, door: FrontEnd) -> None:
    proof = converged.read("/var/lib/builderfleet/proved")
    found = doctor(door, converged, build=False)
    assert (list(found.marks), found.run.code) == (CHECKS, 0), found.run.output
    assert converged.read("/var/lib/builderfleet/proved") == proof


@dataclass(frozen=True)
class Sick:
    """How something is broken and put right again, and what has to be found."""

    check: str
    break_: str
    mend: str
    cause: str
    remedy: str
    hidden: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.check}-{self.cause}".replace(" ", "-")


PIN, HANDED = f"{DIRECTORY}/known_hosts", f"{DIRECTORY}/keys/builder_ed25519.pub"
ROOTS, BLOCK = "/nix/var/nix/gcroots/builderfleet", "/etc/ssh/ssh_config.d/010-mine.conf"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJBWcxb/Blaqt1auOtE+F8QUWrUotiC5qBJ+UuEWdVCb"
OTHER = "SHA256:73nCAX7tESRWJ4ZN8RkOlqB+0bgxKVmbNRUcFPbXMkE"
CUSTOM = "/etc/nix/nix.custom.conf"
SICK = [
    Sick("nix", f"cp -p {CUSTOM} {CUSTOM}.kept; echo max-jobs=4 >> {CUSTOM}", f"mv {CUSTOM}.kept {CUSTOM}",
         f"{CUSTOM}, line ", "correct it and run again", frozenset({"daemon", "machine"})),
    Sick("daemon", f"launchctl bootout system/{NIX_DAEMON}; rm -f /nix/var/nix/daemon-socket/socket",
         f"launchctl bootstrap system /Library/LaunchDaemons/{NIX_DAEMON}.plist", f"{NIX_DAEMON} is not loaded",
         "launchctl bootstrap system /Library/LaunchDaemons"),
    Sick("machine", "mv /etc/nix/machines /etc/nix/kept", "mv /etc/nix/kept /etc/nix/machines",
         "Nix does not know the builder", "register ssh-ng://builder@builderfleet"),
    Sick("host key", f"cp {PIN} {PIN}.kept; echo builderfleet {OTHER_KEY} > {PIN}", f"mv {PIN}.kept {PIN}",
         f"known_hosts pins {OTHER}", "pin the builder VM's host key", frozenset({"ssh", *INSIDE})),
    Sick("host key", "cp /etc/nix/machines /etc/nix/kept; sed 's/ [^ ]*$/ c3NoLWVkMjU1MTkgQUFBQQo=/' /etc/nix/kept"
         " > /etc/nix/machines", "mv /etc/nix/kept /etc/nix/machines", "/etc/nix/machines pins", "register"),
    Sick("key", f"mv {HANDED} {HANDED}.kept; echo {OTHER_KEY} > {HANDED}; chmod 0444 {HANDED}",
         f"mv -f {HANDED}.kept {HANDED}", f"handed another public key ({OTHER})", "hand the client's public key",
         frozenset({"ssh", *INSIDE})),
    Sick("ssh", f"printf 'Host *\\n  Port 2200\\n' > {BLOCK}", f"rm {BLOCK}",
         f"{BLOCK}, line 2, port 2200", "Host * !builderfleet", frozenset({"host key", *INSIDE})),
    Sick("ssh", "mkdir -p /var/root/.ssh; printf 'Host *\\n  ProxyCommand /usr/bin/false\\n' > /var/root/.ssh/config",
         "rm /var/root/.ssh/config", "/var/root/.ssh/config, line 2, proxycommand", "in root's own configuration",
         frozenset({"host key", *INSIDE})),
    Sick("files", "chmod o+w /etc/nix/machines", "chmod o-w /etc/nix/machines", "others than root may write what Nix",
         "chmod go-w /etc/nix/machines"),
    Sick("ledger", f"mv {LEDGER} {LEDGER}.kept", f"mv {LEDGER}.kept {LEDGER}", f"write {LEDGER} again, which was gone",
         f"Run the rollout: it will write {LEDGER} again"),
    Sick("job", f"mv {ROOTS} {ROOTS}.kept", f"mv {ROOTS}.kept {ROOTS}", "its GC root", "realise the builder VM"),
]  # fmt: skip


@pytest.mark.parametrize("sick", SICK, ids=str)
def test_what_is_broken_is_found(converged: SimulatedMac, pyinfra: Pyinfra, ansible: Ansible, sick: Sick) -> None:
    converged.run(sick.break_)
    found, other = (doctor(door, converged, build=False) for door in (pyinfra, ansible))
    converged.run(sick.mend)
    assert (other.marks, other.remedies, other.run.outcome) == (found.marks, found.remedies, found.run.outcome)
    assert other.causes[sick.check] == found.causes[sick.check]
    assert sick.check in found.wrong, found.run.output
    assert sick.cause in found.causes[sick.check]
    assert any(sick.remedy in remedy for remedy in found.remedies), found.remedies
    assert found.hidden - {"build"} == sick.hidden, found.run.output
    assert (found.run.outcome, found.run.code) == ("needs a person", 4)


def test_a_build_that_fails_needs_a_person_and_is_told_once(converged: SimulatedMac, door: FrontEnd) -> None:
    converged.run("ssh builderfleet 'mkdir -p .config/nix; echo rubbish > .config/nix/nix.conf'")
    found = doctor(door, converged)
    converged.run("ssh builderfleet rm -r .config")
    assert (found.wrong, found.hidden) == (["build"], set()), found.run.output
    assert (found.run.outcome, found.run.code) == ("needs a person", 4), found.run.output
    assert "unknown setting" not in found.run.output
    told = [line for line in found.run.output.splitlines() if "[doctor]" in line and found.causes["build"] in line]
    assert len(told) == 1, found.run.output
    assert any(line.startswith("build: ") for line in found.run.changes), found.run.output


def test_linux_on_the_mac_itself_is_found(converged: SimulatedMac, pyinfra: Pyinfra) -> None:
    again = "launchctl kickstart -k system/org.nixos.nix-daemon"
    line = "extra-platforms = aarch64-linux x86_64-darwin"
    converged.run(f"cp -p {CUSTOM} {CUSTOM}.kept; echo '{line}' >> {CUSTOM}; {again}")
    found = doctor(pyinfra, converged, build=False)
    dry = pyinfra.run(converged, dry=True)
    converged.run(f"mv {CUSTOM}.kept {CUSTOM}; {again}")
    assert found.wrong == ["machine"] and "extra-platforms has aarch64-linux" in found.causes["machine"], (
        found.run.output
    )
    assert (dry.outcome, dry.code) == ("needs a person", 4), dry.output


def test_login_items(converged: SimulatedMac, pyinfra: Pyinfra) -> None:
    converged.break_("login-item-off", LABEL)
    found = doctor(pyinfra, converged, build=False)
    converged.mend("login-item-off")
    assert (found.wrong, found.hidden) == (["job"], set()), found.run.output
    assert "not be loaded at the next boot: it is switched off in the login items" in found.causes["job"]


def test_a_guest_that_finds_no_cache_says_so(converged: SimulatedMac, pyinfra: Pyinfra, lab: Lab) -> None:
    good = lab.serve("cache/nix-cache-info", b"StoreDir: /nix/store\n").removesuffix("/nix-cache-info")
    name = good.split("/")[2].split(":")[0]

    def use(url: str) -> Found:
        converged.run(f"ssh builderfleet 'mkdir -p .config/nix; echo substituters = {url} > .config/nix/nix.conf'")
        return doctor(pyinfra, converged, build=False)

    found = use(good)
    assert (found.wrong, found.causes["cache"]) == ([], f"the guest gets at {good}"), found.run.output
    assert found.causes["dns"] == f"the guest resolves {name}"
    found = use("http://cache.invalid")
    assert (found.wrong, found.hidden) == (["dns"], {"cache"}), found.run.output
    assert "the guest cannot resolve cache.invalid: it has no name server" in found.causes["dns"]
    found = use(f"{good}/elsewhere")
    assert (found.wrong, found.hidden) == (["cache"], set()), found.run.output
    assert found.causes["cache"] == f"what answers the guest at {good}/elsewhere is no binary cache"
    found = use(f"http://{name}:9")
    assert found.wrong == ["cache"], found.run.output
    assert re.search(r"cannot fetch from http://\S+:9: .*\(7\).*; nor can this Mac", found.causes["cache"]), (
        found.causes
    )
    converged.run("ssh builderfleet rm -r .config")


def in_store(mac: SimulatedMac, name: str, command: str) -> None:
    """Have a build do something to the disk that the guest's store is on, which nobody else there may write to."""
    expression = (
        f'derivation {{ name = "{name}"; system = "aarch64-linux"; builder = "/bin/sh";'
        f' args = [ "-c" "/run/current-system/sw/bin/{command}; echo > $out" ]; }}'
    )
    mac.write("/tmp/in-store.nix", expression.encode())
    mac.run("/nix/var/nix/profiles/default/bin/nix-build --no-out-link /tmp/in-store.nix; rm /tmp/in-store.nix")


def test_a_guest_whose_disk_is_nearly_full(converged: SimulatedMac, pyinfra: Pyinfra) -> None:
    in_store(converged, "fill", "fallocate -l 1500M /nix/store/.filler")
    found = doctor(pyinfra, converged, build=False)
    in_store(converged, "empty", "rm -f /nix/store/.filler")
    assert (found.wrong, found.hidden) == (["disk"], set()), found.run.output
    assert re.search(r"nearly full: \d+MiB of 1\.\dGiB are free", found.causes["disk"]), found.causes
    assert "nix-collect-garbage" in found.remedies[0]


def test_a_guest_that_is_frozen(converged: SimulatedMac, pyinfra: Pyinfra) -> None:
    qemu = converged.run("lsof -nP -t -iTCP:31422 -sTCP:LISTEN").stdout.strip()
    converged.run(f"kill -STOP {qemu}")
    found = doctor(pyinfra, converged)
    converged.run(f"kill -CONT {qemu}")
    assert (found.wrong, found.hidden) == (["port"], {"host key", "ssh", *INSIDE, "build"}), found.run.output
    assert found.causes["port"] == "port 31422 is open, but the guest behind it is silent"


def test_a_job_that_is_not_loaded_and_then_crashes_because_another_has_its_port(
    converged: SimulatedMac, pyinfra: Pyinfra
) -> None:
    converged.run(
        f"launchctl bootout system/{LABEL}; while launchctl print system/{LABEL} >/dev/null; do sleep 0.1; done"
    )
    found = doctor(pyinfra, converged)
    assert (found.wrong, found.hidden) == (["job"], {"port", "host key", "ssh", *INSIDE, "build"}), found.run.output
    assert found.causes["job"] == f"{LABEL} is not loaded"
    assert found.remedies == (f"Run the rollout: it will load launchd daemon {LABEL}",)

    converged.run(f"launchctl disable system/{LABEL}")
    converged.break_("port-taken", 31422)
    found = doctor(pyinfra, converged)
    assert found.wrong == ["job", "port"], found.run.output
    assert "switched off by an override of launchctl" in found.causes["job"]
    assert re.search(r"port 31422 is taken by python3\S* \(pid \d+\)", found.causes["port"]), found.causes

    converged.run(f"launchctl enable system/{LABEL}; launchctl bootstrap system /Library/LaunchDaemons/{LABEL}.plist")
    converged.run(f"until launchctl print system/{LABEL} | grep -q 'last exit code = [1-9]'; do sleep 0.1; done")
    found = doctor(pyinfra, converged)
    assert found.wrong == ["job", "port"], found.run.output
    assert f"{LABEL} does not keep running: it ended with exit code 1, started" in found.causes["job"]
    assert "hostfwd" in found.run.output  # QEMU's own words, from the log
    converged.mend("port-taken")
    assert pyinfra.run(converged).code == 0
