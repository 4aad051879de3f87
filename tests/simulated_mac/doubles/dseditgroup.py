# SPDX-License-Identifier: GPL-3.0-or-later
"""dseditgroup: groups and who is in them (`macos_commands §3`)."""

from __future__ import annotations

import getopt
import sys
from pathlib import Path
from typing import Any

from . import accounts, shared


def main(arguments: list[str]) -> int:
    try:
        options, words = getopt.getopt(arguments, "o:r:i:g:a:d:t:m:qn:")
    except getopt.GetoptError as error:
        raise shared.Unmodelled(str(error)) from None
    given = {key.removeprefix("-"): value for key, value in options}
    if len(words) != 1:
        raise shared.Unmodelled("one group")
    group, operation = words[0], given.get("o", "read")
    if operation == "checkmember":
        return _check(shared.world(), given.get("m", ""), group)
    if operation not in ("create", "edit", "delete"):
        raise shared.Unmodelled(f"operation {operation}")
    shared.root_only(77, "Username and password must be provided.")
    with shared.changing() as world:
        _change(world, operation, group, given)
        accounts.write_files(world, Path("/private/etc"))
    return 0


def _check(world: dict[str, Any], user: str, group: str) -> int:
    if group not in world["groups"]:
        shared.fail(64, "Group not found.")
    if user not in world["users"]:
        shared.fail(64, "Unable to find the user record")
    record = world["groups"][group]
    primary = world["users"][user].get("PrimaryGroupID") == record.get("PrimaryGroupID")
    if primary or user in record.get("GroupMembership", []):
        print(f"yes {user} is a member of {group}")
        return 0
    print(f"no {user} is NOT a member of {group}")
    return 67


def _change(world: dict[str, Any], operation: str, group: str, given: dict[str, str]) -> None:
    groups = world["groups"]
    if operation == "create":
        if group in groups and "q" not in given:
            # Asks, and takes the end of its input for a no.
            print("Create called on existing record - do you really want to overwrite, y or n : ", end="", flush=True)
            if not sys.stdin.readline().strip().lower().startswith("y"):
                shared.fail(1, "")
        taken = {record["PrimaryGroupID"][0] for record in groups.values()}
        number = given.get("i") or str(next(number for number in range(501, 1000) if str(number) not in taken))
        groups[group] = {"PrimaryGroupID": [number], "RealName": [given.get("r", group)]}
        return
    if group not in groups:
        shared.fail(1, "Record not found")  # the status is not known: anything but 0 (macos_commands §3)
    if operation == "delete":
        del groups[group]
        return
    if given.get("t", "user") != "user" or not ("a" in given or "d" in given):
        raise shared.Unmodelled("edit")
    members = groups[group].setdefault("GroupMembership", [])
    if "a" in given:
        if given["a"] not in world["users"]:
            shared.fail(1, "Record was not found.")
        members.extend([given["a"]] if given["a"] not in members else [])
    elif given["d"] in members:
        members.remove(given["d"])
