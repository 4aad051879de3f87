# SPDX-License-Identifier: GPL-3.0-or-later
"""NixDaemon: loaded, answering and up to date, or what a person has to do; and a wait that is seconds, not turns."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.questions.file import NOTHING
from builderfleet.plugin_utils.questions.launchd import LaunchdJob, Loaded
from builderfleet.plugin_utils.questions.login_items import LoginItemsOff
from builderfleet.plugin_utils.questions.nix import (
    DAEMONS,
    FIND,
    NIX,
    DaemonReply,
    NixConfiguration,
    NixDaemonReply,
    NixDaemonStart,
    NixSources,
    NixVersion,
    Source,
)
from builderfleet.plugin_utils.resource import Change
from builderfleet.plugin_utils.resources import nix_setting
from builderfleet.plugin_utils.resources.nix_daemon import NixDaemon
from builderfleet.plugin_utils.resources.nix_installation import STORE_JOBS, plist_of
from builderfleet.plugin_utils.resources.nix_setting import NIX_CONF, RESTART_DUE, NixSetting

from tests.unit.answers import NOW, THERE, Case, Person, World, file, loaded, nix
from tests.unit.sandbox import Sandbox

DETERMINATE, UPSTREAM = DAEMONS
DAEMON = NixDaemon()
SETTING = NixSetting(setting="builders-use-substitutes", value="true")
AFTER = replace(DAEMON, after=(SETTING,))
UNSET: World = {NIX_CONF: file("cores = 4\n"), NixConfiguration(): nix(builders_use_substitutes="false")}
SET: World = {
    NIX_CONF: file("builders-use-substitutes = true\n"),
    NixConfiguration(): nix(builders_use_substitutes="true"),
}
GOOD: World = {
    NixVersion(): "nix (Nix) 2.35.2",
    NixDaemonReply(): DaemonReply(True),
    NixDaemonStart(): NOW - 1000,
    plist_of(UPSTREAM): THERE,
    LaunchdJob(UPSTREAM): loaded(UPSTREAM),
}
SILENT = GOOD | {NixDaemonReply(): DaemonReply(False, "error: cannot connect")}
OFF = {LoginItemsOff(): frozenset({f"file://{plist_of(UPSTREAM).path}"})}
LOAD = f"load {UPSTREAM}, without which Nix does nothing"


def changed(path: str, when: int) -> World:
    return {NixSources(): (Source(path, 3, Source.END, changed=when),)}


CASES = [
    Case("no Nix", DAEMON),
    Case("as it should be", DAEMON, GOOD),
    Case("not loaded", DAEMON, SILENT | {LaunchdJob(UPSTREAM): Loaded(None, disabled=False)}, (LOAD,)),
    Case("disabled", DAEMON, SILENT | {LaunchdJob(UPSTREAM): Loaded(None, disabled=True)}, (LOAD,)),
    Case("disabled for the next boot", DAEMON, GOOD | {LaunchdJob(UPSTREAM): loaded(UPSTREAM, disabled=True)},
         (f"enable {UPSTREAM} for the next boot",)),
    Case("dead", DAEMON, SILENT | {LaunchdJob(UPSTREAM): loaded(UPSTREAM, pid=None)},
         (f"restart {UPSTREAM}, which does not answer",)),
    Case("hanging", DAEMON, SILENT, (f"restart {UPSTREAM}, which does not answer",)),
    Case("no plist", DAEMON, SILENT | {plist_of(UPSTREAM): NOTHING}, (Person("has no job.*are gone", "Repair this Nix"),)),
    Case("switched off by its user", DAEMON, SILENT | OFF, (Person("switched off in this Mac's login items", "'sh'.*MDM"),)),
    Case("switched off, until the next boot", DAEMON, GOOD | OFF, (Person("login items", "System Settings"),)),
    Case("the job that mounts the store is switched off", DAEMON,
         GOOD | {plist_of(STORE_JOBS[0]): THERE, LoginItemsOff(): frozenset({f"file://{plist_of(STORE_JOBS[0]).path}"})},
         (Person(f"{STORE_JOBS[0]}, which mounts Nix's store at boot, is switched off", f"rule for the label {STORE_JOBS[0]}"),)),
    Case("a file is newer", DAEMON, GOOD | changed("/etc/nix/nix.conf", NOW - 500),
         (f"restart {UPSTREAM}, which was started before /etc/nix/nix.conf was changed last",)),
    Case("a file is gone since", DAEMON,
         GOOD | {NixSources(): (Source("/var/root/.config/nix/nix.conf", 0, Source.END, changed=NOW - 500),)},
         (f"restart {UPSTREAM}, which was started before /var/root/.config/nix was changed last",)),
    Case("a file is newer, and a setting's restart comes first", AFTER,
         GOOD | changed("/etc/nix/nix.conf", NOW - 500) | UNSET),
    Case("a file is newer, and the setting is as it should be", AFTER,
         GOOD | changed("/etc/nix/nix.conf", NOW - 500) | SET,
         (f"restart {UPSTREAM}, which was started before /etc/nix/nix.conf was changed last",)),
    Case("a file is newer, and Nix does not read it", DAEMON,
         GOOD | changed("/etc/nix/nix.conf", NOW - 500) | {NixConfiguration(): nix("syntax error")}),
    Case("files are older", DAEMON, GOOD | changed("/etc/nix/nix.conf", NOW - 1001)),
    Case("a file of the same moment", DAEMON, GOOD | changed("/etc/nix/nix.conf", NOW - 999)),
    Case("a file of a time to come", DAEMON, GOOD | changed("/etc/nix/nix.conf", NOW + 500)),
    Case("Determinate writes it itself", DAEMON,
         GOOD | {plist_of(DETERMINATE): THERE, LaunchdJob(DETERMINATE): loaded(DETERMINATE)}
         | changed("/etc/nix/nix.conf", NOW - 500)),
    Case("Determinate does not write this one", DAEMON,
         GOOD | {plist_of(DETERMINATE): THERE, LaunchdJob(DETERMINATE): loaded(DETERMINATE)}
         | changed("/etc/nix/nix.custom.conf", NOW - 500),
         (f"restart {DETERMINATE}, which was started before /etc/nix/nix.custom.conf was changed last",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_it_says(case: Case) -> None:
    case.check()


def only(name: str) -> Change:
    (change,) = next(case for case in CASES if case.name == name).changes()
    return change


# launchd of the test's: `loaded` is there when the job is; it fails as often as `failures` has lines.
_LAUNCHCTL = """
echo "$*" >> /calls
case $1 in
  print) [ -e /loaded ] && [ "$2" = system/org.nixos.nix-daemon ] ;;
  bootstrap | kickstart)
    if [ -s /failures ]; then tail -n +2 /failures > /rest; cat /rest > /failures; echo "$1 failed: 5" >&2; exit 5; fi
    : > /loaded ;;
esac
"""


def done(sandbox: Sandbox, name: str, failures: int = 0) -> tuple[int, str, list[str]]:
    sandbox.double("/bin/launchctl", _LAUNCHCTL)
    (sandbox / "/failures").write_text("x\n" * failures)
    ran = sandbox.run(shell.wrap(f"set -eu\n{shell.LIBRARY}\n{only(name).script}"))
    calls = (sandbox / "/calls").read_text().splitlines()
    return ran.returncode, ran.stderr, [call for call in calls if not call.startswith("print")]


@pytest.mark.parametrize("failures", [0, 3])
def test_it_is_enabled_and_loaded_and_answers(sandbox: Sandbox, failures: int) -> None:
    sandbox.double(f"{NIX}/nix", "")
    sandbox.double(f"{NIX}/nix-store", "")
    (sandbox / RESTART_DUE.path).parent.mkdir(parents=True)
    (sandbox / RESTART_DUE.path).touch()
    status, _said, calls = done(sandbox, "disabled", failures)
    assert status == 0
    load = f"bootstrap system {plist_of(UPSTREAM).path}"
    assert calls == [f"enable system/{UPSTREAM}", *[load] * (failures + 1)]
    assert not (sandbox / RESTART_DUE.path).exists()


def test_a_kickstart_that_fails_for_a_moment_is_tried_again(sandbox: Sandbox) -> None:
    sandbox.double(f"{NIX}/nix-store", "")
    (sandbox / "/loaded").touch()
    status, said, calls = done(sandbox, "hanging", failures=2)
    assert (status, said) == (0, "")
    assert calls[:3] == [f"kickstart -k system/{UPSTREAM}"] * 3


def test_a_daemon_that_never_answers_costs_seconds_not_turns(
    dash_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question of one that hangs takes as long as its limit: sixty turns were eleven minutes."""
    dash_sandbox.double(f"{NIX}/nix-store", "sleep 2; exit 1")
    (dash_sandbox / "/loaded").touch()
    script = only("hanging").script
    assert f"+ {nix_setting.PATIENCE}" in script
    monkeypatch.setitem(globals(), "only", lambda _name: Change("", script.replace(f"+ {nix_setting.PATIENCE}", "+ 3")))
    began = time.monotonic()
    status, said, _calls = done(dash_sandbox, "hanging")
    assert status == shell.PERSON
    assert "does not answer within" in said
    assert time.monotonic() - began < 20


# --- asked of real files -------------------------------------------------------------------------------------------


def test_nix_is_found_where_it_is(sandbox: Sandbox) -> None:
    """In nix-darwin's system profile, or where the daemon's plist has it, when the default profile is empty."""
    script = f"{FIND}; echo $N"
    assert sandbox.run(script).stdout.strip() == NIX
    store = "/nix/store/0c2-nix-2.31/bin"
    sandbox.double(f"{store}/nix", "")
    plist = sandbox / plist_of(UPSTREAM).path
    plist.parent.mkdir(parents=True)
    plist.write_text(f"<string>/bin/wait4path {store}/nix-daemon &amp;&amp; exec {store}/nix-daemon</string>")
    assert sandbox.run(script).stdout.strip() == store
    for place in ("/run/current-system/sw/bin", NIX):
        sandbox.double(f"{place}/nix", "")
        assert sandbox.run(script).stdout.strip() == place
