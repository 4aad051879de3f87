# SPDX-License-Identifier: GPL-3.0-or-later
"""The shell that all scripts stand on, really run: files are old or new and never half, and two runs never meet."""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
import time
from pathlib import Path

import pytest
from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.files import removed, replaced
from builderfleet.plugin_utils.questions.file import NOTHING, Found, Kind

from tests.unit.sandbox import Sandbox

ROOT = os.getuid() == 0
FILE = "/etc/it"
OLD, NEW = b"old\n" * 50_000, b"new\n" * 60_000


def run(sandbox: Sandbox, body: str) -> subprocess.CompletedProcess[str]:
    """Run a script with the functions, as a change is run but for the lock."""
    return sandbox.run(shell.wrap(f"set -eu\n{shell.LIBRARY}\n{body}"))


def found(sandbox: Sandbox, path: str = FILE) -> Found:
    """What the probe would say of a path."""
    here = sandbox / path
    if not here.exists():
        return NOTHING
    is_ = here.stat()
    return Found(Kind.FILE, is_.st_mode & 0o7777, is_.st_uid, is_.st_gid, here.read_bytes())


def put(seen: Found, data: bytes, mode: int = 0o644, check: str = "") -> str:
    return replaced(FILE, seen, data, mode=mode, check=check)


# --- wrap ----------------------------------------------------------------------------------------------------------


def test_what_a_script_starts_cannot_eat_the_rest_of_it(sandbox: Sandbox) -> None:
    eaters = "cat; read line || :; /usr/bin/perl -ne print; sh; tail -n 1; head -c 100; ssh-keygen -y -f - || :\n"
    ran = sandbox.run(shell.wrap(f"{eaters * 3}echo the end"))
    assert (ran.returncode, ran.stdout) == (0, "the end\n")


def test_a_script_that_was_cut_off_on_its_way_does_not_begin(sandbox: Sandbox) -> None:
    body = f"echo begun > /etc/begun\ndecoded <<'BYTES'\n{shell.encode(b'x' * 100)}BYTES\necho end"
    whole = shell.wrap(body)
    end = whole.rindex(")")
    for cut in [*range(20, end, max(1, end // 12)), end - 1, end]:
        sandbox.run(whole[:cut])
        assert not (sandbox / "/etc/begun").exists(), f"a script cut off after {cut} of {len(whole)} characters ran"
    sandbox.run(whole)
    assert (sandbox / "/etc/begun").exists()


def test_a_script_knows_its_surroundings(sandbox: Sandbox) -> None:
    ran = sandbox.run(shell.wrap('umask; echo "$PATH $LC_ALL"'))
    assert ran.stdout == f"0022\n{shell.PATH} C\n"


# --- stage, commit, discard ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"text", b"BYTES\nBYTES\n", b"'\"$HOME`id`\\\n", bytes(range(256)) * 9, NEW]
)
def test_a_file_gets_its_bytes_whatever_they_are(sandbox: Sandbox, data: bytes) -> None:
    ran = run(sandbox, put(NOTHING, data, 0o640))
    assert (ran.returncode, ran.stderr) == (0, "")
    now = found(sandbox)
    assert (now.content, now.mode) == (data, 0o640)


@pytest.mark.parametrize("path", ["/etc/with a blank", "/etc/quote'\"$HOME", "/etc/-n", "/etc/.hidden"])
def test_names_are_only_names(sandbox: Sandbox, path: str) -> None:
    assert run(sandbox, replaced(path, NOTHING, b"it", mode=0o644)).returncode == 0
    assert (sandbox / path).read_bytes() == b"it"
    assert run(sandbox, removed(path, found(sandbox, path))).returncode == 0
    assert sandbox.files("/etc").keys() == {"/etc/passwd"}


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_mode_and_owner(sandbox: Sandbox) -> None:
    ran = run(sandbox, replaced(FILE, NOTHING, b"it", mode=0o4750, uid=501, gid=20))
    now = found(sandbox)
    assert (ran.returncode, now.mode, now.uid, now.gid) == (0, 0o4750, 501, 20)


@pytest.mark.parametrize("there", ["absent", "file", "directory", "link", "dangling"])
def test_a_stale_plan_fails_and_writes_nothing(sandbox: Sandbox, there: str) -> None:
    where = sandbox / FILE
    if there == "file":
        where.write_bytes(b"somebody's change")
    elif there == "directory":
        where.mkdir()
    elif there != "absent":
        where.symlink_to("passwd" if there == "link" else "/nowhere")
    before = (where.is_symlink(), sandbox.files("/etc"))
    seen = Found(Kind.FILE, 0o644, 0, 0, b"what was seen")
    now = hashlib.sha256(b"somebody's change").hexdigest() if there == "file" else there.replace("dangling", "link")
    for script in (put(seen, b"planned"), removed(FILE, seen)):
        ran = run(sandbox, f"{script}echo went on")
        assert (ran.returncode, ran.stdout) == (shell.STALE, "")
        assert ran.stderr == f"{FILE} has changed since it was looked at: it was {seen.seen}, it is {now}; run again\n"
    assert (where.is_symlink(), sandbox.files("/etc")) == before


def test_a_file_that_appeared_since_is_not_overwritten(sandbox: Sandbox) -> None:
    (sandbox / FILE).write_bytes(b"somebody's")
    assert run(sandbox, put(NOTHING, b"planned")).returncode == shell.STALE
    assert (sandbox / FILE).read_bytes() == b"somebody's"


def test_a_change_while_the_new_file_is_checked_is_seen(sandbox: Sandbox) -> None:
    (sandbox / FILE).write_bytes(OLD)
    ran = run(sandbox, put(found(sandbox), NEW, check=f"echo another > {FILE}"))
    assert ran.returncode == shell.STALE
    assert (sandbox / FILE).read_bytes() == b"another\n"


def test_a_file_that_fails_its_check_is_not_installed(sandbox: Sandbox) -> None:
    (sandbox / FILE).write_bytes(b"old")
    ran = run(sandbox, put(found(sandbox), b"bad", check='grep -q good "$new" || fail "nix refuses $(cat "$new")"'))
    assert (ran.returncode, ran.stderr) == (1, "nix refuses bad\n")
    assert (sandbox / FILE).read_bytes() == b"old"
    ran = run(sandbox, put(found(sandbox), b"good", check='grep -q good "$new" || fail "nix refuses $(cat "$new")"'))
    assert (ran.returncode, (sandbox / FILE).read_bytes()) == (0, b"good")


def test_a_link_is_replaced_and_its_target_stays(sandbox: Sandbox) -> None:
    (sandbox / FILE).symlink_to("target")
    (sandbox / "/etc/target").write_bytes(b"another tool's")
    assert run(sandbox, put(Found(Kind.LINK, target="target"), b"ours")).returncode == 0
    assert not (sandbox / FILE).is_symlink()
    assert (sandbox / FILE).read_bytes() == b"ours"
    assert (sandbox / "/etc/target").read_bytes() == b"another tool's"


def test_what_a_killed_run_left_beside_the_file_does_not_matter(sandbox: Sandbox) -> None:
    left = sandbox / "/etc/.it.builderfleet-new"
    left.symlink_to("/etc/passwd")  # not followed either
    assert run(sandbox, put(NOTHING, b"new")).returncode == 0
    left.write_bytes(b"half")
    assert run(sandbox, removed(FILE, found(sandbox))).returncode == 0
    assert sandbox.files("/etc").keys() == {"/etc/passwd"}
    assert (sandbox / "/etc/passwd").read_bytes() != b"new"


def test_a_file_can_come_from_another(sandbox: Sandbox) -> None:
    (sandbox / "/etc/backup").write_bytes(bytes(range(256)))
    assert run(sandbox, f"stage {FILE} absent 0600 0 0 /etc/backup\ncommit {FILE} absent").returncode == 0
    assert (sandbox / FILE).read_bytes() == bytes(range(256))
    ran = run(sandbox, f"stage {FILE} any 0600 0 0 /etc/missing\ncommit {FILE} any")
    assert ran.returncode != 0
    assert "cannot read /etc/missing: No such file" in ran.stderr
    assert (sandbox / FILE).read_bytes() == bytes(range(256))


def test_a_directory_that_is_missing_is_said(sandbox: Sandbox) -> None:
    ran = run(sandbox, replaced("/etc/nix/nix.conf", NOTHING, b"", mode=0o644))
    assert ran.returncode not in (0, shell.STALE, shell.LOCKED)
    assert "cannot write /etc/nix/.nix.conf.builderfleet-new: No such file or directory" in ran.stderr


def test_a_kill_leaves_the_file_old_or_new(dash_sandbox: Sandbox) -> None:
    """Killed at moments all over the script, again and again; and what is left never hinders the next run."""
    sandbox, chance = dash_sandbox, random.Random(4)
    (sandbox / FILE).write_bytes(OLD)
    began = time.monotonic()
    assert run(sandbox, put(found(sandbox), NEW)).returncode == 0
    takes = time.monotonic() - began
    killed = 0
    for _ in range(40):
        now = found(sandbox)
        script = shell.wrap(f"set -eu\n{shell.LIBRARY}\n{put(now, OLD if now.content == NEW else NEW)}")
        process = sandbox.start(script)
        time.sleep(chance.uniform(0, takes))
        process.kill()
        process.communicate()  # ends when nobody is left who could write
        killed += process.returncode != 0
        assert (sandbox / FILE).read_bytes() in (OLD, NEW)
    assert killed > 5
    assert run(sandbox, put(found(sandbox), b"the end")).returncode == 0
    assert sandbox.files("/etc").keys() == {FILE, "/etc/passwd"}


LOGGED = """package Logged; require IO::Handle; my $sync = \\&IO::Handle::sync; no warnings;
*IO::Handle::sync = sub { print STDERR "sync ", -d $_[0] ? "directory" : -s $_[0], "\\n"; $sync->($_[0]) };
BEGIN { *CORE::GLOBAL::rename = sub { print STDERR "rename\\n"; CORE::rename($_[0], $_[1]) } } 1;
"""


def test_a_file_is_on_the_disk_before_it_gets_its_name(dash_sandbox: Sandbox) -> None:
    """Without the flush, a loss of power after the rename left empty files."""
    (dash_sandbox / "/var/Logged.pm").write_text(LOGGED)
    ran = run(dash_sandbox, f"export PERL5LIB=/var PERL5OPT=-MLogged\n{put(NOTHING, b'1234')}")
    said = ran.stderr.splitlines()
    assert said[:1] == ["sync 4"]
    assert said[-2:] == ["rename", "sync directory"]


# --- directory, decoded, limit ---------------------------------------------------------------------------------------


def test_a_directory_is_made_and_put_right(sandbox: Sandbox) -> None:
    for mode in ("0755", "0700"):
        assert run(sandbox, f"directory {mode} 0 0 '/etc/a b'").returncode == 0
        assert (sandbox / "/etc/a b").stat().st_mode & 0o7777 == int(mode, 8)


def test_a_file_where_a_directory_belongs_is_said(sandbox: Sandbox) -> None:
    (sandbox / FILE).write_bytes(b"")
    ran = run(sandbox, f"directory 0755 0 0 {FILE}\necho went on")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.endswith(f"cannot make the directory {FILE}\n")


@pytest.mark.parametrize("data", [b"", b"text\n", bytes(range(256)) * 40])
def test_decoded(sandbox: Sandbox, data: bytes) -> None:
    assert run(sandbox, f"decoded > {FILE} {shell.here(data)}").returncode == 0
    assert (sandbox / FILE).read_bytes() == data


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("true", 0),
        ("sh -c 'exit 3'", 3),
        ("sh -c 'exit 255'", 255),
        ("sh -c 'kill -TERM $$'", 128 + 15),
        ("/no/such/command", 127),
    ],
)
def test_what_is_in_time_keeps_its_status(sandbox: Sandbox, command: str, status: int) -> None:
    ran = run(sandbox, f'status=0; limit 20 {command} || status=$?; echo "$status"')
    assert ran.stdout == f"{status}\n"
    assert ("cannot run /no/such/command" in ran.stderr) is (status == 127)


def test_what_takes_too_long_is_ended_with_all_it_started(dash_sandbox: Sandbox) -> None:
    dash_sandbox.double("/bin/stubborn", "trap '' TERM HUP; sleep 97 & sleep 97; echo still here")
    body = 'status=0; said=$(limit 1 /bin/stubborn) || status=$?; echo "$status $said"'  # waits for who has the pipe
    began = time.monotonic()
    ran = run(dash_sandbox, body)
    assert time.monotonic() - began < 10
    assert ran.stdout == "124 \n"
    assert ran.stderr == "/bin/stubborn took longer than 1 seconds and was ended\n"


# --- the lock ------------------------------------------------------------------------------------------------------


def locked(run: str, body: str, *, patience: int = 0, lease: int = 20) -> str:
    """A script of a run that holds the lock."""
    return shell.wrap(f"set -eu\n{shell.LIBRARY}\nlock {run} {run}@controller {patience} {lease} 'some work'\n{body}")


def holding(sandbox: Sandbox, run: str, seconds: float, lease: int = 20) -> subprocess.Popen[bytes]:
    """A script that has the lock and keeps it for a while."""
    (sandbox / "/var/has").unlink(missing_ok=True)
    process = sandbox.start(locked(run, f"echo > /var/has; sleep {seconds}; echo done", lease=lease))
    until = time.monotonic() + 10
    while not (sandbox / "/var/has").exists():
        assert time.monotonic() < until, process.communicate()
        time.sleep(0.01)
    return process


def test_the_lock_is_kept_between_two_scripts_of_a_run(sandbox: Sandbox) -> None:
    assert sandbox.run(locked("a", "echo did")).stdout == "did\n"
    other = sandbox.run(locked("b", "echo did"))
    assert (other.returncode, other.stdout) == (shell.LOCKED, "")
    assert re.match(
        r'locked by a@controller, who is at "some work" since \d\d:\d\d:\d\d \(process \d+ on this Mac\); waited 0 seconds',
        other.stderr,
    )
    assert sandbox.run(locked("a", "echo did")).stdout == "did\n"


def test_the_lease_of_a_run_that_died_lapses(dash_sandbox: Sandbox) -> None:
    dash_sandbox.run(locked("a", "", lease=1))
    assert dash_sandbox.run(locked("b", "echo did", patience=5)).stdout == "did\n"


def test_a_run_that_is_at_it_is_waited_for_however_old_its_lease(dash_sandbox: Sandbox) -> None:
    process = holding(dash_sandbox, "a", 2, lease=0)
    impatient = dash_sandbox.run(locked("b", "echo did"))
    assert (impatient.returncode, impatient.stdout) == (shell.LOCKED, "")
    assert "locked by a@controller" in impatient.stderr
    began = time.monotonic()
    patient = dash_sandbox.run(locked("b", "echo did", patience=20))
    assert (patient.returncode, patient.stdout) == (0, "did\n")
    assert 0.5 < time.monotonic() - began < 6
    assert process.communicate()[0] == b"done\n"


def test_a_run_that_was_killed_holds_nothing(dash_sandbox: Sandbox) -> None:
    process = holding(dash_sandbox, "a", 60, lease=1)
    process.kill()
    process.communicate()
    assert dash_sandbox.run(locked("b", "echo did", patience=5)).stdout == "did\n"


@pytest.mark.parametrize("text", ["", "\n", "nonsense", "a\tlong ago\tme\n", "a\t99999999999999\tme\n", "\0\xff\t\t\t"])
def test_a_lock_file_that_makes_no_sense_blocks_nobody(dash_sandbox: Sandbox, text: str) -> None:
    (dash_sandbox / shell.LOCK_FILE).write_text(text, "latin-1")
    assert dash_sandbox.run(locked("b", "echo did")).stdout == "did\n"
    assert (dash_sandbox / shell.LOCK_FILE).read_text().startswith("b\t")


def test_a_lock_that_is_taken_away_while_somebody_waits_for_it(dash_sandbox: Sandbox) -> None:
    """Who waited has to lock the file that is there then, not the one that is not."""
    process = holding(dash_sandbox, "a", 1, lease=0)
    waiting = dash_sandbox.start(locked("b", "sleep 1.5; echo did", patience=20))
    time.sleep(0.4)
    (dash_sandbox / shell.LOCK_FILE).unlink()
    third = holding(dash_sandbox, "c", 1, lease=0)
    assert process.communicate()[0] == b"done\n"
    assert third.communicate()[0] == b"done\n"
    assert waiting.communicate()[0] == b"did\n"
    assert (dash_sandbox / shell.LOCK_FILE).read_text().startswith("b\t")


def test_many_runs_at_once_come_one_after_the_other(dash_sandbox: Sandbox) -> None:
    body = "echo begin >> /var/log; sleep 0.2; echo end >> /var/log"
    runs = [dash_sandbox.start(locked(f"run{number}", body, patience=30, lease=0)) for number in range(4)]
    assert [(each.communicate()[1], each.returncode) for each in runs] == [(b"", 0)] * 4
    assert (dash_sandbox / "/var/log").read_text() == "begin\nend\n" * 4


def test_the_lock_is_given_back_but_not_anothers(sandbox: Sandbox) -> None:
    sandbox.run(locked("a", ""))
    sandbox.run(shell.wrap(shell.released("b")))
    assert (sandbox / shell.LOCK_FILE).exists()
    sandbox.run(shell.wrap(shell.released("a")))
    assert not (sandbox / shell.LOCK_FILE).exists()
    assert sandbox.run(shell.wrap(shell.released("a"))).returncode == 0
    assert sandbox.run(locked("b", "echo did")).stdout == "did\n"


# --- guarded -------------------------------------------------------------------------------------------------------


def guarded(script: str, run: str = "a", slow: bool = False) -> str:
    text = shell.wrap(shell.guarded(script, run=run, who="somebody's laptop", what="set it", slow=slow))
    assert f" {shell.LOCK_PATIENCE} 0 'set it'\n" in text
    return text.replace(f" {shell.LOCK_PATIENCE} 0 'set it'\n", " 0 0 'set it'\n")


@pytest.fixture
def proof(sandbox: Sandbox) -> Path:
    where = sandbox / shell.PROOF_FILE
    where.parent.mkdir(parents=True)
    where.write_bytes(b"proved\n")
    return where


def test_a_change_takes_the_proof_away_and_keeps_its_output_from_the_answers(sandbox: Sandbox, proof: Path) -> None:
    ran = sandbox.run(guarded("echo said; cat"))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "said\n")
    assert not proof.exists()


def test_a_change_of_another_run_does_not_begin(sandbox: Sandbox, proof: Path) -> None:
    sandbox.run(locked("b", ""))
    ran = sandbox.run(guarded("echo did"))
    assert (ran.returncode, ran.stdout) == (shell.LOCKED, "")
    assert "locked by b@controller" in ran.stderr
    assert proof.exists()


@pytest.mark.parametrize("fails", ["false", "sh -c 'exit 1'", 'echo "$unset"', "fail 'why'", "x=$(false)", "cd /none"])
def test_a_change_stops_where_it_fails(sandbox: Sandbox, fails: str) -> None:
    ran = sandbox.run(guarded(f"{fails}\necho went on"))
    assert ran.returncode not in (0, shell.LOCKED, shell.STALE)
    assert "went on" not in ran.stderr


def test_a_change_has_a_private_folder_and_leaves_none(sandbox: Sandbox) -> None:
    (sandbox / shell.FOLDER).mkdir()
    (sandbox / shell.FOLDER / "left").touch()  # by a run that was killed
    for end, status in (("", 0), ("fail why", 1), ('echo "$unset"', 1), ("exit 76", 76)):
        ran = sandbox.run(guarded(f'fresh_folder; ls -lnd "$folder"; ls "$folder"; {end}'))
        assert bool(ran.returncode) is bool(status) and (ran.returncode == status or "unset" in end)
        assert ran.stderr.splitlines()[0].startswith("drwx------ 2 0 0 ")
        assert "left" not in ran.stderr
        assert not (sandbox / shell.FOLDER).exists()


def started(sandbox: Sandbox, script: str) -> subprocess.Popen[bytes]:
    """A script on its way, which has come to its work."""
    process = sandbox.start(script)
    deadline = time.monotonic() + 10
    while not (sandbox / "/var/begun").exists():
        assert time.monotonic() < deadline, process.communicate()
        time.sleep(0.01)
    return process


def is_free(sandbox: Sandbox, patience: int) -> bool:
    """Whether another run gets the lock within that time; the lease of the one before does not count."""
    return sandbox.run(locked("b", "echo did", patience=patience)).stdout == "did\n"


# The script's own end would come after two minutes; its output goes where nobody reads any more once we close it.
WAITING = "echo > /var/begun; limit 100 /bin/sleep 100"


def test_a_script_that_nobody_listens_to_lets_go_with_all_that_it_started(sandbox: Sandbox) -> None:
    """The connection is gone: what is written to it is taken by nobody."""
    process = started(sandbox, guarded(WAITING))
    assert not is_free(sandbox, 1)
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    assert is_free(sandbox, 20)
    assert process.wait(10) != 0


def test_a_script_that_is_listened_to_goes_on(dash_sandbox: Sandbox) -> None:
    ran = dash_sandbox.run(guarded("sleep 7; echo done"))
    assert (ran.returncode, ran.stderr.strip()) == (0, "done")


def test_a_script_whose_starter_died_lets_go(dash_sandbox: Sandbox) -> None:
    """A multiplexed connection ends with its last process, not with its last word: then a parent of the script's is gone."""
    (dash_sandbox / "/var/script").write_text(guarded(WAITING))
    dash_sandbox.double("/bin/sudo-like", "/bin/sh /var/script & wait")
    process = dash_sandbox.start(
        "/bin/sudo-like & starter=$!; until [ -e /var/begun ]; do sleep 0.1; done; sleep 2; kill -9 $starter; sleep 60"
    )
    try:
        assert is_free(dash_sandbox, 30)
    finally:
        process.kill()
        process.communicate()


def test_what_is_worse_half_done_goes_on(dash_sandbox: Sandbox) -> None:
    process = started(dash_sandbox, guarded("unlistened; echo > /var/begun; sleep 8; echo > /var/done"))
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    process.wait(30)
    assert (dash_sandbox / "/var/done").exists()


def test_the_lease_begins_anew_when_a_change_ends(dash_sandbox: Sandbox) -> None:
    began = int(time.time())
    dash_sandbox.run(guarded("sleep 1.1"))
    run_, until, who, _process, since, what = (dash_sandbox / shell.LOCK_FILE).read_text().rstrip("\n").split("\t")
    assert (run_, who, what) == ("a", "somebody's laptop", "set it")
    assert int(since) >= began
    assert int(until) >= began + 1 + shell.LEASE


def test_patience_outlives_the_lease_of_a_run_that_died() -> None:
    assert shell.LOCK_PATIENCE > shell.LEASE


@pytest.mark.parametrize("slow", [True, False])
def test_a_mac_stays_awake_over_what_is_slow(sandbox: Sandbox, slow: bool) -> None:
    sandbox.double("/usr/bin/caffeinate", 'echo "$*" > /var/awake; kill -0 "$3" && echo runs >> /var/awake')
    ran = sandbox.run(
        guarded(
            "i=0; while [ ! -e /var/awake ] && [ $i -lt 20 ]; do sleep 0.1; i=$((i + 1)); done; sleep 0.1", slow=slow
        )
    )
    assert ran.returncode == 0, ran.stderr
    awake = sandbox / "/var/awake"
    assert awake.exists() == slow
    assert not slow or re.fullmatch(r"-i -w \d+\nruns\n", awake.read_text())


# --- what stops root as well -----------------------------------------------------------------------------------------

# What macOS's `ls -ldnO` shows of flags, before the size (`facts/macos_commands`).
LS = r"""[ "$1" = -ldnO ] || exit 1
case $2 in {}) flags={} ;; *) flags=- ;; esac
echo "-rw-r--r--@ 1 0 0 $flags 5 Nov 26 00:00 $2"
"""


@pytest.mark.parametrize(
    ("path", "flags", "off"),
    [
        (FILE, "uchg", "nouchg"),
        (FILE, "hidden,schg,uappnd", "noschg,nouappnd"),
        ("/etc", "schg", "noschg"),
    ],
)
def test_an_immutable_file_is_called_that_before_anything_is_written(
    sandbox: Sandbox, path: str, flags: str, off: str
) -> None:
    (sandbox / FILE).write_bytes(OLD)
    seen, before = found(sandbox), sandbox.files("/etc")
    sandbox.double("/bin/ls", LS.format(path, flags))
    for script in (put(seen, NEW), removed(FILE, seen)):
        ran = run(sandbox, script)
        assert ran.returncode == shell.PERSON
        assert ran.stderr.startswith(f"{path} is immutable (") and f"`sudo chflags {off} {path}` on that" in ran.stderr
    assert sandbox.files("/etc") == before
    sandbox.double("/bin/ls", LS.format(FILE, "hidden"))
    assert run(sandbox, put(seen, NEW)).returncode == 0


def test_a_file_that_cannot_be_put_in_place_leaves_nothing_staged(sandbox: Sandbox) -> None:
    (sandbox / FILE).mkdir()
    ran = run(sandbox, f"stage {FILE} directory 0644 0 0 </dev/null\ncommit {FILE} directory\n")
    assert ran.returncode != 0 and f"cannot replace {FILE}: " in ran.stderr
    assert not list((sandbox / "/etc").glob(".*new"))


def test_what_a_check_refuses_leaves_nothing(sandbox: Sandbox) -> None:
    script = replaced(FILE, NOTHING, NEW, mode=0o644, check='fail "refused: $new"', between=": > /etc/remembered")
    before = sandbox.files("/etc")
    ran = run(sandbox, script)
    assert (ran.returncode, ran.stderr) == (1, "refused: /etc/.it.builderfleet-new\n")
    assert sandbox.files("/etc") == before
    assert run(sandbox, script.replace("fail", "echo")).returncode == 0
    assert {FILE, "/etc/remembered"} <= set(sandbox.files("/etc"))


@pytest.mark.parametrize(("status", "kept"), [(1, False), (shell.PERSON, False), (shell.STALE, True), (0, True)])
def test_the_lock_of_a_change_that_failed_goes_back(sandbox: Sandbox, status: int, kept: bool) -> None:
    ran = sandbox.run(shell.wrap(shell.guarded(f"exit {status}", run="a" * 16, who="me", what="it")))
    assert ran.returncode == status
    assert (sandbox / shell.LOCK_FILE).exists() is kept
