# SPDX-License-Identifier: GPL-3.0-or-later
"""An SSH key pair that is made on the Mac and never leaves it.

The private half is the truth: the public one is derived from it again whenever the two do not belong together. It is
replaced only when it cannot be used at all, and the old one is kept in the backups.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..asking import Answers, Question
from ..files import diff, in_the_way
from ..key_note import noted
from ..ledger import BACKUPS, LEDGER, PARENT, prepared
from ..questions.file import Found, Kind
from ..questions.key_pair import KeyPair, Pair
from ..readers import any_path, reads
from ..resource import INTERNAL, Change, Step
from ..shell import quote


@dataclass(frozen=True, slots=True, kw_only=True)
class SshKeypair:
    """An ed25519 key pair without passphrase: `path` 0600 and `path`.pub 0644, both root:wheel.

    `made_for` is a word that is noted when it is made (see `KeyRotation`).
    """

    path: str = field(metadata=reads(any_path))
    comment: str = "builderfleet"
    present: bool = True
    made_for: str = field(default="", metadata=INTERNAL)

    @property
    def title(self) -> str:
        return f"SSH key pair {self.path}"

    def questions(self) -> Iterator[Question[Any]]:
        yield KeyPair(self.path)
        yield from (LEDGER, PARENT)

    def changes(self, answers: Answers) -> Iterator[Step]:
        pair = answers[KeyPair(self.path)]
        for path, half in ((self.path, pair.private), (f"{self.path}.pub", pair.public)):
            if half.kind not in (Kind.FILE, Kind.ABSENT):
                yield in_the_way(path, half)
                return
        yield from self._converge(pair, answers) if self.present else self._remove(pair)

    def _converge(self, pair: Pair, answers: Answers) -> Iterator[Step]:
        private, public = quote(self.path), quote(f"{self.path}.pub")
        if pair.private.kind is Kind.FILE and not pair.private.has(0o600, 0, 0):
            # First of all: ssh-keygen refuses a key that others can read, so whether it is usable shows afterwards.
            yield Change(
                f"set owner and mode of {self.path}",
                f"chown 0:0 {private} && chmod 0600 {private}\n",
                (diff(self.path, Found(Kind.FILE, pair.private.mode, pair.private.uid, pair.private.gid), _PRIVATE),),
            )
            return
        if not pair.usable:
            yield Change(
                f"make {self.title}" if pair.private.absent else f"replace {self.title}: its private half is unusable",
                self._keep(pair, answers) + self._generate(answers),
                (diff(f"{self.path}.pub", pair.public, Found(Kind.FILE, 0o644, 0, 0, b"(a new key)\n")),),
            )
            return
        wanted = f"{pair.derived} {self.comment}\n".encode()
        if (
            pair.public.kind is not Kind.FILE
            or not pair.public.has(0o644, 0, 0)
            or not _same(pair.public, pair.derived)
        ):
            yield Change(
                f"derive {self.path}.pub from its private half",
                f"{self._derived()} | stage {public} {quote(pair.public.seen)} 0644 0 0\n"
                f"commit {public} {quote(pair.public.seen)}\n",
                (diff(f"{self.path}.pub", pair.public, Found(Kind.FILE, 0o644, 0, 0, wanted)),),
            )

    def _derived(self) -> str:
        """Shell that prints the public half, base64, as `stage` takes it."""
        return (
            f'derived=$(/usr/bin/ssh-keygen -y -P "" -f {quote(self.path)})\n'
            f'printf \'%s %s\\n\' "$(printf \'%s\' "$derived" | /usr/bin/cut -d " " -f 1,2)" {quote(self.comment)}'
            " | /usr/bin/base64"
        )

    def _keep(self, pair: Pair, answers: Answers) -> str:
        """An unusable private half is still somebody's bytes: it moves to the backups, where only root reads."""
        if pair.private.absent:
            return ""
        name = quote(f"{BACKUPS}/{self.path.rsplit('/', 1)[1]}.unusable")
        return f'{prepared(answers)}mv -f {quote(self.path)} {name}."$(date +%s)"\n'

    def _generate(self, answers: Answers) -> str:
        private = quote(self.path)
        note = prepared(answers) + noted(self.made_for, '"$new.pub"') if self.made_for else ""
        return (
            f'new=$(staged {private})\nrm -f "$new" "$new.pub"\n'
            f'/usr/bin/ssh-keygen -q -t ed25519 -N "" -C {quote(self.comment)} -f "$new"\n'
            f'chown 0:0 "$new" "$new.pub"; chmod 0600 "$new"; chmod 0644 "$new.pub"\n{note}/bin/sync\n'
            f'rm -f {private}.pub\nmv -f "$new.pub" {private}.pub\nmv -f "$new" {private}\n/bin/sync\n'
        )

    def _remove(self, pair: Pair) -> Iterator[Step]:
        if not (pair.private.absent and pair.public.absent):
            private = quote(self.path)
            yield Change(
                f"remove {self.title}",
                f'rm -f {private} {private}.pub "$(staged {private})" "$(staged {private}).pub"\n',
            )


_PRIVATE = Found(Kind.FILE, 0o600, 0, 0)


def _same(public: Found, derived: str) -> bool:
    words = (public.content or b"").decode("ascii", "replace").split()
    return " ".join(words[:2]) == derived
