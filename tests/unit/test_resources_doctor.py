# SPDX-License-Identifier: GPL-3.0-or-later
"""Doctor: every cause once, what it hides and what it does not, and when a build is made."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from builderfleet.plugin_utils.asking import Unknown
from builderfleet.plugin_utils.checks.examination import NotReached, fingerprint
from builderfleet.plugin_utils.checks.guest import NO_FETCHES, NOT_REACHED, NoFetch, no_fetch
from builderfleet.plugin_utils.checks.ssh import LAST_WORDS, LastWord
from builderfleet.plugin_utils.checks.vm import KEPT_OUT
from builderfleet.plugin_utils.endings import STARTS
from builderfleet.plugin_utils.finding import Finding, State, rendered
from builderfleet.plugin_utils.formats.ssh_config import Complaint, Setting
from builderfleet.plugin_utils.ledger import LEDGER
from builderfleet.plugin_utils.outcome import Outcome
from builderfleet.plugin_utils.questions.clock import Clock
from builderfleet.plugin_utils.questions.file import NOTHING, File, Metadata
from builderfleet.plugin_utils.questions.free_space import MAC_SPACE, Space
from builderfleet.plugin_utils.questions.guest import Guest, GuestState, Tried
from builderfleet.plugin_utils.questions.key_pair import KeyPair
from builderfleet.plugin_utils.questions.launchd import LaunchdJob
from builderfleet.plugin_utils.questions.log_tail import LogTail
from builderfleet.plugin_utils.questions.login_items import LoginItemsOff
from builderfleet.plugin_utils.questions.network import Greeting, Listeners, Process
from builderfleet.plugin_utils.questions.nix import (
    DaemonReply,
    NixBuildHook,
    NixConfiguration,
    NixDaemonReply,
    NixDaemonStart,
    NixSources,
    NixVersion,
    Source,
)
from builderfleet.plugin_utils.questions.ssh import SshConfiguration
from builderfleet.plugin_utils.resource import Blocked, Change, Resource
from builderfleet.plugin_utils.resources.builder_vm import KNOWN_HOSTS, PUBLIC_KEY, WRAPPER
from builderfleet.plugin_utils.resources.doctor import CHECKS, Doctor, DoctorsBuild, doctor, findings
from builderfleet.plugin_utils.resources.linux_build import PROOF, Proof
from builderfleet.plugin_utils.resources.nix_installation import BEGUN, RECEIPT, plist_of
from builderfleet.plugin_utils.resources.nix_machine import MACHINES
from builderfleet.plugin_utils.resources.nix_setting import RESTART_DUE
from builderfleet.plugin_utils.resources.ssh_host import SSH_CONFIG
from builderfleet.plugin_utils.resources.trusted_files import LooseFiles
from builderfleet.plugin_utils.session import Session, SessionError

from tests.unit import test_resources_linux_builder as whole
from tests.unit.answers import (
    GIVEN,
    NOW,
    OTHER_PUBLIC,
    PUBLIC,
    SSHD,
    Case,
    World,
    answers,
    file,
    link,
    loaded,
    nix,
    pair,
    receipt,
)
from tests.unit.test_resources_trusted_files import OURS, THEIRS


def resources(**given: Any) -> tuple[Resource, DoctorsBuild, Doctor]:
    (root, build, examined), wrong = doctor({**GIVEN, **given}, NOW)
    assert isinstance(build, DoctorsBuild) and isinstance(examined, Doctor) and not wrong
    return root, build, examined


ROOT_ON_MAC, BUILD, DOCTOR = resources()
BUILDER = DOCTOR.builder
LABEL, NIX_DAEMON = BUILDER.job.label, "org.nixos.nix-daemon"
JOB, GUEST, KEY = LaunchdJob(LABEL), Guest("builderfleet"), KeyPair(BUILDER.key.path)
SOCKET = Metadata("/nix/var/nix/daemon-socket/socket")
PLIST = f"/Library/LaunchDaemons/{LABEL}.plist"
LISTENING = Process(pid=412, group=411, parent=411, command="qemu-system-aarch64", addresses=("127.0.0.1:31422",))
ALL_WELL = GuestState(
    status=0,
    host_key=fingerprint(BUILDER.vm.host_key),
    before=NOW,
    after=NOW + 3,
    now=NOW + 1,
    disk=(60 * 2**30, 50 * 2**30),
    substituters="https://cache.nixos.org/",
    cache="https://cache.nixos.org",
    name="cache.nixos.org",
    nameservers="8.8.8.8",
    resolve=Tried("0"),
    fetch=Tried("0"),
)
HEALTHY: World = whole.CONVERGED | {
    PROOF: NOTHING,
    NixDaemonReply(): DaemonReply(True),
    LaunchdJob(NIX_DAEMON): loaded(NIX_DAEMON),
    SOCKET: file(None),
    Listeners(31422): (LISTENING,),
    GUEST: ALL_WELL,
}
"""What a Mac answers whose builder has nothing."""


OVERRIDDEN = SshConfiguration(
    effective={"port": ["2200"]},
    wanted={"port": ["31422"]},
    settings=(Setting("/etc/ssh/ssh_config.d/000-corp.conf", 2, "port"), Setting(BUILDER.ssh.path, 4, "port")),
)


def guest(**changed: Any) -> World:
    return {GUEST: replace(ALL_WELL, **changed)}


def no_ssh(error: str, status: int = 255) -> World:
    return {GUEST: GuestState(status=status, error=error, host_key=ALL_WELL.host_key, before=NOW, after=NOW)}


def job(**fields: Any) -> Any:
    wanted = BUILDER.job
    return loaded(LABEL, environment=wanted.definition()["EnvironmentVariables"], **fields)


STOPPED: World = {Greeting(31422): b"", Listeners(31422): (), GUEST: GuestState(status=255, error="refused", after=1)}


@dataclass(frozen=True)
class Sick:
    """What differs from a healthy Mac, the check that finds it, what it says, and the checks that are not reached then."""

    name: str
    check: str
    world: World
    cause: str
    remedy: str
    hidden: tuple[str, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


INSIDE = ("disk", "clock", "dns", "cache")
NIX_SIDE = ("daemon", "machine")
OVER_SSH = ("host key", "ssh", *INSIDE)
ROLLOUT = "Run the rollout: it will"
OTHER = fingerprint(OTHER_PUBLIC)

DAEMONS: list[tuple[str, World, str, str]] = [
    (
        "a daemon without a job",
        {plist_of(NIX_DAEMON): NOTHING, LaunchdJob(NIX_DAEMON): loaded(NIX_DAEMON, pid=None)},
        "does not keep running",
        "kickstart -k",
    ),
    (
        "a daemon that is gone",
        {plist_of(NIX_DAEMON): NOTHING, LaunchdJob(NIX_DAEMON): replace(loaded(NIX_DAEMON), job=None)},
        "nix-daemon.plist is gone",
        "Repair this Nix",
    ),
    (
        "a daemon that is not loaded",
        {LaunchdJob(NIX_DAEMON): replace(loaded(NIX_DAEMON), job=None)},
        "is not loaded",
        "launchctl bootstrap system /Library",
    ),
    (
        "a daemon that is disabled",
        {LaunchdJob(NIX_DAEMON): replace(loaded(NIX_DAEMON, disabled=True), job=None)},
        "switched off by an override",
        "launchctl enable system/org.nixos.nix-daemon",
    ),
    (
        "a daemon that is no login item",
        {
            LaunchdJob(NIX_DAEMON): replace(loaded(NIX_DAEMON), job=None),
            LoginItemsOff(): frozenset({f"file://{plist_of(NIX_DAEMON).path}"}),
        },
        "login items",
        "System Settings",
    ),
    (
        "a daemon that crashes",
        {LaunchdJob(NIX_DAEMON): loaded(NIX_DAEMON, pid=None, last_exit_code=1, runs=40)},
        "ended with exit code 1, started 40 times",
        "kickstart -k",
    ),
    ("a daemon without a socket", {SOCKET: NOTHING}, "its socket /nix/var", "kickstart -k"),
    (
        "a daemon that hangs",
        {NixDaemonReply(): DaemonReply(False, "took longer than 20 seconds")},
        "does not answer: took longer",
        "kickstart -k",
    ),
]
SILENT: World = {NixDaemonReply(): DaemonReply(False, "error: x")}
SICK = [
    # Nix
    Sick(
        "no Nix",
        "nix",
        {key: NOTHING for key, value in HEALTHY.items() if isinstance(key, File | Metadata) and "nix" in str(key)}
        | {NixVersion(): "", RECEIPT: NOTHING},
        "there is no Nix on this Mac",
        f"{ROLLOUT} install Nix with nix-installer 2.35.2",
        NIX_SIDE,
    ),
    Sick("half a Nix", "nix", {RECEIPT: receipt("Progress")}, "was not finished", "Finish or undo it", NIX_SIDE),
    Sick(
        "half a Nix of ours",
        "nix",
        {RECEIPT: receipt("Progress"), BEGUN: file("")},
        "its installation was cut off",
        f"{ROLLOUT} install Nix",
        NIX_SIDE,
    ),
    Sick("Nix does not run", "nix", {NixVersion(): ""}, "could not be told", "did not come along", NIX_SIDE),
    Sick(
        "a configuration that is not read",
        "nix",
        {NixConfiguration(): nix("error: illegal line", builders_use_substitutes="true")},
        "does not read its configuration: error: illegal line",
        "in /etc/nix",
        NIX_SIDE,
    ),
    Sick(
        "a foreign line that is not read",
        "nix",
        {NixConfiguration(): nix("error: syntax error"), File("/etc/nix/nix.conf"): file("a=b\n")},
        "/etc/nix/nix.conf, line 1",
        "correct it",
        NIX_SIDE,
    ),
    # the daemon
    *(Sick(name, "daemon", {**SILENT, **world}, cause, remedy) for name, world, cause, remedy in DAEMONS),
    # the job
    Sick("not loaded", "job", STOPPED | {JOB: replace(job(), job=None)}, "is not loaded", f"{ROLLOUT} load launchd",
         ("port", *OVER_SSH)),
    Sick("disabled", "job", STOPPED | {JOB: replace(job(disabled=True), job=None)}, "by an override of launchctl",
         f"{ROLLOUT} load launchd", ("port", *OVER_SSH)),
    Sick("disabled for later", "job", {JOB: job(disabled=True)}, "will not be loaded at the next boot", f"{ROLLOUT} enable"),
    Sick("no login item", "job", STOPPED | {JOB: replace(job(), job=None), LoginItemsOff(): frozenset({f"file://{PLIST}"})},
         "is not loaded: it is switched off in the login items", "System Settings", ("port", *OVER_SSH)),
    Sick("crashing", "job",
         STOPPED | {JOB: job(pid=None, last_exit_code=1, runs=9), LogTail(BUILDER.job.log): ("qemu: no disk",)},
         r"ended with exit code 1, started 9 times\n.*log ends with \(the words of QEMU and of the guest\):\n  qemu: no disk",
         "See /var/log", ("port", *OVER_SSH)),
    Sick("crashing over its disk", "job",
         STOPPED | {JOB: job(pid=None, last_exit_code=1, runs=9),
                    LogTail(BUILDER.job.log): ("Read-only file system", STARTS, "qemu: Image is not in qcow2 format")},
         r"the VM's disk is damaged \(QEMU says: Image is not in qcow2 format\)", r"sudo mv .*/nixos\.qcow2 ",
         ("port", *OVER_SSH)),
    Sick("crashing and just started again", "job",
         STOPPED | {JOB: job(last_exit_code=1, runs=9),
                    LogTail(BUILDER.job.log): (STARTS, "qemu: Image is not in qcow2 format", STARTS)},
         r"the VM's disk is damaged \(QEMU says: Image is not in qcow2 format\)", r"sudo mv .*/nixos\.qcow2 ",
         ("port", *OVER_SSH)),
    Sick("crashing without GICv2", "job",
         STOPPED | {JOB: job(pid=None, last_exit_code=1, runs=9),
                    LogTail(BUILDER.job.log): (STARTS, "qemu-system-aarch64: HVF does not support GICv2 emulation")},
         "no GICv2 under Apple's hypervisor", "Pin another nixpkgs", ("port", *OVER_SSH)),
    Sick("on its way out", "job", STOPPED | {JOB: job(state="SIGTERMed")}, "is on its way out", ROLLOUT,
         ("port", *OVER_SSH)),
    Sick("crashing as QEMU does", "job", STOPPED | {JOB: job(pid=None, last_exit_code=134, runs=9)}, "exit code 134",
         "pin another nixpkgs", ("port", *OVER_SSH)),
    Sick("killed", "job", STOPPED | {JOB: job(pid=None, last_signal="Killed: 9")}, r"a signal ended it \(Killed: 9\)",
         "See /var/log", ("port", *OVER_SSH)),
    Sick("no program", "job", {Metadata(BUILDER.vm.root): NOTHING}, "program .* is gone: .* is not there",
         f"{ROLLOUT} realise the builder VM"),
    Sick("a program that was collected", "job", {Metadata(BUILDER.vm.root): link("/nix/store/x", resolves=False)},
         "leads nowhere", f"{ROLLOUT} realise"),
    Sick("no start script", "job", {File(WRAPPER): NOTHING}, "runs from is not as it was left", "start script"),
    Sick("another definition", "job", {File(PLIST): file("rubbish")}, "has another", f"{ROLLOUT} reload"),
    # the port
    Sick("taken", "port", {Listeners(31422): (replace(LISTENING, pid=7, group=7, parent=1, command="nc"),),
                           Greeting(31422): b"", **no_ssh("timed out")},
         r"taken by nc \(pid 7\)", "End that process", ("ssh", *INSIDE)),
    Sick("another builders port", "port", {Listeners(31022): (replace(LISTENING, pid=7, group=7, parent=1),),
                                           Greeting(31022): SSHD},
         "the port of the stock darwin.linux-builder", "another port", given={"linux_builder_port": 31022}),
    Sick("silent", "port", {Greeting(31422): b"", **no_ssh("Connection timed out during banner exchange")},
         "open, but the guest behind it is silent", "launchctl kill SIGTERM", ("ssh", *INSIDE)),
    Sick("silent over its disk", "port",
         {Greeting(31422): b"", LogTail(BUILDER.job.log): (STARTS, "error: creating '/nix/var': Read-only file system"),
          **no_ssh("Connection timed out during banner exchange")},
         r"silent: the guest cannot write to the VM's disk: it is damaged \(the guest says: Read-only file system\)",
         r"sudo mv .*/nixos\.qcow2 ", ("ssh", *INSIDE)),
    Sick("closed", "port", STOPPED, "nobody listens on port 31422", "It may be starting", OVER_SSH),
    Sick("no sshd", "port", {Greeting(31422): b"220 mail\r\n", **no_ssh("bad banner")}, "no SSH server: '220 mail'", "lsof",
         ("ssh", *INSIDE)),
    # keys
    Sick("another host key", "host key",
         {GUEST: GuestState(status=255, error="Host key verification failed.", host_key=OTHER)},
         f"presents another host key than the one wanted: {OTHER}", "set linux_builder_host_key", ("ssh", *INSIDE)),
    Sick("another pin for ssh", "host key",
         {KNOWN_HOSTS: file(f"builderfleet {OTHER_PUBLIC}\n"), **no_ssh("Host key verification failed.")},
         f"known_hosts pins {OTHER}", f"{ROLLOUT} pin the builder VM's host key", ("ssh", *INSIDE)),
    Sick("no key", "key", {KEY: pair(NOTHING, NOTHING, ""), **no_ssh("Permission denied (publickey).")},
         "has no key", f"{ROLLOUT} make SSH key pair", ("ssh", *INSIDE)),
    Sick("a key for all", "key", {KEY: pair(file(None, 0o644), file(f"{PUBLIC} b\n"), "")}, "root's alone.*0644",
         f"{ROLLOUT} set owner and mode"),
    Sick("a damaged key", "key", {KEY: pair(file(None, 0o600), file(f"{PUBLIC} b\n"), "")}, "cannot be used",
         f"{ROLLOUT} replace SSH key pair"),
    Sick("no public half", "key", {KEY: pair(file(None, 0o600), NOTHING)}, ".pub is not there", f"{ROLLOUT} derive"),
    Sick("another public half", "key", {KEY: pair(file(None, 0o600), file(f"{OTHER_PUBLIC} b\n"))}, "another private half",
         f"{ROLLOUT} derive"),
    Sick("another key handed", "key",
         {PUBLIC_KEY: file(f"{OTHER_PUBLIC} b\n", 0o444), **no_ssh("Permission denied (publickey).")},
         f"handed another public key .{OTHER}", f"{ROLLOUT} hand the client's public key", ("ssh", *INSIDE)),
    Sick("no key handed", "key", {PUBLIC_KEY: NOTHING}, "handed no public key", f"{ROLLOUT} hand"),
    Sick("a key handed that all write", "key", {PUBLIC_KEY: file(f"{PUBLIC} b\n", 0o666)}, "does not trust.*0666",
         f"{ROLLOUT} hand"),
    # ssh
    Sick("no block", "ssh", {File(BUILDER.ssh.path): NOTHING, GUEST: GuestState(status=255, error="no such host")},
         "150-builderfleet.conf is not there", f"{ROLLOUT} write ssh host", ("host key", *INSIDE)),
    Sick("another block", "ssh", {File(BUILDER.ssh.path): file("Host builderfleet\n")}, "is not as wanted",
         f"{ROLLOUT} write"),
    Sick("a block that is not read", "ssh", {SSH_CONFIG: file("Host *\n")}, "does not include it", f"{ROLLOUT} have"),
    Sick("a block that is overridden", "ssh",
         {BUILDER.ssh.effect: OVERRIDDEN, **no_ssh("Connection refused")}, r"000-corp.conf, line 2, port 2200",
         r"Host \* !builderfleet", INSIDE),
    Sick("an ssh that refuses a line", "ssh",
         {BUILDER.ssh.effect: SshConfiguration(complaint=Complaint("Bad port 'x'", "/var/root/.ssh/config", 3)),
          GUEST: GuestState(status=255, error="terminating, 1 bad configuration options")},
         "/var/root/.ssh/config, line 3: Bad port 'x'", "not builderfleet's", ("host key", *INSIDE)),
    Sick("permission denied", "ssh", no_ssh("builder@127.0.0.1: Permission denied (publickey)."), "refuses this Mac's key",
         "starts the VM again", INSIDE),
    Sick("timed out", "ssh", no_ssh("Connection timed out during banner exchange"), "in time", "hangs", INSIDE),
    Sick("turned away", "ssh", no_ssh("Connection closed by 127.0.0.1 port 31422"), "ends the connection", "too often",
         INSIDE),
    Sick("something else", "ssh", no_ssh("", 1), "fails: status 1 and no message", "sudo -H ssh -v builderfleet", INSIDE),
    Sick("no host key was seen", "ssh", {GUEST: GuestState(status=255, error="Connection closed by 127.0.0.1 port 31422")},
         "ends the connection", "too often", ("host key", *INSIDE)),
    Sick("another port answers", "ssh",
         {GUEST: GuestState(status=255, error="Host key verification failed.", went_to="127.0.0.1 port 22", host_key=OTHER)},
         "goes to 127.0.0.1 port 22, not to 127.0.0.1 port 31422", "overrides", ("host key", *INSIDE)),
    Sick("a proxy command", "ssh",
         {GUEST: GuestState(status=255, error="Connection closed by UNKNOWN port 65535", went_to="a proxy command")},
         "goes to a proxy command", "overrides", ("host key", *INSIDE)),
    # inside
    Sick("a full Mac", "disk", {MAC_SPACE: Space(500 * 2**30, 2**29)}, "Mac's own disk.*512MiB of 500.0GiB", "Make room"),
    Sick("a guest that collects garbage while it builds", "disk", guest(disk=(60 * 2**30, 900 * 2**20)),
         "900MiB of 60.0GiB are free in the guest, and with less than 1GiB", "collect-garbage"),
    Sick("a full guest", "disk", guest(disk=(60 * 2**30, 100 * 2**20)), "100MiB of 60.0GiB are free", "collect-garbage"),
    Sick("a Mac behind", "clock", {Clock(): NOW - 300}, "this Mac's clock is 300 s behind the controller's", "sntp"),
    Sick("a Mac ahead", "clock", {Clock(): NOW + 7200}, "7200 s ahead of", "sntp"),
    Sick("a guest behind", "clock", guest(now=NOW - 3600), "guest's clock is 3600 s behind", "kill SIGTERM"),
    Sick("no name server", "dns", guest(resolve=Tried("2"), nameservers=""), "it has no name server, while", "8.8.8.8",
         ("cache",)),
    Sick("a name server that is held up", "dns", guest(resolve=Tried("124")), "asks 8.8.8.8, while this Mac gets there",
         "linux_builder_use_substitutes: false", ("cache",)),
    Sick("no network", "dns", guest(resolve=Tried("2"), mac_fetches=False), "this Mac does not get there either",
         "Mac's network", ("cache",)),
    Sick("a proxy", "cache", guest(fetch=Tried("1", "error: x: SSL peer certificate or SSH remote key was not OK (60)")),
         "does not trust the certificate of https://cache.nixos.org", "linux_builder_certificates"),
    Sick("a portal", "cache", guest(fetch=Tried("1", "'x' does not appear to be a binary cache")), "no binary cache",
         "portal"),
    Sick("a cache that wants a login", "cache", guest(fetch=Tried("1", "error: unable to download 'x': HTTP error 401")),
         "wants a login: error: unable", "netrc-file"),
    Sick("a cache that is broken", "cache", guest(fetch=Tried("1", "error: unable to download 'x': HTTP error 503")),
         "answers with an error: error: unable", "look again later"),
    Sick("a firewall", "cache", guest(fetch=Tried("1", "error: Timeout was reached (28)")), r"\(28\); this Mac can",
         "firewall"),
    Sick("a cache that is down", "cache", guest(fetch=Tried("7", ""), mac_fetches=False), "status 7; nor can this Mac",
         "network"),
    # Nix's view of it
    Sick("not registered", "machine", {MACHINES: NOTHING}, "does not know the builder", f"{ROLLOUT} register"),
    Sick("registered otherwise", "machine",
         {MACHINES: file((HEALTHY[MACHINES].content or b"").replace(b" 4 ", b" 1 "))}, "not as wanted", f"{ROLLOUT} register"),
    Sick("another tools machines", "machine", {MACHINES: link("/etc/static/nix/machines")}, "nix-darwin",
         "Have that tool write"),
    Sick("hidden by an inline setting", "machine",
         {NixConfiguration(): nix(builders="ssh://x", builders_use_substitutes="true"),
          NixSources(): (Source("/etc/nix/nix.conf", 1, "builders"),)}, "line 1, sets builders, which hides",
         "Put `;@/etc/nix/machines`"),
    Sick("a foreign line that stops all", "machine",
         {MACHINES: file((HEALTHY[MACHINES].content or b"") + b"x y z many\n"),
          NixBuildHook(): "error: bad machine specification: failed to convert column #3 in a row: 'x y z many'"},
         "/etc/nix/machines, line 2", "put it right"),
    Sick("Linux on the Mac itself", "machine",
         {NixConfiguration(): nix(builders="@/etc/nix/machines", builders_use_substitutes="true",
                                  extra_platforms="x86_64-darwin aarch64-linux")},
         "extra-platforms has aarch64-linux", "Take aarch64-linux out of extra-platforms"),
    Sick("no substitutes", "machine",
         {NixConfiguration(): nix(builders="@/etc/nix/machines", builders_use_substitutes="false")},
         "builders-use-substitutes", f"{ROLLOUT} set"),
    Sick("a daemon that holds what its files said before", "daemon",
         {NixDaemonStart(): NOW - 500, NixSources(): (Source("/etc/nix/nix.conf", 3, Source.END, changed=NOW - 60),)},
         "was started before /etc/nix/nix.conf was changed", f"{ROLLOUT} restart"),
    Sick("a daemon that works until the next boot", "daemon",
         {LoginItemsOff(): frozenset({f"file://{plist_of(NIX_DAEMON).path}"})}, "switched off in .* login items",
         "System Settings"),
    Sick("a restart that is due", "machine", {RESTART_DUE: file("")}, "restart the Nix daemon", f"{ROLLOUT} restart"),
    # what no build shows
    Sick("a nix.conf that all write", "files", {LooseFiles(): (THEIRS,)},
         f"others than root may write what Nix, ssh or launchd trust: {THEIRS}",
         "Whoever can write that becomes root.*chmod go-w /etc/nix/nix.conf"),
    Sick("a disk that somebody owns", "files", {LooseFiles(): (OURS,)}, f"make root's again what others may write: {OURS}",
         f"{ROLLOUT} make root's again"),
    Sick("both", "files", {LooseFiles(): (THEIRS, OURS)}, r"root's again .*\nothers than root may write", "Whoever"),
    Sick("a ledger that is gone", "ledger", {LEDGER: NOTHING}, "which was gone",
         f"{ROLLOUT} write {LEDGER.path} again"),
    Sick("a ledger that is damaged", "ledger", {LEDGER: file("{")}, "cannot be read: .* is damaged", "See there"),
]  # fmt: skip


def of(resource: Doctor, world: World) -> list[Finding]:
    return list(resource.examine(answers(resource, world)).found.values())


def examined(sick: Sick) -> dict[str, Finding]:
    _, _, examination = resources(**sick.given)
    return {finding.check: finding for finding in of(examination, HEALTHY | sick.world)}


def test_a_healthy_mac_has_nothing() -> None:
    found = of(DOCTOR, HEALTHY)
    assert [(each.check, each.state) for each in found] == [(name, State.FINE) for name in CHECKS]
    assert Case("", DOCTOR, HEALTHY).steps() == []
    assert [step.summary for step in Case("", BUILD, HEALTHY).steps()] == [
        "prove it with a Linux build for aarch64-linux"
    ]


@pytest.mark.parametrize("said", KEPT_OUT)
def test_an_sshd_that_keeps_us_out_for_a_while_is_one(said: str) -> None:
    found = {each.check: each for each in of(DOCTOR, HEALTHY | {Greeting(31422): f"{said}\r\n".encode()})}
    assert (found["port"].state, found["job"].state) == (State.FINE, State.FINE)
    assert said in found["port"].cause


@pytest.mark.parametrize("sick", SICK, ids=str)
def test_what_is_wrong_is_found_with_its_cause(sick: Sick) -> None:
    found = examined(sick)
    finding = found[sick.check]
    assert finding.state is State.BROKEN, finding
    assert _matches(sick.cause, finding.cause), finding.cause
    assert _matches(sick.remedy, finding.remedy), finding.remedy
    hidden = {name for name, each in found.items() if each.state is State.NOT_REACHED}
    assert hidden == set(sick.hidden)
    assert {found[name].waits_for for name in hidden} <= {sick.check}


def _matches(pattern: str, text: str) -> bool:
    return re.search(pattern, text) is not None or pattern in text


FETCHED = [
    *((kind, version, text) for kind in NO_FETCHES for version, text in kind.seen.items()),
    *((None, version, text) for version, text in NOT_REACHED.items()),
]


@pytest.mark.parametrize(
    ("kind", "version", "text"), FETCHED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_each_nix_says_of_a_cache_is_told_apart(kind: NoFetch | None, version: str, text: str) -> None:
    assert no_fetch(text) is kind, version
    world = HEALTHY | guest(fetch=Tried("1", text))
    found = {each.check: each for each in of(DOCTOR, world)}["cache"]
    assert found.state is State.BROKEN
    assert found.remedy == (kind.remedy if kind else found.remedy)
    assert kind is not None or (text in found.cause and "this Mac can" in found.cause)


@pytest.mark.parametrize("word", LAST_WORDS, ids=lambda word: word.seen)
def test_what_ssh_says_last_is_said_with_its_meaning(word: LastWord) -> None:
    assert next(each for each in LAST_WORDS if each.pattern.search(word.seen)) is word
    for host_key in ("", ALL_WELL.host_key):
        world = HEALTHY | {GUEST: GuestState(status=255, error=word.seen, host_key=host_key)}
        found = {each.check: each for each in of(DOCTOR, world)}
        assert found["ssh"].state is State.BROKEN
        assert word.seen in found["ssh"].cause and found["ssh"].remedy
        assert Case("", DOCTOR, world).steps() != []


def test_a_key_is_adopted_only_from_the_builders_own_port() -> None:
    taken = {Listeners(31422): (replace(LISTENING, pid=7, group=7, parent=1, command="sshd"),)}
    world = HEALTHY | taken | {GUEST: GuestState(status=255, error="x", host_key=OTHER)}
    found = {each.check: each for each in of(DOCTOR, world)}
    assert found["host key"].state is State.BROKEN
    assert "linux_builder_host_key" not in found["host key"].remedy


NO_LOGINS = [{}, *({GUEST: GuestState(status=255, error=error)} for error in ("", *(each.seen for each in LAST_WORDS)))]


@pytest.mark.parametrize("sick", SICK, ids=str)
def test_what_is_not_reached_is_never_health(sick: Sick) -> None:
    """Whatever else is wrong besides, and however little ssh says."""
    _, _, examination = resources(**sick.given)
    for other in NO_LOGINS:
        heard = answers(examination, HEALTHY | other | sick.world)
        found = examination.examine(heard).found
        states = {each.state for each in found.values()}
        assert State.NOT_REACHED not in states or states & {State.BROKEN, State.UNKNOWN}
        assert {found[each.waits_for].state for each in found.values() if each.waits_for} <= {
            State.BROKEN,
            State.UNKNOWN,
        }
        with contextlib.suppress(Unknown):
            assert list(examination.changes(heard)) != []


def test_checks_that_wait_for_each_other_are_no_health(monkeypatch: pytest.MonkeyPatch) -> None:
    def waits(for_: str) -> Any:
        def check(examination: Any) -> Finding:
            raise NotReached(for_)

        return check

    monkeypatch.setattr("builderfleet.plugin_utils.resources.doctor.CHECKS", {"a": waits("b"), "b": waits("a")})
    found = DOCTOR.examine(answers(DOCTOR, HEALTHY)).found
    assert {each.state for each in found.values()} == {State.UNKNOWN}


def test_every_check_is_found_wrong_somewhere() -> None:
    assert {sick.check for sick in SICK} == set(CHECKS)


def test_what_is_wrong_needs_a_person() -> None:
    steps = Case("", DOCTOR, HEALTHY | {MACHINES: NOTHING} | guest(disk=(2**30, 2**20))).steps()
    assert all(isinstance(step, Blocked) for step in steps)
    assert [step.summary.partition(":")[0] for step in steps] == ["disk", "machine"]


UNKNOWN: list[tuple[Any, set[str]]] = [
    (NixVersion(), {"nix", "daemon", "machine"}),
    (NixDaemonReply(), {"daemon"}),
    (JOB, {"job", "port", "host key", "key"}),
    (Listeners(31422), {"port"}),
    (GUEST, {"host key", "ssh", *INSIDE}),
    (Clock(), {"clock"}),
    (MAC_SPACE, {"disk"}),
    (MACHINES, {"host key", "machine"}),
    (LooseFiles(), {"files"}),
]


@pytest.mark.parametrize(("question", "checks"), UNKNOWN, ids=[str(question) for question, _ in UNKNOWN])
def test_an_unknown_answer_is_no_health(question: Any, checks: set[str]) -> None:
    asked = Case("", DOCTOR, HEALTHY)
    known = {each: value for each, value in HEALTHY.items() if each != question}
    heard = answers(DOCTOR, known)
    heard._known.pop(question)
    found = DOCTOR.examine(heard).found
    assert {name for name, each in found.items() if each.state is State.UNKNOWN} == checks
    with pytest.raises(Unknown):
        list(asked.resource.changes(heard))


def test_login_items_and_logs_that_are_not_told_hide_nothing() -> None:
    heard = answers(DOCTOR, HEALTHY | {JOB: job(disabled=True)})
    heard._known.pop(LoginItemsOff())
    assert DOCTOR.examine(heard).found["job"].state is State.BROKEN


@pytest.mark.parametrize("answer", [Tried("127", "not found"), None])
def test_what_the_guest_cannot_try_is_unknown(answer: Tried | None) -> None:
    found = {each.check: each.state for each in of(DOCTOR, HEALTHY | guest(resolve=answer))}
    assert found["dns"] is State.UNKNOWN
    found = {each.check: each.state for each in of(DOCTOR, HEALTHY | guest(fetch=answer))}
    assert (found["dns"], found["cache"]) == (State.FINE, State.UNKNOWN)


def test_a_guest_that_uses_no_cache_needs_none() -> None:
    for changed in ({"substituters": "", "cache": ""}, {"substituters": "s3://bucket", "cache": ""}):
        assert {each.state for each in of(DOCTOR, HEALTHY | guest(**changed))} == {State.FINE}
    _, _, sender = resources(linux_builder_use_substitutes=False)
    found = {each.check: each for each in of(sender, HEALTHY | guest(resolve=Tried("2")))}
    assert (found["dns"].state, found["cache"].state) == (State.FINE, State.FINE)
    assert "cannot resolve" in found["dns"].cause


# --- the build -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sick", SICK, ids=str)
def test_a_build_is_made_unless_what_it_needs_is_wrong(sick: Sick) -> None:
    _, build, _ = resources(**sick.given)
    steps = Case("", build, HEALTHY | sick.world).steps()
    prevented = sick.check in ("nix", "daemon", "machine", "host key", "ledger") or "ssh" in sick.hidden
    prevented = prevented or "disk" in sick.hidden
    assert bool(steps) is not prevented
    assert all(isinstance(step, Change) and step.proof for step in steps)


def session(world: World, failure: SessionError | None = None) -> Session:
    conversation = Session((ROOT_ON_MAC, BUILD, DOCTOR), "anna", failure=failure)
    conversation._answers = answers(DOCTOR, world)
    return conversation


PROVED = {
    PROOF: file(
        Proof("Linux 6 on builder for aarch64-linux", "aarch64-linux", BUILDER.machine.uri, BUILDER.build.stamp).row()
    )
}
FAILED = "warning: x\nerror: out of memory\nthe builder is set up, but no Linux build comes through: see above"


@pytest.mark.parametrize(
    ("world", "failure", "state", "cause"),
    [
        (PROVED, None, State.FINE, "Linux 6 in builderfleet"),
        (
            {},
            SessionError("build: error: out of memory", Outcome.NEEDS_PERSON, FAILED),
            State.BROKEN,
            "error: out of memory\n  warning: x\n  the builder is set up",
        ),
        ({}, SessionError("wanted a transcript"), State.UNKNOWN, "could not be made: wanted a transcript"),
        ({}, SessionError("locked by bob", Outcome.LOCKED), State.UNKNOWN, "could not be made: locked by bob"),
        ({MACHINES: NOTHING}, None, State.NOT_REACHED, "machine comes first"),
        (no_ssh("Connection closed"), None, State.NOT_REACHED, "ssh comes first"),
    ],
)
def test_what_came_of_the_build(world: World, failure: SessionError | None, state: State, cause: str) -> None:
    found = findings(session(HEALTHY | world, failure))[-1]
    assert (found.check, found.state) == ("build", state)
    assert cause in found.cause


def test_a_build_that_is_still_to_be_made_is_no_finding() -> None:
    assert [each.check for each in findings(session(HEALTHY))] == [each.check for each in of(DOCTOR, HEALTHY)]


def test_what_the_build_took_is_no_error_of_the_clock() -> None:
    later = HEALTHY | {Clock(): NOW + 600} | guest(before=NOW + 600, now=NOW + 601, after=NOW + 602)
    assert {each.check for each in of(DOCTOR, later) if each.state is State.BROKEN} == {"clock"}
    assert {each.state for each in of(DOCTOR, later | PROVED)} == {State.FINE}


def test_outcomes() -> None:
    assert session(HEALTHY).outcome() is Outcome.CONVERGED
    assert session(HEALTHY | PROVED).outcome() is Outcome.CONVERGED
    assert session(HEALTHY | {MACHINES: NOTHING}).outcome() is Outcome.NEEDS_PERSON


# --- variables -----------------------------------------------------------------------------------------------------


def test_wrong_variables_are_refused() -> None:
    found, wrong = doctor(GIVEN | {"linux_builder_port": "many"}, NOW)
    assert found == ()
    assert [each.name for each in wrong] == ["linux_builder_port"]


def test_where_no_builder_is_wanted_nothing_is_examined() -> None:
    assert doctor(GIVEN | {"linux_builder_state": "absent"}, NOW) == ((), ())
    (finding,) = findings(Session((), "anna"))
    assert finding.state is State.FINE


# --- what people read ----------------------------------------------------------------------------------------------


def test_what_people_read() -> None:
    found = [
        Finding("nix", State.FINE, "Nix 2.35.2, NixOS nix-installer"),
        Finding("job", State.BROKEN, "it crashes\n  qemu: no disk", "Look at it"),
        Finding("port", State.NOT_REACHED, "not reached: job comes first", waits_for="job"),
        Finding("host key", State.UNKNOWN, "could not be told"),
    ]
    assert list(rendered(found)) == [
        "ok     nix       Nix 2.35.2, NixOS nix-installer",
        "WRONG  job       it crashes",
        "                   qemu: no disk",
        "                 → Look at it",
        "-      port      not reached: job comes first",
        "?      host key  could not be told",
    ]


def test_room_that_the_guest_believes_to_have_and_the_mac_has_not_is_said() -> None:
    world: World = {MAC_SPACE: Space(500 * 2**30, 10 * 2**30)}
    said = {each.check: each.cause for each in of(DOCTOR, HEALTHY | world)}["disk"]
    assert said.endswith("10.0GiB on this Mac, less than the guest believes to have")


def test_fingerprints_are_those_of_ssh() -> None:
    assert fingerprint(BUILDER.vm.host_key) == "SHA256:73nCAX7tESRWJ4ZN8RkOlqB+0bgxKVmbNRUcFPbXMkE"
    assert fingerprint("rubbish") == fingerprint("ssh-ed25519 ?") == ""
