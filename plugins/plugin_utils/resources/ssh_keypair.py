# SPDX-License-Identifier: GPL-3.0-or-later
"""An SSH key pair that is made on the Mac and never leaves it.

The private half is the truth: the public one is derived from it again whenever the two do not belong together. The
client key of the builder is replaced when it cannot be used at all, and the old one is kept in the backups. What else is at a
path was made by somebody: it is used as it is, never replaced, and goes only where the ledger knows that it was made here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ..asking import Answers, Question
from ..files import diff, in_the_way
from ..key_note import noted
from ..ledger import BACKUPS, LEDGER, PARENT, ledger, prepared, written
from ..questions.file import Found, Kind
from ..questions.key_pair import KeyPair, Pair
from ..readers import any_path, reads
from ..resource import INTERNAL, Blocked, Change, Step
from ..shell import quote

OWN_KEYS = "/etc/nix/builderfleet_"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshKeypair:
    """An ed25519 key pair without passphrase: `path` 0600 and `path`.pub 0644, both root:wheel. A pair of another type that
    is there and can be used is kept as it is, and one that somebody else made is so with its owner and mode.

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
        if not (pair.private.absent and pair.public.absent) and not self._is_ours(answers):
            yield from self._foreign(pair) if self.present else ()
        else:
            yield from self._converge(pair, answers) if self.present else self._remove(pair, answers)

    def _is_ours(self, answers: Answers) -> bool:
        """The client key of the builder is by its name; of another the ledger knows it."""
        return self.path.startswith(OWN_KEYS) or self.path in ledger(answers).made

    def _foreign(self, pair: Pair) -> Iterator[Step]:
        """Somebody's pair that can be used is what is wanted, whoever may read it: it stays his, byte for byte."""
        if pair.usable and pair.public.absent:
            yield self._derive(pair, pair.private.uid, pair.private.gid)
        elif not (pair.usable and _same(pair.public, pair.derived)):
            path, what = self.path, "cannot be used as a key without a passphrase"
            if pair.private.absent:
                path, what = f"{self.path}.pub", "is there without its private half"
            elif pair.usable:
                path, what = f"{self.path}.pub", f"is not the public half of {self.path}"
            yield Blocked(
                f"{path} {what}, and was not made by builderfleet: it stays as it is",
                "Name another path, or move that file away, and run again",
            )

    def _converge(self, pair: Pair, answers: Answers) -> Iterator[Step]:
        private = quote(self.path)
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
        if (
            pair.public.kind is not Kind.FILE
            or not pair.public.has(0o644, 0, 0)
            or not _same(pair.public, pair.derived)
        ):
            yield self._derive(pair, 0, 0)

    def _derive(self, pair: Pair, uid: int, gid: int) -> Change:
        public, seen = quote(f"{self.path}.pub"), quote(pair.public.seen)
        wanted = f"{pair.derived} {self.comment}\n".encode()
        return Change(
            f"derive {self.path}.pub from its private half",
            f"{self._derived()} | stage {public} {seen} 0644 {uid} {gid}\ncommit {public} {seen}\n",
            (diff(f"{self.path}.pub", pair.public, Found(Kind.FILE, 0o644, uid, gid, wanted)),),
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
        if not self._is_ours(answers):
            book = ledger(answers)
            note += written(answers, replace(book, made=(*book.made, self.path)))
        return (
            f'new=$(staged {private})\nrm -f "$new" "$new.pub"\n'
            f'/usr/bin/ssh-keygen -q -t ed25519 -N "" -C {quote(self.comment)} -f "$new"\n'
            f'chown 0:0 "$new" "$new.pub"; chmod 0600 "$new"; chmod 0644 "$new.pub"\n{note}/bin/sync\n'
            f'rm -f {private}.pub\nmv -f "$new.pub" {private}.pub\nmv -f "$new" {private}\n/bin/sync\n'
        )

    def _remove(self, pair: Pair, answers: Answers) -> Iterator[Step]:
        if pair.private.absent and pair.public.absent:
            return
        private, book = quote(self.path), ledger(answers)
        forget = ""
        if self.path in book.made:
            forget = written(answers, replace(book, made=tuple(each for each in book.made if each != self.path)))
        yield Change(
            f"remove {self.title}",
            f'rm -f {private} {private}.pub "$(staged {private})" "$(staged {private}).pub"\n{forget}',
        )


_PRIVATE = Found(Kind.FILE, 0o600, 0, 0)


def _same(public: Found, derived: str) -> bool:
    words = (public.content or b"").decode("ascii", "replace").split()
    return " ".join(words[:2]) == derived
