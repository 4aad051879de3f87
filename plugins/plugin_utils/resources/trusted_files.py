# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may write what Nix, ssh and launchd trust as root.

Whoever can write one of these files, or the directory it is in, becomes root, or is taken for the builder. What is the
project's own is put right; what is somebody else's is said, with the command that mends it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..asking import Answers, Question, Replies, Request, Unknown, run
from ..resource import Blocked, Change, Step
from ..shell import STATE_DIRECTORY, quote
from .builder_vm import DIRECTORY, KEYS, ROOTS

# As globs of the shell. Of nothing below these but the state directory's: what is in there decides for us alone.
_TRUSTED = (
    "/etc /etc/nix /etc/nix/nix.conf /etc/nix/nix.custom.conf /etc/nix/machines /etc/ssh /etc/ssh/ssh_config"
    " /etc/ssh/ssh_config.d /etc/ssh/ssh_config.d/* /Library/LaunchDaemons /Library/LaunchDaemons/org.nixos.*"
    " /Library/LaunchDaemons/systems.determinate.* /Library/LaunchDaemons/org.builderfleet.* /var/lib /Library"
    " /var/root /var/root/.ssh /var/root/.ssh/config /var/root/.config /var/root/.config/nix /var/root/.config/nix/nix.conf"
    f" /nix/var/nix/gcroots {ROOTS}"
)
_OTHERWISE = (STATE_DIRECTORY, DIRECTORY, KEYS)  # BuilderVm makes and mends these
# Not root's, or writable for others than root and the group wheel, which on a Mac is root's alone.
_LOOSE = r"\( ! -user 0 -o -perm -0002 -o -perm -0020 ! -group 0 \)"
_FIND = (
    f"set -- {_TRUSTED}; "
    f'/usr/bin/find -L "$@" -maxdepth 0 {_LOOSE} -exec /bin/ls -ldn {{}} \\; 2>/dev/null; '
    f"/usr/bin/find {STATE_DIRECTORY} ! -type l {_LOOSE} -exec /bin/ls -ldn {{}} \\; 2>/dev/null; echo end"
)
_LISTED = re.compile(r"(?P<mode>\S{10})\S*\s+\d+\s+(?P<uid>\d+)\s+(?P<gid>\d+)\s.*?\s(?P<path>/.*)")


@dataclass(frozen=True, slots=True)
class Loose:
    """A file or directory that others than root may write. `mode` is as ls writes it."""

    path: str
    mode: str
    uid: int
    gid: int

    def __str__(self) -> str:
        return f"{self.path} ({self.mode}, owner {self.uid}:{self.gid})"

    @property
    def is_ours(self) -> bool:
        return self.path.startswith(f"{STATE_DIRECTORY}/")

    @property
    def mend(self) -> str:
        return f"chown 0:0 {quote(self.path)}; chmod go-w {quote(self.path)}"


@dataclass(frozen=True, slots=True)
class LooseFiles:
    """What others than root may write, of what is trusted."""

    def __str__(self) -> str:
        return "who may write what root trusts"

    def requests(self) -> tuple[Request, ...]:
        return (run("/bin/sh", "-c", _FIND, limit=20),)

    def answer(self, replies: Replies) -> tuple[Loose, ...]:
        lines = replies.ran(0).output.splitlines()
        if lines[-1:] != ["end"]:
            raise Unknown("the search did not come to its end")
        found = list(map(_LISTED.fullmatch, lines[:-1]))
        if None in found:
            raise Unknown(f"ls said something else than was expected: {lines[0]!r}")
        return tuple(Loose(m["path"], m["mode"], int(m["uid"]), int(m["gid"])) for m in found if m)


@dataclass(frozen=True, slots=True)
class TrustedFiles:
    """Nobody but root can write what root's programs trust."""

    @property
    def title(self) -> str:
        return "trusted files"

    def questions(self) -> Iterator[Question[Any]]:
        yield LooseFiles()

    def changes(self, answers: Answers) -> Iterator[Step]:
        loose = [each for each in answers[LooseFiles()] if each.path not in _OTHERWISE]
        ours = [each for each in loose if each.is_ours]
        if ours:
            names = ", ".join(map(str, ours[:3])) + (f" and {len(ours) - 3} more" if len(ours) > 3 else "")
            yield Change(
                f"make root's again what others may write: {names}", "".join(f"{each.mend}\n" for each in ours)
            )
        others = [each for each in loose if not each.is_ours]
        if others:
            yield Blocked(
                f"others than root may write what Nix, ssh or launchd trust: {', '.join(map(str, others))}",
                "Whoever can write that becomes root. On that Mac, if it is not meant so: `sudo sh -c "
                f"{quote('; '.join(each.mend for each in others))}`",
            )
