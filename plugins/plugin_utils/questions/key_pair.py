# SPDX-License-Identifier: GPL-3.0-or-later
"""An SSH key pair on a Mac. The private half is never read: ssh-keygen derives the public one from it, over there."""

from __future__ import annotations

from dataclasses import dataclass

from ..asking import Replies, Request, Unknown, look, read, run
from .file import Found, Kind, found


@dataclass(frozen=True, slots=True)
class Pair:
    """Both halves. `derived` is the public key (type and base64) of a usable private half, else empty."""

    private: Found
    public: Found
    derived: str

    @property
    def usable(self) -> bool:
        return bool(self.derived)

    @property
    def expected(self) -> str:
        """The public key as far as it can be told: ssh-keygen derives none from a private half that others can read."""
        if self.derived or self.private.kind is not Kind.FILE or self.private.has(0o600, 0, 0):
            return self.derived
        return " ".join((self.public.content or b"").decode("ascii", "replace").split()[:2])


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The pair whose private half is at `path`, its public half at `path`.pub."""

    path: str

    def __str__(self) -> str:
        return f"the key pair {self.path}"

    def requests(self) -> tuple[Request, ...]:
        # Through sh, because an empty word (no passphrase) does not travel in a request.
        derive = run("/bin/sh", "-c", 'exec /usr/bin/ssh-keygen -y -P "" -f "$1"', "sh", self.path)
        return look(self.path), read(f"{self.path}.pub"), derive

    def answer(self, replies: Replies) -> Pair:
        derived = replies.ran(2)
        if derived.status not in (0, 1, 255):
            raise Unknown(f"ssh-keygen ended with status {derived.status}: {derived.errors.strip()}")
        words = derived.output.split()
        return Pair(
            private=found(replies.only(0)),
            public=found(replies.only(1)),
            derived=" ".join(words[:2]) if derived.status == 0 and len(words) >= 2 else "",
        )
