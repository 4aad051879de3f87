# SPDX-License-Identifier: GPL-3.0-or-later
"""Users and groups: the directory service's records, and the files in /etc that the rest of the system reads.

A record is a mapping of attribute names to lists of values, as in the local node of a Mac. `id`, `chown` and sshd ask the
C library, so /etc/passwd and /etc/group are written from the records after every change (`simulated_mac §1` row 5).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

Record = dict[str, list[str]]


def user(uid: int, gid: int, real_name: str, home: str = "/var/empty", shell: str = "/usr/bin/false") -> Record:
    return {
        "UniqueID": [str(uid)],
        "PrimaryGroupID": [str(gid)],
        "RealName": [real_name],
        "NFSHomeDirectory": [home],
        "UserShell": [shell],
    }


def group(gid: int, members: tuple[str, ...] = (), real_name: str = "") -> Record:
    record = {"PrimaryGroupID": [str(gid)], "RealName": [real_name]}
    return {**record, "GroupMembership": list(members)} if members else record


USERS = {
    "root": user(0, 0, "System Administrator", "/var/root", "/bin/sh"),
    "daemon": user(1, 1, "System Services", "/var/root"),
    "nobody": user(-2, -2, "Unprivileged User"),
    "_www": user(70, 70, "World Wide Web Server", "/Library/WebServer"),
    "sshd": user(75, 75, "sshd Privilege separation"),  # `_sshd` on a Mac; Debian's sshd asks for this name
    "admin": user(501, 20, "Admin", "/Users/admin", "/bin/zsh"),
}
GROUPS = {
    "wheel": group(0, ("root",)),
    "daemon": group(1, ("root",)),
    "sys": group(3, ("root",)),
    "tty": group(4, ("root",)),
    "operator": group(5, ("root",)),
    "mail": group(6),
    "everyone": group(12),
    "staff": group(20, ("root",)),
    "_www": group(70),
    "sshd": group(75),
    "admin": group(80, ("root", "admin")),
    "nobody": group(-2),
}


def write_files(world: dict[str, Any], etc: Path) -> None:
    """Write passwd, group and shadow. Records that lack a number are not seen by the C library, and left out."""
    users = {name: record for name, record in world["users"].items() if "UniqueID" in record}
    passwd, shadow, groups = [], [], []
    password = world["faults"].get("sudo-password")  # its hash, or True when nobody knows any
    for name, record in users.items():
        fields = {key: values[0] if values else "" for key, values in record.items()}
        uid, gid = _number(fields["UniqueID"]), _number(fields.get("PrimaryGroupID", "20"))
        home, shell = fields.get("NFSHomeDirectory", "/var/empty"), fields.get("UserShell", "/usr/bin/false")
        passwd.append(f"{name}:x:{uid}:{gid}:{fields.get('RealName', '')}:{home}:{shell}\n")
        known = name == "admin" and isinstance(password, str)
        shadow.append(f"{name}:{password if known else '*'}:19000:0:99999:7:::\n")
    for name, record in world["groups"].items():
        if "PrimaryGroupID" in record:
            members = dict.fromkeys(record.get("GroupMembership", []))
            groups.append(f"{name}:x:{_number(record['PrimaryGroupID'][0])}:{','.join(members)}\n")
    for name, lines, mode in (("passwd", passwd, 0o644), ("group", groups, 0o644), ("shadow", shadow, 0o600)):
        beside = etc / f".{name}.new"
        beside.write_text("".join(lines))
        beside.chmod(mode)
        beside.rename(etc / name)


def _number(text: str) -> int:
    return int(text) % 2**32
