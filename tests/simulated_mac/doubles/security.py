# SPDX-License-Identifier: GPL-3.0-or-later
"""security: passwords in the System keychain, and certificates (`macos_commands §4.2`)."""

from __future__ import annotations

import getopt
from pathlib import Path
from typing import Any, NoReturn

from . import shared

_SYSTEM_KEYCHAIN = "/Library/Keychains/System.keychain"
_CERTIFICATES = Path("/etc/ssl/cert.pem")
_NOT_FOUND = "security: SecKeychainSearchCopyNext: The specified item could not be found in the keychain."

Item = dict[str, str]


def main(arguments: list[str]) -> int:
    verb, words = (arguments[0], arguments[1:]) if arguments else ("", [])
    if verb == "find-certificate":
        return _certificates(words)
    if verb not in ("find-generic-password", "add-generic-password", "delete-generic-password"):
        raise shared.Unmodelled(f"verb {verb}")
    # -w has a value only where an item is added.
    letters = "a:s:l:D:j:T:U" + ("w:" if verb.startswith("add") else "wg")
    try:
        options, keychains = getopt.getopt(words, letters)
    except getopt.GetoptError as error:
        raise shared.Unmodelled(str(error)) from None
    if keychains not in ([], [_SYSTEM_KEYCHAIN]):
        raise shared.Unmodelled("another keychain")
    given = {key.removeprefix("-"): value for key, value in options}
    if verb.startswith("find"):
        return _find(given)
    shared.root_only(36, "security: SecKeychainItemCreate: User interaction is not allowed.")
    with shared.changing() as world:
        return _add(world, given) if verb.startswith("add") else _delete(world, given)


def _matching(world: dict[str, Any], given: dict[str, str]) -> list[Item]:
    wanted = {key: value for key, value in given.items() if key in "asl"}
    return [item for item in world["keychain"] if all(item.get(key) == value for key, value in wanted.items())]


def _missing() -> NoReturn:
    shared.fail(44, _NOT_FOUND)


def _find(given: dict[str, str]) -> int:
    found = _matching(shared.world(), given)
    if not found:
        _missing()
    item = found[0]
    if "w" in given:
        shared.root_only(36, "security: SecKeychainSearchCopyNext: User interaction is not allowed.")
        print(item["w"])
        return 0
    names = {"a": "acct", "s": "svce", "D": "desc", "l": "labl"}
    print(f'keychain: "{_SYSTEM_KEYCHAIN}"\nclass: "genp"\nattributes:')
    print("".join(f'    "{names[key]}"<blob>="{item[key]}"\n' for key in names if key in item), end="")
    return 0


def _add(world: dict[str, Any], given: dict[str, str]) -> int:
    same = [item for item in world["keychain"] if (item.get("a"), item.get("s")) == (given.get("a"), given.get("s"))]
    if same and "U" not in given:
        shared.fail(
            45,
            "security: SecKeychainItemCreateFromContent (<default>): The specified item already exists in the keychain.",
        )
    world["keychain"] = [item for item in world["keychain"] if item not in same]
    world["keychain"].append({key: value for key, value in given.items() if key in "aslDjw"})
    return 0


def _delete(world: dict[str, Any], given: dict[str, str]) -> int:
    found = _matching(world, given)
    if not found:
        _missing()
    world["keychain"].remove(found[0])
    return 0


def _certificates(words: list[str]) -> int:
    flags = [word for word in words if word.startswith("-")]
    if sorted(flags) != ["-a", "-p"]:
        raise shared.Unmodelled("find-certificate without -a -p")
    print(_CERTIFICATES.read_text(), end="")
    return 0
