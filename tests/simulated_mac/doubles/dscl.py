# SPDX-License-Identifier: GPL-3.0-or-later
"""dscl: users and groups of the local node (`macos_commands §3`).

A failure's status is the error's number, negated, in one byte; its text comes in two lines.
"""

from __future__ import annotations

import plistlib
import sys
from pathlib import Path
from typing import Any, NoReturn

from . import accounts, shared

_ERRORS = {
    "eDSAuthFailed": -14090,
    "eDSPermissionError": -14120,
    "eDSRecordAlreadyExists": -14135,
    "eDSRecordNotFound": -14136,
    "eDSAttributeNotFound": -14134,
    "eDSUnknownNodeName": -14009,
    "eNotYetImplemented": -14988,
}
_KINDS = {"Users": "users", "Groups": "groups"}
_ETC = Path("/private/etc")

Record = dict[str, list[str]]


def _fail(name: str) -> NoReturn:
    number = _ERRORS[name]
    shared.fail(-number & 0xFF, f"<main> attribute status: {name}\n<dscl_cmd> DS Error: {number} ({name})")


def main(arguments: list[str]) -> int:
    as_plist = arguments[:1] == ["-plist"]
    node, *words = arguments[1:] if as_plist else arguments
    if node not in (".", "localhost", "/Local/Default") or not words:
        raise shared.Unmodelled("node or verb")
    verb, words = words[0].removeprefix("-"), words[1:]
    if node == "localhost":
        words[0] = words[0].removeprefix("/Local/Default")
    if verb == "read":
        return _read(words, as_plist)
    if verb == "list" and not as_plist:
        return _list(words)
    if verb in _CHANGES and not as_plist:
        return _change(verb, words)
    raise shared.Unmodelled(f"verb {verb}")


def _parse(path: str) -> tuple[str, str]:
    """/Users/NAME as ("users", NAME); the name is empty for the whole kind."""
    kind, _, name = path.strip("/").partition("/")
    if kind not in _KINDS or "/" in name:
        raise shared.Unmodelled(f"path {path}")
    return _KINDS[kind], name


def _attribute(key: str) -> str:
    return key.removeprefix("dsAttrTypeStandard:")


def _shown(key: str, values: list[str]) -> str:
    if any(" " in value for value in values) and key != "GroupMembership":
        return f"{key}:\n" + "\n".join(f" {value}" for value in values)
    return f"{key}: {' '.join(values)}"


def _read(words: list[str], as_plist: bool) -> int:
    kind, name = _parse(words[0])
    record = shared.world()[kind].get(name)
    if record is None:
        _fail("eDSRecordNotFound")
    record = {**record, "RecordName": [name]}
    keys = [_attribute(key) for key in words[1:]] or sorted(record)
    if as_plist:
        found = {f"dsAttrTypeStandard:{key}": record[key] for key in keys if key in record}
        print(plistlib.dumps(found).decode(), end="")
        return 0
    for key in keys:
        if key in record:
            print(_shown(key, record[key]))
        else:
            print(f"No such key: {key}", file=sys.stderr)
    return 0


def _list(words: list[str]) -> int:
    kind, name = _parse(words[0])
    if name or len(words) > 2:
        raise shared.Unmodelled("list of a record")
    records: dict[str, Record] = shared.world()[kind]
    if len(words) == 1:
        print("".join(f"{name}\n" for name in sorted(records)), end="")
        return 0
    key = _attribute(words[1])
    having = {name: record[key] for name, record in sorted(records.items()) if key in record}
    width = max((len(name) for name in having), default=0) + 2
    for name, values in having.items():
        print(f"{name:<{width}}{' '.join(values)}")
    return 0


def _create(record: Record, key: str, values: list[str]) -> None:
    record[key] = values


def _append(record: Record, key: str, values: list[str]) -> None:
    record.setdefault(key, []).extend(values)  # duplicates and all


def _merge(record: Record, key: str, values: list[str]) -> None:
    present = record.setdefault(key, [])
    present.extend(value for value in values if value not in present)


def _delete(record: Record, key: str, values: list[str]) -> None:
    if key not in record:
        _fail("eDSAttributeNotFound")
    if values:
        record[key] = [value for value in record[key] if value not in values]
    else:
        del record[key]


def _replace(record: Record, key: str, values: list[str]) -> None:
    old, new = values
    if old not in record.get(key, []):
        _fail("eDSAttributeNotFound")
    record[key] = [new if value == old else value for value in record[key]]


_CHANGES = {"create": _create, "append": _append, "merge": _merge, "delete": _delete, "change": _replace}


def _change(verb: str, words: list[str]) -> int:
    shared.root_only(
        40, "<main> attribute status: eDSPermissionError\n<dscl_cmd> DS Error: -14120 (eDSPermissionError)"
    )
    if shared.use_up("dscl-140"):
        _fail("eNotYetImplemented")
    if not shared.full_disk_access():
        _fail("eDSPermissionError")
    kind, name = _parse(words[0])
    with shared.changing() as world:
        _apply(world[kind], name, verb, words[1:])
        accounts.write_files(world, _ETC)
    return 0


def _apply(records: dict[str, Any], name: str, verb: str, words: list[str]) -> None:
    if verb == "create":
        record = records.setdefault(name, {})
    elif name not in records:
        if verb == "delete":
            raise shared.Exit(
                185, out="delete: Invalid Path\n", err="<dscl_cmd> DS Error: -14009 (eDSUnknownNodeName)\n"
            )
        _fail("eDSRecordNotFound")
    else:
        record = records[name]
    if words:
        _CHANGES[verb](record, _attribute(words[0]), words[1:])
    elif verb == "delete":
        del records[name]
