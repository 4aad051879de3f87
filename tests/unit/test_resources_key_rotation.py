# SPDX-License-Identifier: GPL-3.0-or-later
"""KeyRotation: from whatever a rotation left behind it goes on with the next step, and with no other."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

import pytest
from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.key_note import NOTE
from builderfleet.plugin_utils.questions.file import NOTHING, Found
from builderfleet.plugin_utils.questions.key_pair import KeyPair, Pair
from builderfleet.plugin_utils.resources.builder_vm import KEYS, PUBLIC_KEY
from builderfleet.plugin_utils.resources.key_rotation import KeyRotation
from builderfleet.plugin_utils.resources.ssh_keypair import SshKeypair

from tests.unit.answers import OTHER_PUBLIC, PRIVATE, PUBLIC, Case, Person, World, directory, file, pair
from tests.unit.sandbox import Sandbox

KEY, WORD = "/etc/nix/builderfleet_ed25519", "2026-11"
NEXT = f"{KEY}.next"
DUE, NEVER = KeyRotation(key=KEY, word=WORD), KeyRotation(key=KEY)

MAKE, REMOVE = f"make SSH key pair {NEXT}", f"remove SSH key pair {NEXT}"
BOTH, ALONE = "let the builder VM accept the next client key as well", "let the builder VM accept the client key alone"
MODE, DERIVE = f"set owner and mode of {NEXT}", f"derive {NEXT}.pub from its private half"
REPLACE = f"replace SSH key pair {NEXT}: its private half is unusable"
CHANGE = "change to the next client key, once a login with it has worked"

# The pairs of a rotation: A is in use at first, B takes its place.
A, B = (pair(PRIVATE, file(f"{key} builderfleet\n"), key) for key in (PUBLIC, OTHER_PUBLIC))
NONE = pair(NOTHING, NOTHING, "")


def guest(*keys: str, mode: int = 0o444) -> Found:
    return file("".join(f"{key} builderfleet\n" for key in keys), mode)


def world(current: Pair, following: Pair, accepted: Found, note: str = "") -> World:
    noted: World = {NOTE: file(f"{note}\n")} if note else {}
    return noted | {KeyPair(KEY): current, KeyPair(NEXT): following, PUBLIC_KEY: accepted}


ONLY_A, ONLY_B, A_AND_B = guest(PUBLIC), guest(OTHER_PUBLIC), guest(PUBLIC, OTHER_PUBLIC)
MADE_A, MADE_B = f"{WORD} {PUBLIC}", f"{WORD} {OTHER_PUBLIC}"
OPEN = pair(file(None, 0o644), B.public, "")
NO_PUBLIC = pair(PRIVATE, NOTHING, OTHER_PUBLIC)
ONLY_PUBLIC = pair(NOTHING, B.public, "")
UNUSABLE = pair(PRIVATE, B.public, "")
BLOCKED = pair(directory(), NOTHING, "")
ALL = (MAKE, BOTH, CHANGE, ALONE)

CASES = [
    Case("fresh", DUE),
    Case("fresh and never", NEVER),
    Case("never", NEVER, world(A, NONE, ONLY_A)),
    Case("never any more", NEVER, world(A, NONE, ONLY_A, MADE_A)),
    Case("made for the word", DUE, world(A, NONE, ONLY_A, MADE_A)),
    Case("made for no word", DUE, world(A, NONE, ONLY_A), ALL),
    Case("made for another word", DUE, world(A, NONE, ONLY_A, f"2026-10 {PUBLIC}"), ALL),
    Case("another key was made for the word", DUE, world(A, NONE, ONLY_A, MADE_B), ALL),
    Case("the note is rubbish", DUE, world(A, NONE, ONLY_A) | {NOTE: file(b"\xff\0")}, ALL),
    Case("the note is empty", DUE, world(A, NONE, ONLY_A) | {NOTE: file("")}, ALL),
    Case("the guest accepts another", DUE, world(A, NONE, ONLY_B), ALL),
    Case("the key is open", DUE, world(pair(file(None, 0o644), A.public, ""), NONE, ONLY_A, MADE_A)),
    Case("the key is open and due", DUE, world(pair(file(None, 0o644), A.public, ""), NONE, ONLY_A), ALL),
    # What a run that was cut off leaves
    Case("the next key is made", DUE, world(A, B, ONLY_A), ALL[1:]),
    Case("half of the next key is made", DUE, world(A, ONLY_PUBLIC, ONLY_A), ALL),
    Case("the next key has no public half", DUE, world(A, NO_PUBLIC, ONLY_A), (DERIVE, *ALL[1:])),
    Case("the next key is open", DUE, world(A, OPEN, A_AND_B), (MODE, *ALL[2:])),
    Case("the next key is unusable", DUE, world(A, UNUSABLE, ONLY_A), (REPLACE, *ALL[1:])),
    Case("a directory is in the next key's way", DUE, world(A, BLOCKED, ONLY_A), (Person(f"{NEXT} should be", "move it"),)),
    Case("the guest accepts both", DUE, world(A, B, A_AND_B), ALL[2:]),
    Case("the guest would not trust its file", DUE, world(A, B, guest(PUBLIC, OTHER_PUBLIC, mode=0o666)), ALL[1:]),
    Case("the guest accepts a third", DUE, world(A, B, guest(PUBLIC, OTHER_PUBLIC, "ssh-rsa AAAA")), ALL[1:]),
    Case("the next key is noted", DUE, world(A, B, A_AND_B, MADE_B), ALL[2:]),
    Case("the next key took the place", DUE, world(B, ONLY_PUBLIC, A_AND_B, MADE_B), (ALONE, REMOVE)),
    Case("and its public half as well", DUE, world(B, NONE, A_AND_B, MADE_B), (ALONE,)),
    Case("the guest has forgotten", DUE, world(B, NONE, ONLY_B, MADE_B)),
    # The word is taken back, or is another one, in the middle
    Case("given up once the key was made", NEVER, world(A, B, ONLY_A), (REMOVE,)),
    Case("given up once both were accepted", NEVER, world(A, B, A_AND_B), (ALONE, REMOVE)),
    Case("given up once it was noted", NEVER, world(A, B, A_AND_B, MADE_B), (ALONE, REMOVE)),
    Case("given up once it had its place", NEVER, world(B, NONE, A_AND_B, MADE_B), (ALONE,)),
    Case("another word in the middle", KeyRotation(key=KEY, word="x"), world(A, B, A_AND_B, MADE_B), ALL[2:]),
    Case("another word at the end", KeyRotation(key=KEY, word="x"), world(B, NONE, A_AND_B, MADE_B), ALL),
    # Others
    Case("the key got lost", DUE, world(NONE, B, A_AND_B, MADE_B), (REMOVE,)),
    Case("somebody added a key", NEVER, world(A, NONE, guest(PUBLIC, "ssh-rsa AAAA")), (ALONE,)),
    Case("somebody put a key before", NEVER, world(A, NONE, guest("ssh-rsa AAAA", PUBLIC)), (ALONE,)),
    Case("somebody put another in place", NEVER, world(A, NONE, ONLY_B)),  # that is BuilderVm's
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_it_says(case: Case) -> None:
    case.check()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nothing_stops_the_vm(case: Case) -> None:
    assert all("launchctl" not in change.script for change in case.changes())


# --- really done ---------------------------------------------------------------------------------------------------


class Mac:
    """A Mac whose guest lets those keys in that are in its file, and a rotation that is run change by change."""

    def __init__(self, sandbox: Sandbox, word: str = WORD) -> None:
        self.sandbox, self.rotation = sandbox, KeyRotation(key=KEY, word=word)
        for folder in (KEYS, "/etc/nix"):
            (sandbox / folder).mkdir(parents=True)
        self.make(SshKeypair(path=KEY), {})
        shutil.copy(sandbox / f"{KEY}.pub", sandbox / PUBLIC_KEY.path)
        (sandbox / PUBLIC_KEY.path).chmod(0o444)
        sandbox.double(
            "/usr/bin/ssh",
            'echo "$*" >> /log\nfor word; do case $word in IdentityFile=*) key=${word#*=} ;; esac; done\n'
            f'/usr/bin/grep -q -F "$(ssh-keygen -y -f "$key" | cut -d \' \' -f 1,2)" {PUBLIC_KEY.path}',
        )

    def pair(self, path: str) -> Pair:
        def found(name: str) -> Found:
            where = self.sandbox / name
            return file(where.read_bytes(), where.stat().st_mode & 0o777) if where.exists() else NOTHING

        derived = " ".join(self.sandbox.run(f"ssh-keygen -y -P '' -f {path}").stdout.split()[:2])
        return pair(found(path), found(f"{path}.pub"), derived)

    def world(self) -> World:
        note = self.sandbox / NOTE.path
        known = world(self.pair(KEY), self.pair(NEXT), file((self.sandbox / PUBLIC_KEY.path).read_bytes(), 0o444))
        return known | ({NOTE: file(note.read_bytes())} if note.exists() else {})

    def steps(self) -> Sequence[str]:
        return [step.summary for step in Case("", self.rotation, self.world()).steps()]

    def make(self, resource: KeyRotation | SshKeypair, given: World) -> subprocess.CompletedProcess[str]:
        """The first change of a resource."""
        change = Case("", resource, given).changes()[0]
        return self.sandbox.run(shell.wrap(f"set -eu\n{shell.LIBRARY}\n{change.script}"))

    def next(self) -> None:
        ran = self.make(self.rotation, self.world())
        assert (ran.returncode, ran.stderr) == (0, "")

    def accepted(self) -> str:
        return (self.sandbox / PUBLIC_KEY.path).read_text()


@pytest.fixture
def mac(sandbox: Sandbox) -> Mac:
    return Mac(sandbox)


def test_a_rotation_from_its_beginning_to_its_end(mac: Mac) -> None:
    old = mac.pair(KEY)
    for left in range(4, 0, -1):
        assert mac.steps() == list(ALL[-left:])
        mac.next()
    assert mac.steps() == []
    new = mac.pair(KEY)
    assert new.derived != old.derived
    assert mac.accepted() == f"{new.derived} builderfleet\n" == (mac.sandbox / f"{KEY}.pub").read_text()
    assert (mac.sandbox / NOTE.path).read_text() == f"{WORD} {new.derived}\n"
    assert (mac.sandbox / KEY).stat().st_mode & 0o777 == 0o600
    assert (mac.sandbox / PUBLIC_KEY.path).stat().st_mode & 0o777 == 0o444
    assert mac.sandbox.files("/etc/nix").keys() == {KEY, f"{KEY}.pub"}


def test_the_old_key_is_first_among_both(mac: Mac) -> None:
    mac.next()
    mac.next()
    old, new = mac.pair(KEY).derived, mac.pair(NEXT).derived
    assert mac.accepted() == f"{old} builderfleet\n{new} builderfleet\n"


def test_it_is_the_next_key_that_has_to_get_in_and_no_other(mac: Mac) -> None:
    for _ in range(3):
        mac.next()
    (login,) = (mac.sandbox / "/log").read_text().splitlines()
    assert login.startswith("-F none -o HostName=127.0.0.1 -o Port=31422 -o User=builder ")
    assert login.endswith(" builderfleet true")
    assert f" -o IdentityFile={NEXT} -o IdentitiesOnly=yes -o IdentityAgent=none " in login
    assert login.count("IdentityFile") == 1


def test_a_key_that_does_not_get_in_changes_nothing(mac: Mac) -> None:
    mac.next()
    mac.next()
    mac.sandbox.double("/usr/bin/ssh", "echo 'Permission denied (publickey).' >&2; exit 255")
    before = mac.sandbox.files("/")
    ran = mac.make(mac.rotation, mac.world())
    assert ran.returncode == 1
    assert "Permission denied" in ran.stderr and f"lets nobody in with {NEXT}" in ran.stderr
    assert mac.sandbox.files("/") == before


def test_a_change_that_is_made_again_is_out_of_date(mac: Mac) -> None:
    mac.next()
    mac.next()
    plan = mac.world()
    mac.next()
    keys = mac.sandbox.files("/etc/nix")
    ran = mac.make(mac.rotation, plan)
    assert (ran.returncode, "not there any more" in ran.stderr) == (shell.STALE, True)
    assert mac.sandbox.files("/etc/nix") == keys


@pytest.mark.parametrize("moment", range(1, 4))
def test_cut_off_while_the_key_changes(mac: Mac, moment: int) -> None:
    """Before each of its moves: at any time one key is there, its public half with it or none, and the guest knows it."""
    mac.next()
    mac.next()
    change = Case("", mac.rotation, mac.world()).changes()[0].script
    commands = ["rm -f /etc/nix/", f"mv -f {NEXT} ", f"mv -f {NEXT}.pub "]
    assert all(change.count(command) == 1 for command in commands)
    cut = change.replace(commands[moment - 1], "exit 9 #", 1)
    assert mac.sandbox.run(f"set -eu\n{shell.LIBRARY}\n{cut}").returncode == 9
    there = mac.pair(KEY)
    assert there.derived in mac.accepted()
    assert there.public.absent or (there.public.content or b"").decode().startswith(there.derived)
    while steps := Case("", SshKeypair(path=KEY), mac.world()).changes():
        assert mac.make(SshKeypair(path=KEY), mac.world()).returncode == 0, steps
    assert mac.steps() == list((ALL[2:], ALL[2:], (ALONE, REMOVE))[moment - 1])
    while mac.steps():
        mac.next()
    assert mac.accepted() == f"{mac.pair(KEY).derived} builderfleet\n"
    assert mac.sandbox.files("/etc/nix").keys() == {KEY, f"{KEY}.pub"}


def test_a_first_key_that_is_made_for_a_word_is_not_made_again(sandbox: Sandbox) -> None:
    (sandbox / "/var/lib").mkdir()
    mac = Mac(sandbox)
    for path in (KEY, f"{KEY}.pub"):
        (sandbox / path).unlink()
    assert mac.make(SshKeypair(path=KEY, made_for=WORD), {}).returncode == 0
    assert (sandbox / NOTE.path).read_text() == f"{WORD} {mac.pair(KEY).derived}\n"
    shutil.copy(sandbox / f"{KEY}.pub", sandbox / "/public")
    (sandbox / PUBLIC_KEY.path).unlink()
    shutil.copy(sandbox / "/public", sandbox / PUBLIC_KEY.path)
    assert mac.steps() == []
