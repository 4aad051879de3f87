# SPDX-License-Identifier: GPL-3.0-or-later
"""LaunchdDaemon: what is on disk, what is loaded and what runs are one thing, and nothing restarts that need not."""

from __future__ import annotations

import plistlib
from dataclasses import replace

import pytest
from builderfleet.plugin_utils.formats import plist
from builderfleet.plugin_utils.questions.file import NOTHING, File, Found, Metadata
from builderfleet.plugin_utils.questions.launchd import LaunchdJob, Loaded
from builderfleet.plugin_utils.questions.network import Greeting
from builderfleet.plugin_utils.resource import Change
from builderfleet.plugin_utils.resources.launchd_daemon import FINGERPRINT, LaunchdDaemon

from tests.unit.answers import FIFO, NOT_LOADED, SSHD, THERE, Case, Person, World, directory, file, link, loaded

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
)
PLAIN = LaunchdDaemon(label=LABEL, program_arguments=("/bin/sleep", "9"))
UNWANTED = replace(WANTED, present=False)
PLIST = File(WANTED.path)

LOAD, RELOAD, REMOVE = (f"{verb} launchd daemon {LABEL}" for verb in ("load", "reload", "remove"))
WAIT = f"wait until {LABEL} answers on port {PORT}"
START, ENABLE = f"start launchd daemon {LABEL}", f"enable launchd daemon {LABEL} for the next boot"
RIGHT = f"put {PLIST.path} right"


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
    Case("a link is removed", UNWANTED, {PLIST: link("/x")}, (REMOVE,)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_it_says(case: Case) -> None:
    case.check()


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


def test_it_has_time_to_stop_before_the_connection_is_given_up() -> None:
    for case in CASES:
        for change in case.changes():
            waits = 2 * WANTED.start_limit if change.summary == WAIT else 0
            assert change.limit > max(WANTED.exit_timeout + 15, waits)
