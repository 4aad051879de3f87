# SPDX-License-Identifier: GPL-3.0-or-later
"""What values may be: a reader for each kind, the same for variables, operations and actions.

A reader turns a value as people write it (in YAML, in an INI file, on a command line, where everything is text) into what
the core uses, or raises ValueError with what would be right. None says the value: it may be anybody's secret.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .formats import nix_conf
from .size import Size

Read = Callable[[Any], Any]

_TRUE = ("true", "yes", "y", "t", "on", "1")
_FALSE = ("false", "no", "n", "f", "off", "0")


class WrongParameter(ValueError):
    """A parameter that is wrong beside the others: its name, and what would be right."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(problem)
        self.name = name


def reads(read: Read) -> Mapping[str, Read]:
    """The metadata of a resource's field that a reader of its own reads."""
    return {"read": read}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def __call__(self, value: Any) -> str:
        if value not in self.words:
            raise ValueError(f"it is one of {', '.join(self.words)}")
        return str(value)


def whole(least: int, most: int | None = None) -> Read:
    """A whole number; as text without zeros in front, which some would read as octal."""

    def read(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"0|[1-9][0-9]*", value):
            value = int(value)
        right = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if not right or (most is not None and value > most):
            raise ValueError(f"it is a whole number from {least}" + ("" if most is None else f" to {most}"))
        return int(value)

    return read


def size(least: Size) -> Read:
    """A size of at least so much."""

    def read(value: Any) -> Size:
        found = Size.parse(value)
        if found < least:
            raise ValueError(f"it is {least} or more")
        return found

    return read


def optional(read_some: Read) -> Read:
    return lambda value: None if value is None else read_some(value)


def maybe(read_some: Read) -> Read:
    """Nothing, as an empty text, or what the other reads."""
    return lambda value: "" if value == "" else read_some(value)


def flag(value: Any) -> bool:
    """True or false in any of Ansible's words for it."""
    word = str(value).lower() if isinstance(value, str | bool | int) else ""
    if word not in _TRUE + _FALSE:
        raise ValueError("it is true or false")
    return word in _TRUE


def text(value: Any) -> str:
    if not isinstance(value, str) or any(character in value for character in "\r\n\0"):
        raise ValueError("it is a text of one line")
    return str(value)


def word(value: Any) -> str:
    """A text, or a number, which is one where texts are wanted; YAML's true and dates are not what was written."""
    if isinstance(value, bool):
        raise ValueError(
            "it is a text of one line, and YAML makes true and false of yes, no, on and off too: put it in quotes"
        )
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise ValueError("it is a text of one line: put it in quotes")
    return text(value)


def matching(pattern: str, what: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(f"it is {what}")
        return str(value)

    return read


def list_of(item: Read, what: str) -> Callable[[Any], tuple[Any, ...]]:
    """A list; on a command line and in INI files its items stand between commas, as Ansible has it."""

    def read(value: Any) -> tuple[Any, ...]:
        if isinstance(value, str):
            value = [each.strip() for each in value.split(",")] if value.strip() else []
        if not isinstance(value, list | tuple):
            raise ValueError(f"it is a list, and each item is {what}")
        return tuple(map(item, value))

    return read


def words(pattern: str, what: str) -> Callable[[Any], tuple[str, ...]]:
    """A list of what matches."""
    return list_of(matching(pattern, what), what)


def pairs(value: Any) -> Iterator[tuple[str, str]]:
    """Names and texts."""
    if not isinstance(value, Mapping):
        raise ValueError("it is a mapping of names to texts")
    for name, item in value.items():
        try:
            yield text(name), word(item)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def locked_flake(value: Any) -> str:
    """A flake reference that always means the same: one with a revision or a hash."""
    found = matching(r"[^\s\"'`\\$]+", "a flake reference without blanks, quotes, backslashes and dollar signs")(value)
    if not re.search(r"/[0-9a-f]{40}($|\?)|[?&](rev=[0-9a-f]{40}|narHash=sha256-)", found):
        raise ValueError(
            "it is a locked flake reference, such as github:NixOS/nixpkgs/<40 hexadecimal digits>; a branch is another "
            "nixpkgs tomorrow, and so another builder on each Mac"
        )
    return found


def public_key(value: Any) -> str:
    """One line of a public key, whose base64 is a key of the kind that it says (RFC 4253, 6.6)."""
    what = "one line of a public key, such as `ssh-ed25519 AAAA… root@builder`"
    found = matching(r"[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}( [^\r\n\0]*)?", what)(value)
    kind, encoded = found.split(" ")[:2]
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        blob = b""
    fields = list(_fields(blob))
    if len(fields) < 2 or fields[0] != kind.encode() or b"".join(_packed(fields)) != blob:
        raise ValueError(f"it is {what}, copied whole; what stands after its first word is no key of that kind")
    if kind == "ssh-ed25519" and len(fields[1]) != 32:
        raise ValueError(f"it is {what}, copied whole; an ed25519 key has 32 bytes")
    return found


def _fields(blob: bytes) -> Iterator[bytes]:
    """The fields of a key, each with its length before it; less those that are cut off."""
    while len(blob) >= 4:
        length = int.from_bytes(blob[:4])
        yield blob[4 : 4 + length]
        blob = blob[4 + length :]


def _packed(fields: list[bytes]) -> Iterator[bytes]:
    return (len(each).to_bytes(4) + each for each in fields)


def nix_conf_line(value: Any) -> str:
    """A line for nix.conf that Nix reads; one that it does not read stops every nix command."""
    line = text(value)
    if not line.strip():
        raise ValueError("each item is a line for nix.conf, and one is empty")
    for problem in nix_conf.syntax_errors(line.encode()):
        raise ValueError(
            f"each item is a line for nix.conf, `name = value`; of one that Nix does not read: {problem.reason}"
        )
    return line


def setting_value(value: Any) -> str:
    """The value of a setting of Nix, as Nix writes it: words with one space between them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return " ".join(map(setting_value, value))
    try:
        found = word(value)
    except ValueError as error:
        raise ValueError("it is a text of one line, a number, true or false, or a list of such") from error
    if "#" in found:
        raise ValueError("it is without '#', with which a comment begins: nix.conf has no quoting")
    return " ".join(found.split())


NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
PORT = whole(1, 65535)
path = matching(r"/[A-Za-z0-9._/-]+", "the absolute path of a file on the Mac")
any_path = matching(r"/[^\t\r\n\0]*[^/\t\r\n\0]", "the absolute path of a file on the Mac")
machine_path = matching(r"/[^\s;#]+", "the absolute path of a file on the Mac, without blanks, ';' and '#'")
store_uri = matching(
    r"(?:auto|daemon|local)(?:\?[^\s;#]*)?|/[^\s;#]*|[a-z][a-z0-9+.-]*://[^\s;#]+",
    "a store URI such as ssh-ng://builder, without blanks, ';' and '#'",
)
systems = words(r"[a-z0-9_]+-[a-z0-9]+|builtin", "a system such as aarch64-linux")
features = words(r"(?!-$)[^\s;#,]+", "the name of a feature, without blanks, ';', '#' and ','")
linux_systems = words(r"[a-z0-9_]+-linux", "a Linux system such as aarch64-linux")
alias = matching(NAME, "a host's alias: letters, digits, '.', '_' and '-'")
label = matching(NAME, "a label: letters, digits, '.', '_' and '-'")
file_name = matching(r"(?!\.{1,2}$)[^/\s\0]+", "the name of a file, without a directory")
setting_name = matching(r"(?!!?include$)[^\s#=]+", "the name of a setting, as `nix config show` has it")
