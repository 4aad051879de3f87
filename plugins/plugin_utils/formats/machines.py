# SPDX-License-Identifier: GPL-3.0-or-later
"""/etc/nix/machines: the builders that Nix knows; read it, add or replace one, take it out, find what breaks it.

Every Nix before 2.24.15 and every Lix reads the file with a parser that splits at `;` even inside a comment and fails
on a line of blanks, and then *nobody's* remote builds work (nix_configuration §2). What is written here is read alike
by all of them. A machine is recognised by its store URI. Nothing but the words of our own machine is ever changed: not
the comment behind it, not the `;` beside it. Lix from 2.95 on also takes TOML, which is recognised and refused.

What a line breaks depends on who reads it: `Reader` says what a version of Nix or Lix makes of it (the table there).
"""

from __future__ import annotations

import base64
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import lines as text_lines
from .lines import BLANKS, to_bytes, to_text, words

_STORES_WITHOUT_SCHEME = ("auto", "daemon", "local")
_UNSET = b"-"
_FIELDS = 8

# As Nix reads them in the lines of others (asked of 2.8.0, 2.26.3 and 2.34.8)
_WHOLE = re.compile(rb"\+?[0-9]{1,9}")
_NUMBER = re.compile(rb"\+?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf)|-0", re.IGNORECASE)
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*(=.*)?")


@dataclass(frozen=True, slots=True)
class Reader:
    """The Nix that reads the file. Without a version every fault counts: it may be any of them.

    `strict` is the parser that splits at `;` even in a comment and fails on blanks: Nix before 2.24.15, 2.25 to 2.28.1, and
    every Lix (nix_configuration §2). `whole_speeds`: Nix before 2.20. `plain_stores`: from 2.26.3 (2.8 did not mind) a host
    that is no ASCII is no store. TOML is read by Lix from 2.95 on; of a released Nix that is not known.
    """

    version: tuple[int, ...] = ()
    lix: bool = False

    @classmethod
    def of(cls, said: str) -> Reader:
        """By what `nix --version` says: `nix (Nix) 2.35.2`, `nix (Lix, like Nix) 2.95.3`, `nix (Determinate Nix …) 2.35`."""
        match = re.search(r"([0-9]+(?:\.[0-9]+)+)\S*\s*$", said)
        return cls(tuple(map(int, match[1].split("."))) if match else (), "(Lix" in said)

    @property
    def strict(self) -> bool:
        return not self.version or self.lix or self.version < (2, 24, 15) or (2, 25) <= self.version < (2, 28, 2)

    @property
    def whole_speeds(self) -> bool:
        return not self.version or (not self.lix and self.version < (2, 20))

    @property
    def plain_stores(self) -> bool:
        return not self.version or (not self.lix and self.version >= (2, 26))

    @property
    def toml(self) -> bool:
        return not self.version or (self.lix and self.version >= (2, 95))


ANY = Reader()


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that some Nix or Lix refuses or misreads; one such line can stop all remote building of the Mac.

    `line` counts from 1, `text` is the line, `reason` says what is wrong with it, and for whom.
    """

    line: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Machine:
    """One builder. No value may hold a blank, `;` or `#`: the format has no quoting. Raises ValueError otherwise.

    `uri` is the store, such as ssh-ng://builderfleet. `systems` empty means the Mac's own system, never Linux.
    `host_key` is the public key *line* (`ssh-ed25519 AAAA... comment`), "" for none; the file holds it encoded.
    A job goes here if its required features are in the two lists, and only if it requires all of the mandatory ones.
    """

    uri: str
    systems: tuple[str, ...] = ()
    ssh_key: str = ""
    max_jobs: int = 1
    speed_factor: float = 1
    supported_features: tuple[str, ...] = ()
    mandatory_features: tuple[str, ...] = ()
    host_key: str = ""

    def __post_init__(self) -> None:
        if "://" not in self.uri and not self.uri.startswith("/") and not _is_local_store(self.uri):
            raise ValueError(_wanted("a store URI such as ssh-ng://builder", "uri", self.uri))
        _check_words(self)
        if isinstance(self.max_jobs, bool) or not isinstance(self.max_jobs, int) or self.max_jobs < 0:
            raise ValueError(_wanted("a whole number", "max_jobs", self.max_jobs))
        if isinstance(self.speed_factor, bool) or not self.speed_factor >= 0:
            raise ValueError(_wanted("a number from 0 on", "speed_factor", self.speed_factor))
        if self.host_key and ("\n" in self.host_key or len(self.host_key.split()) < 2):
            wanted = "one public key line (`ssh-ed25519 AAAA... comment`, as in a .pub file)"
            raise ValueError(_wanted(wanted, "host_key", self.host_key))

    def line(self) -> bytes:
        """The line of the machines file, without a newline: eight fields, `-` for what is not set.

        Raises ValueError for what is read of others but not written: a machine that takes no job, for which its builds would
        wait for ever, and a speed factor that Nix before 2.20 cannot read.
        """
        if self.max_jobs < 1:
            raise ValueError(
                _wanted("a positive whole number (with 0 its jobs wait for ever)", "max_jobs", self.max_jobs)
            )
        if not 1 <= self.speed_factor < float("inf") or self.speed_factor != int(self.speed_factor):
            wanted = "a positive whole number (Nix before 2.20 reads no other)"
            raise ValueError(_wanted(wanted, "speed_factor", self.speed_factor))
        fields = (
            self.uri,
            ",".join(self.systems),
            self.ssh_key,
            str(self.max_jobs),
            str(int(self.speed_factor)),
            ",".join(self.supported_features),
            ",".join(self.mandatory_features),
            encoded_host_key(self.host_key) if self.host_key else "",
        )
        return b" ".join(to_bytes(field) or _UNSET for field in fields)


def encoded_host_key(public_key_line: str) -> str:
    """The eighth field: base64 of the whole line of a .pub file, comment and newline included (linux_builder §1.9)."""
    return base64.b64encode(to_bytes(public_key_line.rstrip("\r\n") + "\n")).decode("ascii")


def parse_line(line: bytes) -> Machine | None:
    """The machine on one line; None for a comment, an `@file`, several machines, or one that Nix cannot read."""
    entries = list(_entries(_code(line)))
    return _machine(entries[0].text) if len(entries) == 1 and not entries[0].is_file else None


def machines(data: bytes) -> tuple[tuple[int, Machine], ...]:
    """(line number from 1, machine) of every valid machine, in order. `@file` entries are not followed.

    A line that is left out is in `problems`, or is a comment. Raises ValueError for a TOML file.
    """
    _refuse_toml(data)
    found = []
    for index, line in enumerate(text_lines.split(data)):
        for entry in _entries(_code(line)):
            machine = None if entry.is_file else _machine(entry.text)
            if machine is not None:
                found.append((index + 1, machine))
    return tuple(found)


def with_machine(data: bytes, machine: Machine) -> bytes:
    """`data` with this machine in it once; the same bytes if it is already so, if every Nix reads it.

    The first machine with this URI is replaced where it stands, others are taken out; without one a line is added at
    the end, where a file without a final newline stays without (see `lines`), so that `without_machine` restores it.
    Raises ValueError for a TOML file and for a machine that cannot be written.
    """
    _refuse_toml(data)
    replacement = machine.line()
    kept = []
    placed = False
    for line in text_lines.split(data):
        edited, placed = _with_first(line, machine, replacement, placed)
        if edited is not None:
            kept.append(edited)
    if not placed:
        text_lines.append(kept, replacement)
    return text_lines.join(kept)


def without_machine(data: bytes, uri: str) -> bytes:
    """`data` without any machine with this URI; the same bytes if there is none.

    A line that held nothing else goes; a comment behind the machine stays, as a line of its own. Raises ValueError for
    a TOML file.
    """
    _refuse_toml(data)
    wanted = _normal_uri(to_bytes(uri))
    edited = (_without_entries(line, _entries_of(line, wanted)) for line in text_lines.split(data))
    return text_lines.join([line for line in edited if line is not None])


def problems(data: bytes, reader: Reader = ANY) -> tuple[Problem, ...]:
    """Every line that this Nix or Lix refuses or misreads, in order. Raises ValueError for a TOML file."""
    _refuse_toml(data)
    return tuple(
        Problem(line=index + 1, text=to_text(line.rstrip(b"\r")), reason=reason)
        for index, line in enumerate(text_lines.split(data))
        for reason in _reasons(line, reader)
    )


def named(data: bytes, said: str) -> tuple[int, ...]:
    """The numbers (from 1) of the lines that a message of Nix's is about: it quotes a machine's line, or its store."""
    return tuple(
        index + 1
        for index, line in enumerate(text_lines.split(data))
        if any(
            f"'{to_text(quoted)}'" in said
            for entry in _entries(_code(line))
            for quoted in (entry.text, *words(entry.text)[:1])
        )
    )


def is_toml(data: bytes) -> bool:
    """Whether this is the TOML form. A line of the other form is none, and a file of comments alone is either."""
    return bool(_toml(data))


def toml_uris(data: bytes) -> tuple[str, ...]:
    """The stores of the machines of a TOML file that are not switched off (`enable = false`)."""
    tables = _toml(data).get("machines", {})
    every = tables.values() if isinstance(tables, dict) else ()
    return tuple(
        str(each["uri"]) for each in every if isinstance(each, dict) and "uri" in each and each.get("enable", True)
    )


def _toml(data: bytes) -> dict[str, Any]:
    """What TOML reads; nothing where it does not. `version` is optional there."""
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):  # TOML's and UTF-8's errors: it is the form with one machine on a line
        return {}


def includes(value: str, path: str, reader: Reader = ANY) -> bool:
    """Whether a `builders` setting has the machines of a file in it. The strict parser drops an `@` behind a blank."""
    if f"@{path}" not in inline_builders(value):
        return False
    return not reader.strict or any(piece == f"@{path}" for piece in re.split(r"[;\n]", value.strip()))


def inline_builders(value: str) -> tuple[str, ...]:
    """The entries of a `builders` setting: machine lines, and `@/path` for files whose entries belong there too."""
    lines = (_code(line) for line in text_lines.split(to_bytes(value)))
    return tuple(to_text(entry.text) for line in lines for entry in _entries(line))


@dataclass(frozen=True, slots=True)
class _Entry:
    """One machine or `@file` between two `;`. `segment` is its number in the line, `text` is without blanks around."""

    segment: int
    text: bytes

    @property
    def is_file(self) -> bool:
        return self.text.startswith(b"@")


def _code(line: bytes) -> bytes:
    return line.partition(b"#")[0]


def _entries(code: bytes) -> Iterator[_Entry]:
    for number, segment in enumerate(code.split(b";")):
        if segment.strip(BLANKS):
            yield _Entry(segment=number, text=segment.strip(BLANKS))


def _entries_of(line: bytes, normal_uri: bytes) -> list[_Entry]:
    return [
        entry
        for entry in _entries(_code(line))
        if not entry.is_file and _normal_uri(words(entry.text)[0]) == normal_uri
    ]


def _is_local_store(uri: str) -> bool:
    return uri.partition("?")[0] in ("", *_STORES_WITHOUT_SCHEME) and uri != ""


def _normal_uri(uri: bytes) -> bytes:
    """The store that Nix takes the first field for: a bare host name means ssh://."""
    if b"/" in uri or _is_local_store(to_text(uri)):
        return uri
    return b"ssh://" + uri


def _with_first(line: bytes, machine: Machine, replacement: bytes, placed: bool) -> tuple[bytes | None, bool]:
    """The line with the machine's first entry replaced unless `placed`, and the others taken out; None if it goes."""
    ours = _entries_of(line, _normal_uri(to_bytes(machine.uri)))
    if not ours:
        return line, placed
    surplus = ours if placed else ours[1:]
    # Equal is not enough: a speed factor of 1.0 is 1, but stops every remote build with Nix before 2.20.
    if not placed and (_machine(ours[0].text) != machine or any(_reasons_of_machine(ours[0].text))):
        segments = _code(line).split(b";")
        segments[ours[0].segment] = segments[ours[0].segment].replace(ours[0].text, replacement, 1)
        line = b";".join(segments) + line[len(_code(line)) :]
    return _without_entries(line, surplus), True


def _without_entries(line: bytes, entries: list[_Entry]) -> bytes | None:
    if not entries:
        return line
    code = _code(line)
    comment = line[len(code) :]
    gone = {entry.segment for entry in entries}
    rest = b";".join(segment for number, segment in enumerate(code.split(b";")) if number not in gone)
    if rest.strip(BLANKS + b";"):
        return rest + comment
    return comment or None  # nothing but blanks would be left, on which the old parser fails


def _machine(entry: bytes) -> Machine | None:
    try:
        return _parsed(entry)
    except ValueError:  # said in words by `problems`
        return None


def _parsed(entry: bytes) -> Machine:
    """Raises ValueError that says which field is wrong. More than eight fields are ignored, as Nix does."""
    fields = [b"" if field == _UNSET else field for field in words(entry)[:_FIELDS]]
    uri, systems, ssh_key, jobs, speed, supported, mandatory, host_key = fields + [b""] * (_FIELDS - len(fields))
    if not uri:
        raise ValueError(_wanted("a store URI in the first field", "uri", "-"))
    return Machine(
        uri=to_text(_normal_uri(uri)),
        systems=_list(systems),
        ssh_key=to_text(ssh_key),
        max_jobs=_whole_number(jobs),
        speed_factor=_speed(speed),
        supported_features=_list(supported),
        mandatory_features=_list(mandatory),
        host_key=_decoded_host_key(host_key),
    )


def _list(field: bytes) -> tuple[str, ...]:
    return tuple(to_text(item) for item in field.split(b",") if item)


def _whole_number(field: bytes) -> int:
    if not field:
        return 1
    if not _WHOLE.fullmatch(field):
        raise ValueError(_wanted("a whole number in the fourth field", "max_jobs", to_text(field)))
    return int(field)


def _speed(field: bytes) -> float:
    if not field:
        return 1
    if not _NUMBER.fullmatch(field):
        raise ValueError(_wanted("a number in the fifth field", "speed_factor", to_text(field)))
    return int(field) if _WHOLE.fullmatch(field) else float(field)


def _decoded_host_key(field: bytes) -> str:
    """Nix reads up to the first `=`, and wants none."""
    if not _BASE64.fullmatch(field):
        raise ValueError(_wanted("base64 of a public key line in the eighth field", "host_key", to_text(field)))
    code = field.partition(b"=")[0]
    whole = code[: len(code) - (len(code) % 4 == 1)]
    return to_text(base64.b64decode(whole + b"=" * (-len(whole) % 4))).removesuffix("\n")


def _check_words(machine: Machine) -> None:
    named_lists = ("systems", "supported_features", "mandatory_features")
    named = [("uri", machine.uri), ("ssh_key", machine.ssh_key)]
    named += [(name, item) for name in named_lists for item in getattr(machine, name)]
    for name, text in named:
        if re.search(r"[\s;#]", text) or (name in named_lists and (not text or "," in text)) or text == "-":
            wanted = "words without blanks, ';', '#'" + (", ','" if name in named_lists else "") + " that are not '-'"
            raise ValueError(_wanted(wanted, name, text))


def _wanted(wanted: str, name: str, seen: object) -> str:
    return f"machines: wanted {wanted} as {name}, saw {seen!r}; the format has no quoting, so choose another value"


def _reasons(line: bytes, reader: Reader) -> Iterator[str]:
    """What is wrong with a line."""
    if reader.strict and b";" in line[len(_code(line)) :]:
        yield "a ';' in a comment: what follows it is read as a machine by Nix before 2.24.15 and by Lix"
    pieces = _code(line).split(b";")
    if reader.strict and any(piece and not piece.strip(BLANKS) for piece in pieces):
        yield (
            "nothing but blanks (alone on a line, before a comment, or beside a ';'): all remote builds fail with Nix "
            "before 2.24.15 and with Lix"
        )
    for piece in pieces:
        text = piece.strip(BLANKS)
        if text.startswith(b"@"):
            if reader.strict and not piece.startswith(b"@"):
                yield "a blank before '@': the file is not read by Nix before 2.24.15 and by Lix"
        elif text:
            yield from _reasons_of_machine(text, reader)


def _reasons_of_machine(text: bytes, reader: Reader = ANY) -> Iterator[str]:
    """What a Nix refuses of a machine, of whatever the owner means by it: with no job (0) it is switched off."""
    fields = [b"" if field == _UNSET else field for field in words(text)[:_FIELDS]]
    uri, jobs, speed, host_key = ((fields + [b""] * _FIELDS)[field] for field in (0, 3, 4, 7))
    if not uri:
        yield "there is no store in the first field"
    if reader.plain_stores and not _normal_uri(uri).isascii():
        yield "a store whose name is not ASCII (an invisible byte order mark, say): all remote builds fail with Nix from 2.26"
    if not _WHOLE.fullmatch(jobs or b"1"):
        yield "the fourth field, how many jobs it takes, is no whole number"
    if reader.whole_speeds and not _WHOLE.fullmatch(speed or b"1"):
        yield "the fifth field, its speed, is not written as a whole number: all remote builds fail with Nix before 2.20"
    elif not _NUMBER.fullmatch(speed or b"1"):
        yield "the fifth field, its speed, is no number from 0 on"
    if not _BASE64.fullmatch(host_key):
        yield "the eighth field, its host key, is no base64"


def _refuse_toml(data: bytes) -> None:
    if is_toml(data):
        raise ValueError(
            "machines: wanted the form with one machine on a line, saw TOML, which Lix reads from 2.95 on and not every "
            "Nix does; add the machine there by hand, or write the file in the form that every Nix reads"
        )
