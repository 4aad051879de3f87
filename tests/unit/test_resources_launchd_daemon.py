# SPDX-License-Identifier: GPL-3.0-or-later
"""LaunchdDaemon: what is on disk, what is loaded and what runs are one thing, and nothing restarts that need not."""

from __future__ import annotations

import plistlib
import shlex
import time
from dataclasses import replace

import pytest
from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.asking import Answers
from builderfleet.plugin_utils.endings import STARTS, Ending, endings
from builderfleet.plugin_utils.formats import plist
from builderfleet.plugin_utils.parameters import by_itself
from builderfleet.plugin_utils.questions.attribute import QUARANTINE, Attribute
from builderfleet.plugin_utils.questions.file import NOTHING, File, Found, Metadata
from builderfleet.plugin_utils.questions.launchd import LaunchdJob, Loaded
from builderfleet.plugin_utils.questions.network import Greeting
from builderfleet.plugin_utils.resource import Change
from builderfleet.plugin_utils.resources.launchd_daemon import FINGERPRINT, LaunchdDaemon

from tests.unit.answers import FIFO, NOT_LOADED, SSHD, THERE, Case, Person, World, directory, file, link, loaded
from tests.unit.real_files import RealFiles
from tests.unit.sandbox import Sandbox

LABEL = "org.builderfleet.linux-builder"
PORT = 31422
LOG = Metadata("/var/log/builderfleet.log")
WANTED = LaunchdDaemon(
    label=LABEL,
    program_arguments=("/bin/sh", "/var/lib/builderfleet/run"),
    environment={"KEYS": "/keys"},
    log=LOG.path,
    answers_on=PORT,
    follows="the script's text",
    of_builder=True,
)
PLAIN = LaunchdDaemon(label=LABEL, of_builder=True, program_arguments=("/bin/sleep", "9"))
UNWANTED = replace(WANTED, present=False)
LOSING = replace(WANTED, loses="ends builds")
PLIST = File(WANTED.path)
QUARANTINED = Attribute(WANTED.path, QUARANTINE)

LOAD, RELOAD, REMOVE = (f"{verb} launchd daemon {LABEL}" for verb in ("load", "reload", "remove"))
WAIT = f"wait until {LABEL} answers on port {PORT}"
START, ENABLE = f"start launchd daemon {LABEL}", f"enable launchd daemon {LABEL} for the next boot"
RIGHT = f"put {PLIST.path} right"

OTHERS = LaunchdDaemon(label="com.vendor.agent", program_arguments=("/bin/sleep", "7"))
NO_OTHERS = replace(OTHERS, present=False)
VENDORS = file(plistlib.dumps({"Label": OTHERS.label, "Program": "/opt/vendor"}), 0o600, 0)
KEPT = f"in place of somebody else's {OTHERS.path}, which is kept"


def written(daemon: LaunchdDaemon = WANTED, mode: int = 0o644, uid: int = 0) -> Found:
    return file(plist.dump(daemon.definition()), mode, uid)


def running(daemon: LaunchdDaemon = WANTED, **fields: object) -> Loaded:
    return loaded(LABEL, **{"environment": daemon.definition()["EnvironmentVariables"], **fields})


def world(found: Found, job: Loaded, said: bytes = SSHD) -> World:
    return {PLIST: found, LaunchdJob(LABEL): job, Greeting(PORT): said, LOG: THERE}


def edited(**changes: object) -> Found:
    return file(plist.dump(WANTED.definition() | changes))


BINARY = file(plistlib.dumps(WANTED.definition(), fmt=plistlib.FMT_BINARY))

CASES = [
    Case("fresh", WANTED, expected=(LOAD, WAIT)),
    Case("converged", WANTED, world(written(), running())),
    Case("another definition", WANTED, world(written(PLAIN), running(PLAIN)), (RELOAD, WAIT)),
    Case("another program behind it", replace(WANTED, follows="x"), world(written(), running()), (RELOAD, WAIT)),
    Case("edited on disk", WANTED, world(edited(RunAtLoad=False), running()), (RELOAD, WAIT)),
    Case("booted with an edited plist", WANTED, world(edited(Nice=5), running()), (RELOAD, WAIT)),
    Case("plist is gone", WANTED, world(NOTHING, running()), (RELOAD, WAIT)),
    Case("plist is damaged", WANTED, world(file(b"<plist"), running()), (RELOAD, WAIT)),
    Case("plist is empty", WANTED, world(file(b""), running()), (RELOAD, WAIT)),
    Case("the same in binary", WANTED, world(BINARY, running()), (RIGHT,)),
    Case("wrong mode", WANTED, world(written(mode=0o600), running()), (RIGHT,)),
    Case("wrong owner", WANTED, world(written(uid=501), running()), (RIGHT,)),
    Case("plist is a link", WANTED, world(link("/x"), running()), (RELOAD, WAIT)),
    Case("loaded from elsewhere", WANTED, world(written(), running(path="/tmp/x.plist")), (RELOAD, WAIT)),
    Case("loaded without our fingerprint", WANTED, world(written(), running(environment={})), (RELOAD, WAIT)),
    Case("not loaded", WANTED, world(written(), NOT_LOADED), (LOAD, WAIT)),
    Case("not loaded and disabled", WANTED, world(written(), Loaded(None, disabled=True)), (LOAD, WAIT)),
    Case("plist in quarantine", WANTED, world(written(), running()) | {QUARANTINED: "30"}, (RIGHT,)),
    Case("plist in quarantine, not loaded", WANTED, world(written(), NOT_LOADED) | {QUARANTINED: "30"}, (LOAD, WAIT)),
    Case("builds in it", LOSING, world(written(PLAIN), running(PLAIN)), (f"{RELOAD}, which ends builds", WAIT)),
    Case("builds in it, not loaded", LOSING, world(written(), NOT_LOADED), (LOAD, WAIT)),
    Case("on its way out", WANTED, world(written(), running(state="SIGTERMed"), b""), (LOAD, WAIT)),
    Case("disabled for the next boot", WANTED, world(written(), running(disabled=True)), (ENABLE,)),
    Case("silent", WANTED, world(written(), running(), b""), (WAIT,)),
    Case("does not run and is silent", WANTED, world(written(), running(pid=None), b""), (WAIT,)),
    Case("plain, fresh", PLAIN, expected=(LOAD,)),
    Case("plain, converged", PLAIN, world(written(PLAIN), running(PLAIN))),
    Case("plain, does not run", PLAIN, world(written(PLAIN), running(PLAIN, pid=None)), (START,)),
    Case("plain, other", PLAIN, world(written(), running(pid=None)), (RELOAD,)),
    Case(
        "plain, ended as it may",
        replace(PLAIN, keep_alive=False),
        world(written(replace(PLAIN, keep_alive=False)), running(replace(PLAIN, keep_alive=False), pid=None)),
    ),
    Case("a directory in the way", WANTED, world(directory(), NOT_LOADED), (Person("is a directory", "move it away"),)),
    Case("a fifo in the way", UNWANTED, world(FIFO, NOT_LOADED), (Person("should be a file", "move it away"),)),
    Case("nothing to remove", UNWANTED),
    Case("removed", UNWANTED, world(written(), running()), (REMOVE,)),
    Case("only the plist is left", UNWANTED, {PLIST: written()}, (REMOVE,)),
    Case("only the job is left", UNWANTED, {LaunchdJob(LABEL): running()}, (REMOVE,)),
    Case("only the log is left", UNWANTED, {LOG: THERE}, (REMOVE,)),
    Case(
        "somebody elses is kept",
        OTHERS,
        {File(OTHERS.path): VENDORS, LaunchdJob(OTHERS.label): loaded(OTHERS.label)},
        (f"reload launchd daemon {OTHERS.label} {KEPT}",),
    ),
    Case(
        "somebody elses is not removed",
        NO_OTHERS,
        {File(OTHERS.path): VENDORS, LaunchdJob(OTHERS.label): loaded(OTHERS.label)},
    ),
    Case("a link is removed", UNWANTED, {PLIST: link("/x")}, (REMOVE,)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_it_says(case: Case) -> None:
    case.check()


@pytest.mark.parametrize(
    ("label", "whose"),
    [
        ("com.openssh.sshd", "macOS's own"),
        ("com.apple.sshd", "macOS's own"),
        ("org.nixos.nix-daemon", "Nix's own"),
        ("systems.determinate.nix-daemon", "Nix's own"),
        ("org.builderfleet.linux-builder", "as a whole"),
    ],
)
@pytest.mark.parametrize("present", [True, False])
def test_what_nobody_may_touch_is_refused_before_a_mac_is_asked(label: str, whose: str, present: bool) -> None:
    resources, wrong = by_itself(
        LaunchdDaemon, {"label": label, "program_arguments": ["/bin/true"], "present": present}
    )
    assert resources == ()
    (refused,) = wrong
    assert whose in str(refused) and label in str(refused)


def test_a_job_of_the_system_is_refused_whatever_its_label() -> None:
    job = loaded(OTHERS.label, path="/System/Library/LaunchDaemons/x.plist")
    (refused,) = NO_OTHERS.refusals(Answers.given({LaunchdJob(OTHERS.label): job}))
    assert "a job of macOS's own" in str(refused)
    assert list(OTHERS.refusals(Answers.given({LaunchdJob(OTHERS.label): loaded(OTHERS.label)}))) == []


def test_a_job_of_another_file_is_somebody_elses_and_is_neither_replaced_nor_unloaded() -> None:
    """launchd takes a job's label from its file's content: the file may have any name."""
    world: World = {LaunchdJob(OTHERS.label): loaded(OTHERS.label, path="/Library/LaunchDaemons/vendor.plist")}
    (refused,) = OTHERS.refusals(Answers.given(world))
    assert "com.vendor.agent is somebody else's job, loaded from /Library/LaunchDaemons/vendor.plist" in str(refused)
    assert list(NO_OTHERS.refusals(Answers.given(world))) == [] == Case("", NO_OTHERS, world).steps()
    left = Case("", NO_OTHERS, {**world, File(OTHERS.path): file(plistlib.dumps(OTHERS.definition()))})
    (change,) = left.changes()
    assert f"unload {OTHERS.label}" not in change.script and f"discard {OTHERS.path}" in change.script


def only(name: str) -> Change:
    return next(case for case in CASES if case.name == name).changes()[0]


def test_every_difference_has_another_fingerprint() -> None:
    others = (
        WANTED,
        replace(WANTED, follows=""),
        replace(WANTED, log=""),
        replace(WANTED, environment={}),
        replace(WANTED, keep_alive=False),
        replace(WANTED, run_at_load=False),
        replace(WANTED, exit_timeout=1),
        replace(WANTED, busy=True),
        replace(WANTED, working_directory="/"),
        replace(WANTED, program_arguments=("/bin/sh",)),
    )
    prints = [each.definition()["EnvironmentVariables"][FINGERPRINT] for each in others]
    assert len(set(prints)) == len(others)
    assert WANTED.definition() == WANTED.definition()
    assert FINGERPRINT not in WANTED.environment


def test_the_plist_is_checked_before_it_is_installed_and_loaded_after() -> None:
    script = only("fresh").script.split('loaded "$1" || fail', 1)[1]  # behind the functions
    order = ["stage ", 'plutil -lint "$new"', "commit ", "print-disabled", "\nunload ", "\nload "]
    assert sorted(order, key=script.index) == order


def test_what_is_as_it_should_be_on_disk_is_not_written_again() -> None:
    assert "stage " not in only("not loaded").script
    assert only("not loaded").diffs == ()


def test_what_is_in_quarantine_is_written_anew() -> None:
    assert "stage " in only("plist in quarantine, not loaded").script


def test_a_busy_daemon_is_held_back_as_little_as_an_app() -> None:
    definition = replace(WANTED, busy=True).definition()
    assert (definition["ProcessType"], definition["SoftResourceLimits"]) == ("Interactive", {"NumberOfFiles": 8192})


# --- somebody else's, and back again, really done ------------------------------------------------------------------

TAKEN = f"load launchd daemon {OTHERS.label} {KEPT}", f"reload launchd daemon {OTHERS.label} {KEPT}"
GIVEN_BACK = f"remove launchd daemon {OTHERS.label}, and put back what was there before"


def told(sandbox: Sandbox) -> list[str]:
    """What launchctl was told since it was asked last, but for questions."""
    said = (sandbox / "/told").read_text().splitlines() if (sandbox / "/told").exists() else []
    (sandbox / "/told").write_text("")
    return [line for line in said if not line.startswith("print")]


@pytest.mark.parametrize(
    ("job", "taken", "given_back", "last"),
    [
        (NOT_LOADED, TAKEN[0], GIVEN_BACK, "bootout system/com.vendor.agent"),
        (
            loaded(OTHERS.label, pid=None),
            TAKEN[1],
            f"{GIVEN_BACK}, and load it again",
            f"bootstrap system {OTHERS.path}",
        ),
        (loaded(OTHERS.label), TAKEN[1], f"{GIVEN_BACK}, and load it again", f"kickstart system/{OTHERS.label}"),
    ],
)
def test_a_vendors_job_is_loaded_again_if_it_was(
    job: Loaded, taken: str, given_back: str, last: str, sandbox: Sandbox
) -> None:
    """Also where what puts it back is cut off before it is loaded."""
    sandbox.double(
        "/bin/launchctl",
        'echo "$*" >> /told\n'
        "case $1 in print) [ -e /loaded ] || exit 113 ;; bootstrap) : > /loaded ;; bootout) rm -f /loaded ;; esac",
    )
    sandbox.double("/usr/bin/plutil", "")
    (sandbox / "/Library/LaunchDaemons").mkdir(parents=True)
    (sandbox / OTHERS.path).write_bytes(VENDORS.content or b"")
    (sandbox / "/loaded").write_text("")
    mac = RealFiles(sandbox, {LaunchdJob(OTHERS.label): job})
    (taking,) = OTHERS.changes(mac._answers(OTHERS))
    assert isinstance(taking, Change) and taking.summary == taken
    mac.do(taking.script)
    ours = loaded(OTHERS.label, environment=OTHERS.definition()["EnvironmentVariables"])
    mac = RealFiles(sandbox, {LaunchdJob(OTHERS.label): ours})
    assert mac.converge(OTHERS) == []
    told(sandbox)
    (back,) = NO_OTHERS.changes(mac._answers(NO_OTHERS))
    assert isinstance(back, Change) and back.summary == given_back
    if given_back.endswith("again"):
        mac.do(back.script[: back.script.index("\nload ") + 1])
        assert mac.content(OTHERS.path) == VENDORS.content and told(sandbox) == ["bootout system/com.vendor.agent"]
        (forgotten,) = NO_OTHERS.changes(mac._answers(NO_OTHERS))
        assert isinstance(forgotten, Change) and forgotten.summary.endswith("since, and load it again")
        mac.do(forgotten.script)
    else:
        mac.do(back.script)
    assert told(sandbox)[-1] == last
    assert mac.content(OTHERS.path) == VENDORS.content
    assert OTHERS.path not in mac.book().files
    assert mac.converge(NO_OTHERS) == []


# --- waiting, really done ------------------------------------------------------------------------------------------

TABLE = endings("/disk")
VM = replace(WANTED, login="/usr/bin/ssh vm true", endings=TABLE, start_limit=20)


def waited(
    sandbox: Sandbox, *, log: str = "", each: str = "", ssh: str = "exit 255", alive: bool = True, kick: str = ""
) -> Ran:
    """The wait, where `log` is what the log says, each start adds `each` to it, and `ssh` is what a login does.

    The job runs for ever, or ends at once. What launchctl is told, and each login, goes to /said.
    """
    pid = "printf '\\tpid = 411\\n'" if alive else ":"
    (sandbox / "/var/log").mkdir(parents=True)
    (sandbox / LOG.path).write_text(log)
    (sandbox / "/runs").write_text("1\n")
    sandbox.double(
        "/bin/launchctl",
        "case $1 in\n"
        f"print) printf 'system/it = {{\\n\\tstate = x\\n\\truns = %s\\n' \"$(cat /runs)\"; {pid}"
        "; printf '\\tlast exit code = 7\\n}\\n' ;;\n"
        f'kickstart) echo "$*" >> /said\n{kick}\necho $(($(cat /runs) + 1)) > /runs\n'
        f'printf "%s" {shlex.quote(each)} >> {LOG.path} ;;\n'
        "esac",
    )
    sandbox.double("/usr/bin/ssh", f'echo "ssh $*" >> /said\n{ssh}')
    (change,) = Case("", VM, world(written(VM), running(VM), b"")).changes()
    ran = sandbox.run(shell.wrap(f"set -eu\n{shell.LIBRARY}\n{change.script}"))
    said = sandbox / "/said"
    return ran.returncode, ran.stderr, said.read_text().splitlines() if said.exists() else []


Ran = tuple[int, str, list[str]]
KICK, KICK_AGAIN, LOGIN = f"kickstart system/{LABEL}", f"kickstart -k system/{LABEL}", "ssh vm true"


def test_a_login_is_what_shows_that_it_is_up(sandbox: Sandbox) -> None:
    assert waited(sandbox, ssh="exit 0") == (0, "", [LOGIN])


@pytest.mark.parametrize(
    "refusal", ["builder@127.0.0.1: Permission denied (publickey).", "Host key verification failed."]
)
def test_who_refuses_a_login_is_up(dash_sandbox: Sandbox, refusal: str) -> None:
    assert waited(dash_sandbox, ssh=f"echo '{refusal}' >&2; exit 255") == (0, "", [LOGIN])


def test_it_is_asked_ever_more_rarely(dash_sandbox: Sandbox) -> None:
    """sshd shuts an address out whose connections end without a login (PerSourcePenalties), and all of a Mac is one."""
    ssh = "[ -e /first ] || date +%s > /first; [ $(($(date +%s) - $(cat /first))) -ge 10 ]"
    status, _, said = waited(dash_sandbox, ssh=ssh)
    assert (status, set(said)) == (0, {LOGIN})
    assert len(said) <= 6  # in ten seconds


@pytest.mark.parametrize("ending", TABLE, ids=lambda each: each.text)
def test_what_says_that_it_will_not_come_up_is_believed_within_seconds(dash_sandbox: Sandbox, ending: Ending) -> None:
    began = time.monotonic()
    status, errors, said = waited(dash_sandbox, each=f"{STARTS}\nqemu: {ending.text} (8)\n", alive=False)
    assert (status, said) == (1, [LOGIN, KICK, LOGIN])
    assert errors.endswith(f"{LABEL} does not come up: {ending}; see what it says in {LOG.path}\n")
    assert f"At the end of {LOG.path}, in the words of what runs there:\n{STARTS}\nqemu: {ending.text} (8)\n" in errors
    assert time.monotonic() - began < 6


def test_what_ends_again_and_again_is_given_up_within_seconds(sandbox: Sandbox) -> None:
    status, errors, said = waited(sandbox, each="oh\n", alive=False)
    assert (status, said.count(KICK)) == (1, 3)
    assert errors.endswith(f"it ended again and again, with exit code 7; see what it says in {LOG.path}\n")


def test_what_was_said_before_it_was_put_right_is_no_evidence(sandbox: Sandbox) -> None:
    bad = f"{STARTS}\nqemu: Image is not in qcow2 format\n"
    assert waited(sandbox, log=bad, each=f"{STARTS}\n", ssh="exit 0") == (0, "", [KICK_AGAIN, LOGIN])


def test_a_former_start_is_none_at_all(dash_sandbox: Sandbox) -> None:
    log = f"{STARTS}\nqemu: Image is not in qcow2 format\n{STARTS}\n"
    assert waited(dash_sandbox, log=log, ssh="exit 0") == (0, "", [LOGIN])


def test_a_kickstart_that_fails_for_a_moment_is_tried_again(sandbox: Sandbox) -> None:
    kick = "echo x >> /tries; [ $(wc -l < /tries) -gt 2 ] || { echo 'Could not kickstart service: 5' >&2; exit 5; }"
    status, _, said = waited(sandbox, alive=False, kick=kick, ssh="[ -e /tries ] && [ $(wc -l < /tries) -gt 2 ]")
    assert (status, said) == (0, [LOGIN, KICK, KICK, KICK, LOGIN])


def test_it_has_time_to_stop_before_the_connection_is_given_up() -> None:
    for case in CASES:
        for change in case.changes():
            waits = 2 * WANTED.start_limit if change.summary == WAIT else 0
            assert change.limit > max(WANTED.exit_timeout + 15, waits)
