# SPDX-License-Identifier: GPL-3.0-or-later
"""The login items that the user of a Mac has switched off: launchd does not load them at boot (`facts/drift D13`).

`launchctl` does not tell. `sfltool dumpbtm` does, but asks whoever is not root to authenticate, in a window; so nobody
else asks it. Its `resetbtm` wipes every login item of the Mac and is never run.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..asking import Replies, Request, Unknown, run

_DUMP = (
    '[ "$(/usr/bin/id -u)" = 0 ] || exit 77; said=$(/usr/bin/sfltool dumpbtm) || exit 1; printf \'%s\\n\' "$said" |'
    " /usr/bin/awk '/^ *(Disposition|URL): /'"
)


@dataclass(frozen=True, slots=True)
class LoginItemsOff:
    """The URLs (file:///Library/LaunchDaemons/….plist) of the login items that are not allowed."""

    def __str__(self) -> str:
        return "the login items"

    def requests(self) -> tuple[Request, ...]:
        return (run("/bin/sh", "-c", _DUMP, limit=20),)

    def answer(self, replies: Replies) -> frozenset[str]:
        ran = replies.ran(0)
        if ran.status != 0:
            raise Unknown(f"sfltool dumpbtm ended with status {ran.status}: {ran.errors.strip()}")
        off = set()
        disposition = ""
        for line in ran.output.splitlines():
            name, _separator, value = line.strip().partition(": ")
            if name == "Disposition":
                disposition = value
            elif "disallowed" in disposition:
                off.add(value.strip())
        return frozenset(off)
