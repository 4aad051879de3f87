# SPDX-License-Identifier: GPL-3.0-or-later
"""The volume of a Nix store that is not in its place: is it on this Mac at all (`facts/macos_commands §4.1`)."""

from __future__ import annotations

from dataclasses import dataclass

from ..asking import Replies, Request, Unknown, run

NAME = "Nix Store"
"""What every installer calls the volume."""

# Only where something of a Nix is there, and no store: diskutil may hang without anybody at the Mac.
_ASK = (
    "if [ -d /nix/store ]; then exit 0; fi; "
    'name=$(/usr/bin/awk \'$2 == "/nix" && $1 !~ /^#/ { sub(/^[A-Z]+=/, "", $1); print $1; exit }\' /etc/fstab'
    " 2>/dev/null | /usr/bin/sed 's/\\\\040/ /g'); "
    "for each in /Library/LaunchDaemons/org.nixos.*.plist /Library/LaunchDaemons/systems.determinate.nix*.plist"
    ' /usr/local/bin/determinate-nixd; do if [ -e "$each" ]; then name=${name:-$1}; fi; done; '
    'if [ -z "$name" ]; then exit 0; fi; '
    'echo "$name"; exec /usr/sbin/diskutil info "$name" 2>&1'
)


@dataclass(frozen=True, slots=True)
class Volume:
    """The volume that /etc/fstab puts at /nix, by its UUID or name, or else the one of that name; empty where it is not
    mounted.
    """

    name: str
    there: bool
    mounted_at: str = ""


@dataclass(frozen=True, slots=True)
class StoreVolume:
    """The volume that a store is missing from; None where the store is there, or nothing of a Nix is."""

    def __str__(self) -> str:
        return "the volume of the Nix store"

    def requests(self) -> tuple[Request, ...]:
        return (run("/bin/sh", "-c", _ASK, "sh", NAME, limit=20),)

    def answer(self, replies: Replies) -> Volume | None:
        ran = replies.ran(0)
        name, *said = ran.output.splitlines() or [""]
        if not name:
            return None
        if any("Could not find disk" in line for line in said):
            return Volume(name, there=False)
        if ran.status != 0:
            raise Unknown(f"diskutil info ended with status {ran.status}: {' '.join(said).strip() or 'no message'}")
        points = (line.partition(":")[2].strip() for line in said if line.strip().startswith("Mount Point:"))
        return Volume(name, there=True, mounted_at=next(points, ""))
