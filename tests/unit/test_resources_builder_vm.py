# SPDX-License-Identifier: GPL-3.0-or-later
"""BuilderVm: directories, the client's public key, the program behind a GC root, the start script, the disk."""

from __future__ import annotations

import plistlib
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.asking import Replies, Unknown
from builderfleet.plugin_utils.endings import STARTS
from builderfleet.plugin_utils.ledger import BACKUPS, LEDGER, LEDGER_WAS_GONE, STATE, Entry, Ledger
from builderfleet.plugin_utils.questions.attribute import NO_BACKUP, NO_BACKUP_VALUE, Attribute
from builderfleet.plugin_utils.questions.certificates import Bundle, Certificates
from builderfleet.plugin_utils.questions.file import NOTHING, File, Metadata
from builderfleet.plugin_utils.questions.free_space import MAC_SPACE, Space
from builderfleet.plugin_utils.questions.key_pair import KeyPair
from builderfleet.plugin_utils.questions.launchd import LaunchdJob
from builderfleet.plugin_utils.questions.names import Names
from builderfleet.plugin_utils.questions.network import Greeting
from builderfleet.plugin_utils.questions.nix import NIX
from builderfleet.plugin_utils.resource import Change
from builderfleet.plugin_utils.resources.builder_vm import (
    CERTIFICATES,
    DIRECTORY,
    DISK,
    EXCLUDE,
    KEYS,
    KNOWN_HOSTS,
    LEFT_OF_LOG,
    LOG,
    MOST_LOG,
    PROFILES,
    PUBLIC_KEY,
    RENEW,
    ROOTS,
    WRAPPER,
    BuilderVm,
    FormerBuilderVms,
    NoStateDirectory,
    RootNames,
)
from builderfleet.plugin_utils.shell import STATE_DIRECTORY
from builderfleet.plugin_utils.size import Size

from tests.unit.answers import (
    GIVEN,
    OTHER_PUBLIC,
    PRIVATE,
    PUBLIC,
    SSHD,
    THERE,
    Case,
    Person,
    World,
    answers,
    directory,
    file,
    ledger_of,
    link,
    loaded,
    pair,
)
from tests.unit.sandbox import Sandbox

WANTED = BuilderVm(
    nixpkgs=GIVEN["linux_builder_nixpkgs"],
    cores=4,
    memory=Size.parse("6GiB"),
    disk=Size.parse("60GiB"),
    port=31422,
    host_key=PUBLIC,
)
UNWANTED = BuilderVm(present=False)
ROOT, JOB = Metadata(WANTED.root), LaunchdJob(WANTED.label)
SIZED = Metadata(WANTED.sized_root)
ROOTS_OF_IT = (WANTED.root, WANTED.sized_root)
BIGGER = replace(WANTED, disk=Size.parse("80GiB"))
BIGGER_SIZED = Metadata(BIGGER.sized_root)

STATE_RIGHT = "put the state directory /var/lib/builderfleet right"
HAND, REALISE = "hand the client's public key to the builder VM", "realise the builder VM"
FOR_A_BIGGER_DISK = f"{REALISE} for a disk of 80GiB, which counts when one is made: one that is there keeps its size"
WRITE, RESTART = "write the builder VM's start script", "restart the builder VM, whose disk was deleted"
PIN = "pin the builder VM's host key"
REMOVE, FORMER = "remove the builder VM with its disk", "let the garbage collector have former builder VMs"

BUNDLE = Certificates(WANTED.certificates, CERTIFICATES)
NOT_BACKED_UP = Attribute(DIRECTORY, NO_BACKUP)
CONVERGED: World = {
    PROFILES: directory(),
    BUNDLE: Bundle(140, copied=True),
    NOT_BACKED_UP: NO_BACKUP_VALUE,
    STATE: directory(),
    Metadata(DIRECTORY): directory(),
    Metadata(KEYS): directory(),
    DISK: THERE,
    KeyPair(WANTED.key): pair(PRIVATE, file(f"{PUBLIC} builderfleet\n")),
    PUBLIC_KEY: file(f"{PUBLIC} builderfleet\n", 0o444),
    ROOT: link("/nix/store/x-nixos-vm"),
    SIZED: link("/nix/store/x-nixos-vm"),
    File(WRAPPER): file(WANTED.wrapper(), 0o755),
    KNOWN_HOSTS: file(f"builderfleet {PUBLIC}\n"),
    RootNames(): tuple(each.rsplit("/", 1)[1] for each in ROOTS_OF_IT),
    JOB: loaded(WANTED.label),
    Greeting(WANTED.port): SSHD,
}


CASES = [
    Case("fresh", WANTED, expected=(STATE_RIGHT, HAND, REALISE, WRITE, PIN)),
    Case("converged", WANTED, CONVERGED),
    Case("no state directory", WANTED, CONVERGED | {STATE: NOTHING}, (STATE_RIGHT,)),
    Case("directory open to all", WANTED, CONVERGED | {Metadata(KEYS): directory(0o777)}, (STATE_RIGHT,)),
    Case("directory is somebodys", WANTED, CONVERGED | {Metadata(DIRECTORY): directory(uid=501)}, (STATE_RIGHT,)),
    Case("another key", WANTED, CONVERGED | {PUBLIC_KEY: file(f"{OTHER_PUBLIC} x\n", 0o444)}, (HAND,)),
    Case("no key", WANTED, CONVERGED | {PUBLIC_KEY: NOTHING}, (HAND,)),
    Case("key can be written", WANTED, CONVERGED | {PUBLIC_KEY: file(f"{PUBLIC} x\n", 0o644)}, (HAND,)),
    Case("key is somebodys", WANTED, CONVERGED | {PUBLIC_KEY: file(f"{PUBLIC} x\n", 0o444, 501)}, (HAND,)),
    Case("key among others", WANTED, CONVERGED | {PUBLIC_KEY: file(f"{OTHER_PUBLIC} x\n{PUBLIC} x\n", 0o444)}),
    Case("key is a link", WANTED, CONVERGED | {PUBLIC_KEY: link("/x")}, (HAND,)),
    Case("no program", WANTED, CONVERGED | {ROOT: NOTHING}, (REALISE,)),
    Case("program was collected", WANTED, CONVERGED | {ROOT: link("/nix/store/gone", resolves=False)}, (REALISE,)),
    Case("another size", BIGGER, CONVERGED, (FOR_A_BIGGER_DISK,)),
    Case(
        "another size, cut off", BIGGER, CONVERGED | {BIGGER_SIZED: link("/nix/store/y-nixos-vm")}, (FOR_A_BIGGER_DISK,)
    ),
    Case(
        "a size of its own",
        BIGGER,
        CONVERGED | {ROOT: link("/nix/store/y-nixos-vm"), BIGGER_SIZED: link("/nix/store/y-nixos-vm")},
    ),
    Case("another size, collected", BIGGER, CONVERGED | {ROOT: link("/nix/store/x", resolves=False)}, (REALISE,)),
    Case("start script changed", WANTED, CONVERGED | {File(WRAPPER): file("#!/bin/sh\n", 0o755)}, (WRITE,)),
    Case("start script cannot be run", WANTED, CONVERGED | {File(WRAPPER): file(WANTED.wrapper())}, (WRITE,)),
    Case(
        "start script in the way", WANTED, CONVERGED | {File(WRAPPER): directory()}, (Person("is a directory", "move"),)
    ),
    Case("no host key", WANTED, CONVERGED | {KNOWN_HOSTS: NOTHING}, (PIN,)),
    Case("another host key", WANTED, CONVERGED | {KNOWN_HOSTS: file(f"builderfleet {OTHER_PUBLIC}\n")}, (PIN,)),
    Case("host key of another alias", WANTED, CONVERGED | {KNOWN_HOSTS: file(f"other {PUBLIC}\n")}, (PIN,)),
    Case(
        "host key that others cannot read",
        WANTED,
        CONVERGED | {KNOWN_HOSTS: file(f"builderfleet {PUBLIC}\n", 0o600)},
        (PIN,),
    ),
    Case("host key in the way", WANTED, CONVERGED | {KNOWN_HOSTS: directory()}, (Person("is a directory", "move"),)),
    Case("disk was deleted", WANTED, CONVERGED | {DISK: NOTHING}, (RESTART,)),
    Case("disk was deleted, VM starts", WANTED, CONVERGED | {DISK: NOTHING, Greeting(31422): b""}),
    Case("disk was deleted, VM is off", WANTED, CONVERGED | {DISK: NOTHING, JOB: loaded(WANTED.label, pid=None)}),
    Case("disk is backed up", WANTED, CONVERGED | {NOT_BACKED_UP: ""}, (EXCLUDE,)),
    Case("certificates renewed", WANTED, CONVERGED | {BUNDLE: Bundle(141, copied=False)}, (RENEW,)),
    Case(
        "certificates renewed, VM starts", WANTED, CONVERGED | {BUNDLE: Bundle(141, copied=False), Greeting(31422): b""}
    ),
    Case(
        "certificates renewed, VM is off",
        WANTED,
        CONVERGED | {BUNDLE: Bundle(141, copied=False), JOB: loaded(WANTED.label, pid=None)},
    ),
    Case(
        "no certificates",
        WANTED,
        CONVERGED | {BUNDLE: Bundle(None, copied=False)},
        (Person("linux_builder_certificates = /nix/.*: there is no such file on this Mac", "Put a bundle"),),
    ),
    Case(
        "certificates that are none",
        WANTED,
        CONVERGED | {BUNDLE: Bundle(0, copied=False)},
        (Person("that file holds no certificate", "Put a bundle"),),
    ),
    Case("nothing to remove", UNWANTED),
    Case("removed", UNWANTED, {RootNames(): ("linux-builder-1",), Metadata(DIRECTORY): directory()}, (REMOVE,)),
    Case(
        "it is loaded, and this is not the whole",
        UNWANTED,
        {Metadata(DIRECTORY): directory(), JOB: loaded(WANTED.label)},
        (Person(f"{WANTED.label}'s, which is loaded", "linux_builder_state: absent"),),
    ),
    Case(
        "it was loaded, and this is the whole",
        replace(UNWANTED, whole=True),
        {Metadata(DIRECTORY): directory(), JOB: loaded(WANTED.label)},
        (REMOVE,),
    ),
    Case("only a root is left", UNWANTED, {RootNames(): ("linux-builder-1",)}, (REMOVE,)),
    Case("only the directory is left", UNWANTED, {Metadata(DIRECTORY): directory()}, (REMOVE,)),
    Case("no former ones", FormerBuilderVms(keep=ROOTS_OF_IT), CONVERGED),
    Case("none at all", FormerBuilderVms(keep=ROOTS_OF_IT)),
    Case("former ones", FormerBuilderVms(keep=ROOTS_OF_IT), {RootNames(): ("linux-builder-1", "x y")}, (FORMER,)),
    Case("state directory is gone", NoStateDirectory()),
    Case(
        "what others had is still to be put back",
        NoStateDirectory(("builders",)),
        {
            STATE: directory(),
            LEDGER: file(Ledger({"/etc/corp.conf": Entry(False, "x", former={"write it": None})}).dump()),
            Names(STATE_DIRECTORY): frozenset({"ledger.json", "backups", "linux-builder"}),
        },
        ("remove /var/lib/builderfleet, but for what is still to be put back or taken away: /etc/corp.conf",),
    ),
    Case(
        "and nothing else is left",
        NoStateDirectory(("builders",)),
        {
            STATE: directory(),
            LEDGER: file(Ledger(made=("/etc/corp/token",)).dump()),
            Names(STATE_DIRECTORY): frozenset({"ledger.json", "backups"}),
        },
    ),
    Case(
        "the ledger was gone once",
        NoStateDirectory(),
        {
            STATE: directory(),
            Names(STATE_DIRECTORY): frozenset({"backups", "ledger.json", LEDGER_WAS_GONE, "linux-builder"}),
        },
        (
            "remove /var/lib/builderfleet, but for what is still to be put back or taken away: /var/lib/builderfleet/backups",
            Person("was gone once: what Nix's settings were", "See what is in /var/lib/builderfleet/backups"),
        ),
    ),
    Case("state directory is left", NoStateDirectory(), {STATE: directory()}, ("remove /var/lib/builderfleet",)),
    Case(
        "and what is above it was ours",
        NoStateDirectory(),
        {STATE: directory(), LEDGER: ledger_of(made=("/var/lib",))},
        ("remove /var/lib/builderfleet",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_it_says(case: Case) -> None:
    case.check()


def only(name: str) -> Change:
    (change,) = next(case for case in CASES if case.name == name).changes()
    return change


@pytest.mark.parametrize(
    "other",
    [
        replace(WANTED, cores=5),
        replace(WANTED, memory=Size.parse("7GiB")),
        replace(WANTED, port=31423),
        replace(WANTED, nixpkgs=WANTED.nixpkgs.replace("0123", "3210")),
    ],
    ids=["cores", "memory", "port", "nixpkgs"],
)
def test_another_vm_is_another_program_and_another_start_script(other: BuilderVm) -> None:
    summaries = [step.summary for step in Case("", other, CONVERGED).steps() if step.summary in (REALISE, WRITE)]
    assert summaries == [REALISE, WRITE]


@pytest.mark.parametrize(
    ("bundle", "problem"),
    [(Bundle(None, copied=False), "no such file"), (Bundle(0, copied=False), "holds no certificate")],
)
def test_certificates_that_are_none_are_refused_before_anything_is_touched(bundle: Bundle, problem: str) -> None:
    resource = replace(WANTED, certificates="/etc/ssl/corp.pem")
    world: World = {Certificates("/etc/ssl/corp.pem", CERTIFICATES): bundle}
    asked = answers(resource, world)
    (refused,) = resource.refusals(asked)
    assert re.search(rf"^linux_builder_certificates: .*{problem}", str(refused))


def test_a_disk_that_the_mac_cannot_hold_is_refused_where_it_is_still_to_be_made() -> None:
    wanted = replace(WANTED, disk=Size.parse("600GiB"))
    world: World = {MAC_SPACE: Space(500 * 2**30, 80 * 2**30)}
    (refused,) = wanted.refusals(answers(wanted, world))
    assert str(refused) == (
        "linux_builder_disk: the volume that the VM's disk is to be on has 500GiB, and the disk may grow beyond that."
        " Take no more than this Mac can spare: 80GiB are free there"
    )
    assert list(replace(wanted, disk=Size.parse("500GiB")).refusals(answers(wanted, world))) == []
    assert list(wanted.refusals(answers(wanted, CONVERGED | world))) == []


def test_certificates_of_a_nix_that_is_not_there_yet_come_with_it() -> None:
    assert list(WANTED.refusals(answers(WANTED, {}))) == []
    good: World = {Certificates("/etc/ssl/corp.pem", CERTIFICATES): Bundle(1, copied=False)}
    other = replace(WANTED, certificates="/etc/ssl/corp.pem")
    assert list(other.refusals(answers(other, good))) == []


@pytest.mark.parametrize(
    ("counted", "compared", "bundle"),
    [
        ((0, b"140\n"), 0, Bundle(140, copied=True)),
        ((0, b"140\n"), 1, Bundle(140, copied=False)),
        ((1, b"0\n"), 1, Bundle(0, copied=False)),
        ((2, b""), 2, Bundle(None, copied=False)),
    ],
)
def test_a_bundle_is_counted_and_compared(counted: tuple[int, bytes], compared: int, bundle: Bundle) -> None:
    ran = [
        {"status": str(status).encode(), "output": output, "errors": b""}
        for status, output in (counted, (compared, b""))
    ]
    assert BUNDLE.answer(Replies(tuple(ran))) == bundle


@pytest.mark.parametrize(("status", "output", "value"), [(0, b"62 70 6C\n69\n", "62706c69"), (1, b"", "")])
def test_an_attribute_is_read(status: int, output: bytes, value: str) -> None:
    ran = {"status": str(status).encode(), "output": output, "errors": b"xattr: /x: No such xattr: y\n"}
    assert NOT_BACKED_UP.answer(Replies((ran,))) == value


def test_the_vm_listens_on_this_mac_only() -> None:
    assert 'host.address = "127.0.0.1"; host.port = 31422;' in WANTED.expression()


def test_the_key_of_a_running_vm_comes_with_a_restart_and_else_without() -> None:
    assert only("another key").script.endswith("restart org.builderfleet.linux-builder 411\n")
    off = Case("", WANTED, CONVERGED | {PUBLIC_KEY: NOTHING, JOB: loaded(WANTED.label, pid=None)})
    assert "launchctl" not in off.changes()[0].script
    assert "launchctl" not in only("key can be written").script  # sshd looks at its mode at each login, too


def test_roots_that_could_not_be_listed_are_unknown() -> None:
    looked = {"kind": b"directory", "mode": b"755", "uid": b"0", "gid": b"0"}
    ran = {"status": b"1", "output": b"", "errors": b"ls: /nix/var: Input/output error\n"}
    with pytest.raises(Unknown, match=r"ended with status 1: .*Input/output error"):
        RootNames().answer(Replies((looked, ran)))
    assert RootNames().answer(Replies(({"kind": b"absent"}, ran))) == ()


def test_a_disks_size_is_nothing_to_restart_for() -> None:
    assert (BIGGER.root, BIGGER.wrapper()) == (WANTED.root, WANTED.wrapper())
    assert BIGGER.sized_root != WANTED.sized_root and BIGGER.expression() != WANTED.expression()
    assert replace(WANTED, cores=3).root != WANTED.root


# --- really done ---------------------------------------------------------------------------------------------------


def do(sandbox: Sandbox, name: str) -> subprocess.CompletedProcess[str]:
    sandbox.double("/usr/bin/xattr", f'[ -d {DIRECTORY} ] && echo "$*" >> /attributes')
    return sandbox.run(shell.wrap(f"set -eu\n{shell.LIBRARY}\n{only(name).script}"))


def test_the_directories_are_made_and_go_again(sandbox: Sandbox) -> None:
    assert do(sandbox, "no state directory").returncode == 0
    assert {path: oct((sandbox / path).stat().st_mode & 0o777) for path in (STATE.path, DIRECTORY, KEYS, BACKUPS)} == {
        STATE.path: "0o755",
        DIRECTORY: "0o755",
        KEYS: "0o755",
        BACKUPS: "0o700",
    }
    assert do(sandbox, "and what is above it was ours").returncode == 0
    assert not (sandbox / "/var/lib").exists()


def test_what_the_vm_has_is_not_backed_up(sandbox: Sandbox) -> None:
    expected = f"-wx {NO_BACKUP} {NO_BACKUP_VALUE} {DIRECTORY}\n"
    assert plistlib.loads(bytes.fromhex(NO_BACKUP_VALUE)) == "com.apple.backupd"
    for number, name in enumerate(("no state directory", "disk is backed up"), 1):
        assert do(sandbox, name).returncode == 0
        assert (sandbox / "/attributes").read_text() == number * expected


def test_a_directory_above_in_which_others_are_stays(sandbox: Sandbox) -> None:
    do(sandbox, "no state directory")
    (sandbox / "/var/lib/others").mkdir()
    assert do(sandbox, "and what is above it was ours").returncode == 0
    assert [each.name for each in (sandbox / "/var/lib").iterdir()] == ["others"]


def test_the_program_gets_its_root(sandbox: Sandbox) -> None:
    sandbox.double("/nix/store/x-vm/bin/run-nixos-vm", "exit 0")
    sandbox.double(f"{NIX}/nix-build", 'cat "$5" >/expression; echo "$NIX_REMOTE" >/remote; echo /nix/store/x-vm')
    for _ in range(2):
        ran = do(sandbox, "no program")
        assert (ran.returncode, ran.stderr) == (0, "")
        assert (sandbox / WANTED.root).readlink() == Path("/nix/store/x-vm")
        assert (sandbox / WANTED.sized_root).readlink() == Path("/nix/store/x-vm")
    assert {each.name for each in (sandbox / ROOTS).iterdir()} == {Path(each).name for each in ROOTS_OF_IT}
    assert (sandbox / "/expression").read_text() == WANTED.expression()
    assert (sandbox / "/remote").read_text() == "daemon\n"
    assert sandbox.files("/tmp") == {}


PROXY = "http://somebody:secret@proxy.example:3128"


def test_where_there_is_a_proxy_root_fetches_through_it_itself(sandbox: Sandbox) -> None:
    """Nix's daemon has none. What the proxy may hold is on no command line, which everybody can read."""
    sandbox.double("/nix/store/x-vm/bin/run-nixos-vm", "exit 0")
    sandbox.double(f"{NIX}/nix-build", "env | sort > /environment; ps -A -o args > /commands; echo /nix/store/x-vm")
    resource = replace(WANTED, proxy=PROXY)
    (change,) = Case("", resource, CONVERGED | {ROOT: NOTHING}).changes()
    ran = sandbox.run("OTHER=x; export OTHER\n" + shell.wrap(f"set -eu\n{shell.LIBRARY}\n{change.script}"))
    assert (ran.returncode, ran.stderr) == (0, "")
    environment = dict(line.split("=", 1) for line in (sandbox / "/environment").read_text().splitlines())
    assert {environment["http_proxy"], environment["https_proxy"]} == {PROXY}
    assert (environment["NIX_REMOTE"], environment["HOME"]) == ("local", "/var/root")
    assert "OTHER" not in environment
    assert "nix-build" in (sandbox / "/commands").read_text()
    assert PROXY not in (sandbox / "/commands").read_text()


@pytest.mark.parametrize(
    ("nix_build", "said"),
    [
        (
            "echo no Linux system here >&2; exit 1",
            "no Linux system here\nthe builder VM cannot be realised from github",
        ),
        ("echo /nix/store/other", "/nix/store/other has no bin/run-nixos-vm: this nixpkgs is not one"),
    ],
)
def test_a_program_that_is_none_gets_no_root(sandbox: Sandbox, nix_build: str, said: str) -> None:
    sandbox.double(f"{NIX}/nix-build", nix_build)
    for _ in range(2):
        ran = do(sandbox, "no program")
        assert ran.returncode == 1
        assert said in ran.stderr
        assert not (sandbox / ROOTS).exists()
    assert sandbox.files("/tmp") == {}


def test_the_key_is_handed_over_or_nothing_is_changed(sandbox: Sandbox) -> None:
    (sandbox / KEYS).mkdir(parents=True)
    (sandbox / "/etc/nix").mkdir()
    sandbox.double("/bin/launchctl", "exit 0")
    assert do(sandbox, "no key").returncode != 0
    assert sandbox.files(KEYS) == {}
    (sandbox / f"{WANTED.key}.pub").write_text(PUBLIC)
    assert do(sandbox, "no key").returncode == 0
    assert sandbox.files(KEYS) == {PUBLIC_KEY.path: PUBLIC.encode()}
    assert (sandbox / PUBLIC_KEY.path).stat().st_mode & 0o777 == 0o444


def launchd(sandbox: Sandbox, pid: int) -> None:
    """A launchd whose job has a process that goes a moment after it was told to; then it has another one, and a disk."""
    (sandbox / "/pid").write_text(f"{pid}\n")
    sandbox.double(
        "/bin/launchctl",
        'echo "$*" >> /log\n'
        'if [ "$1" = kill ]; then : > /told; exit; fi\n'
        "printf 'system/it = {\\n\\tstate = running\\n\\tpid = %s\\n\\tlast pid = 1\\n}\\n' \"$(cat /pid)\"\n"
        f"if [ -e /told ]; then echo 500 > /pid; : > {DISK.path}; fi",
    )


@pytest.mark.parametrize("name", ["another key", "disk was deleted"])
def test_a_restart_takes_until_the_old_process_is_gone(sandbox: Sandbox, name: str) -> None:
    (sandbox / KEYS).mkdir(parents=True)
    (sandbox / "/etc/nix").mkdir()
    (sandbox / f"{WANTED.key}.pub").write_text(PUBLIC)
    (sandbox / PUBLIC_KEY.path).write_text(f"{OTHER_PUBLIC} x\n")
    (sandbox / PUBLIC_KEY.path).chmod(0o444)
    launchd(sandbox, 411)
    ran = do(sandbox, name)
    assert (ran.returncode, ran.stderr) == (0, "")
    print_, kill = f"print system/{WANTED.label}", f"kill SIGTERM system/{WANTED.label}"
    assert log(sandbox) == [print_, kill, print_, print_]


def test_a_process_that_has_gone_by_itself_is_not_told_to(dash_sandbox: Sandbox) -> None:
    (dash_sandbox / DIRECTORY).mkdir(parents=True)
    (dash_sandbox / DISK.path).touch()
    launchd(dash_sandbox, 412)
    assert do(dash_sandbox, "disk was deleted").returncode == 0
    assert [line for line in log(dash_sandbox) if line.startswith("kill")] == []


def test_the_host_key_is_pinned_and_replaced(sandbox: Sandbox) -> None:
    (sandbox / DIRECTORY).mkdir(parents=True)
    assert do(sandbox, "no host key").returncode == 0
    assert (sandbox / KNOWN_HOSTS.path).read_text() == f"builderfleet {PUBLIC}\n"
    (sandbox / KNOWN_HOSTS.path).write_text(f"builderfleet {OTHER_PUBLIC}\n")
    assert do(sandbox, "another host key").returncode == 0
    assert (sandbox / KNOWN_HOSTS.path).read_text() == f"builderfleet {PUBLIC}\n"
    assert (sandbox / KNOWN_HOSTS.path).stat().st_mode & 0o777 == 0o644


# --- the start script ----------------------------------------------------------------------------------------------


@contextmanager
def started(sandbox: Sandbox, program: str) -> Iterator[subprocess.Popen[bytes]]:
    """The start script, as launchd runs it, with a VM of the test's; it may write to /log."""
    (sandbox / DIRECTORY).mkdir(parents=True)
    sandbox.double("/bin/wait4path", 'echo "wait4path $1" >> /log')
    sandbox.double(f"{WANTED.root}/bin/run-nixos-vm", program)
    process = sandbox.start("", "-c", WANTED.wrapper().replace("vm=$!\n", "vm=$!\necho up >> /log\n"))
    try:
        until = time.monotonic() + 10
        while "up" not in log(sandbox):
            assert time.monotonic() < until, process.communicate()
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.communicate()


def log(sandbox: Sandbox) -> list[str]:
    return (sandbox / "/log").read_text().splitlines() if (sandbox / "/log").exists() else []


def terminate(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM to the script itself, which is the only child of what was started."""
    child = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
    time.sleep(0.2)  # until its traps stand: launchd gives it as much
    subprocess.run(["kill", f"-{signal.SIGTERM.value}", child], check=True)


def test_the_guest_is_asked_to_shut_down(sandbox: Sandbox) -> None:
    sandbox.double("/usr/bin/ssh", 'echo "ssh $*" >> /log; kill "$(cat /vm)"')
    with started(sandbox, "echo $$ > /vm; echo $KEYS $NIX_DISK_IMAGE $USE_TMPDIR >> /log; exec sleep 60") as process:
        terminate(process)
        assert process.wait(20) == 0
    first, *middle, last = log(sandbox)
    assert first == f"wait4path {WANTED.root}/bin/run-nixos-vm"
    assert sorted(middle) == sorted(["up", f"{KEYS} {DISK.path} 1"])
    assert last.startswith("ssh -F none -o HostName=127.0.0.1 -o Port=31422 ")  # whatever others have configured
    assert " -o ConnectTimeout=5 " in last and last.endswith(" builderfleet shutdown now")


def test_a_log_that_has_grown_is_shortened_in_place(sandbox: Sandbox) -> None:
    """launchd has it open: what replaces it would stay empty."""
    (sandbox / "/var/log").mkdir(parents=True)
    log_file = sandbox / LOG
    log_file.write_bytes(b"old\n" * (MOST_LOG // 4) + b"the end\n")
    same = log_file.stat().st_ino
    with started(sandbox, "exec sleep 60"):
        assert log_file.stat().st_ino == same
        lines = log_file.read_text().splitlines()
    assert lines[0] == "(what stood above was more than 10 MiB)"
    assert lines[-1] == "the end"
    assert log_file.stat().st_size <= LEFT_OF_LOG + 100


def test_a_log_that_has_not_is_left_alone(dash_sandbox: Sandbox) -> None:
    (dash_sandbox / "/var/log").mkdir(parents=True)
    (dash_sandbox / LOG).write_text("as it was\n")
    with started(dash_sandbox, "exec sleep 60"):
        assert (dash_sandbox / LOG).read_text() == "as it was\n"


def test_each_start_is_marked_in_the_log(dash_sandbox: Sandbox) -> None:
    with started(dash_sandbox, "exec sleep 1") as process:
        assert process.communicate(timeout=20)[0].startswith(STARTS.encode())


def test_it_ends_with_its_vm(sandbox: Sandbox) -> None:
    """So that launchd starts it again."""
    with started(sandbox, "sleep 0.5; exit 3") as process:
        assert process.wait(20) == 3
