# SPDX-License-Identifier: GPL-3.0-or-later
"""The client key is changed for another one, and the old one stays valid until the new one has worked.

The next key is made beside the one in use; the guest is told to accept both; a login with the next one has to work; then
it takes the other's place, and the guest forgets that one. The guest's sshd reads its file of keys at each login
(`facts/linux_builder §1.3`: `authorizedKeysFiles` on the 9p share), so no VM is restarted. What is there says how far a
rotation that was cut off had come, and the next run goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..asking import Answers, Question
from ..files import diff
from ..key_note import NOTE, made_for, noted
from ..questions.file import Found, Kind
from ..questions.key_pair import KeyPair
from ..resource import Blocked, Change, Step
from ..shell import STALE, quote
from ..variables import DEFAULTS
from . import builder_ssh
from .builder_vm import ALIAS, KEY, KNOWN_HOSTS, PUBLIC_KEY, accepted
from .ssh_keypair import SshKeypair

LOGIN_LIMIT = 60


def next_pair(key: str, present: bool = True) -> SshKeypair:
    """The pair that is to take a key's place."""
    return SshKeypair(path=f"{key}.next", present=present)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRotation:
    """The pair at `key` was made for `word`, and the builder VM accepts it and no other.

    With an empty word any key will do, and what is left of a rotation goes. `alias` is the name by which `known_hosts`
    knows the guest, whose sshd is reached on `port` of 127.0.0.1. It comes after what makes the builder run.
    """

    key: str = KEY
    word: str = ""
    port: int = DEFAULTS["linux_builder_port"]
    alias: str = ALIAS

    @property
    def title(self) -> str:
        return "client key rotation"

    def questions(self) -> Iterator[Question[Any]]:
        yield from (KeyPair(self.key), NOTE, PUBLIC_KEY)
        yield from next_pair(self.key).questions()

    def changes(self, answers: Answers) -> Iterator[Step]:
        # A key that is missing or unusable is made before this has its turn, for this word.
        key = answers[KeyPair(self.key)].expected
        if self.word and key and made_for(answers, key) != self.word:
            yield from self._rotate(answers, key)
        else:
            yield from self._tidy(answers, key)

    def _rotate(self, answers: Answers, key: str) -> Iterator[Step]:
        pair = next_pair(self.key)
        steps = list(pair.changes(answers))
        yield from steps
        if any(isinstance(step, Blocked) for step in steps):
            return
        found, following = answers[PUBLIC_KEY], answers[KeyPair(pair.path)].expected
        both = [key, following or "(the next key)"]
        if accepted(found) != both or not found.has(0o444, 0, 0):
            yield self._accept("let the builder VM accept the next client key as well", found, both, (pair,))
        yield Change("change to the next client key, once a login with it has worked", self._change(pair))
        yield self._accept(_ALONE, _keys(both), both[1:])

    def _tidy(self, answers: Answers, key: str) -> Iterator[Step]:
        found = answers[PUBLIC_KEY]
        # Where the key itself is not accepted, BuilderVm has written the file by then.
        if key in accepted(found) and accepted(found) != [key]:
            yield self._accept(_ALONE, found, [key])
        yield from next_pair(self.key, present=False).changes(answers)

    def _accept(self, summary: str, found: Found, keys: list[str], more: tuple[SshKeypair, ...] = ()) -> Change:
        """The change after which the guest accepts the client's key and `more`: as the files of public keys say."""
        files = " ".join(quote(f"{path}.pub") for path in (self.key, *(pair.path for pair in more)))
        where, seen = quote(PUBLIC_KEY.path), quote(found.seen)
        return Change(
            summary,
            f"public=$(/usr/bin/awk 'FNR == 1 {{print $1, $2, \"builderfleet\"}}' {files})\n"
            f"printf '%s\\n' \"$public\" | /usr/bin/base64 | stage {where} {seen} 0444 0 0\ncommit {where} {seen}\n",
            (diff(PUBLIC_KEY.path, found, _keys(keys)),),
        )

    def _change(self, pair: SshKeypair) -> str:
        """Prove the next key, note its word, and put it in the other's place.

        ssh offers what KEY.pub says before it looks into KEY, so there is none while the halves could be of two pairs.
        ssh reads no configuration here: that names the key in use, which would be tried as well, and work.
        """
        private, public, following = quote(self.key), quote(f"{self.key}.pub"), quote(pair.path)
        options = builder_ssh.connection(alias=self.alias, port=self.port, key=pair.path, known_hosts=KNOWN_HOSTS.path)
        login = f"{builder_ssh.command(options)} {self.alias} true"
        return (
            f"if [ ! -f {following} ] || [ ! -f {following}.pub ]; then\n"
            f"  printf '%s\\n' '{pair.path} is not there any more; run again' >&2; exit {STALE}\nfi\n"
            f"limit {LOGIN_LIMIT} {login} ||\n"
            f"  fail 'the builder VM lets nobody in with {pair.path}: see above. The client key stays as it is, and valid;"
            " look whether the VM runs, and run again'\n"
            f"{noted(self.word, f'{following}.pub')}"
            f"rm -f {public}\n/bin/sync\nmv -f {following} {private}\n/bin/sync\n"
            f"mv -f {following}.pub {public}\n/bin/sync\n"
        )


_ALONE = "let the builder VM accept the client key alone"


def _keys(keys: list[str]) -> Found:
    return Found(Kind.FILE, 0o444, 0, 0, "".join(f"{key} builderfleet\n" for key in keys).encode())
