# SPDX-License-Identifier: GPL-3.0-or-later
"""ssh_config: our own file with one Host block, and the Include line in the system's file that makes ssh read it.

macOS ships /etc/ssh/ssh_config with `Include /etc/ssh/ssh_config.d/*` at its top, but a Mac may have lost it
(nix_configuration §3); a Host block behind an Include that is itself inside another Host block is read for nobody else.
What comes of all the files together, ssh tells itself (`effective`, `settings`, `complaint`).
The rules here are those of OpenSSH 8.7 and later (macOS 13 and later): keywords in any case, an optional `=`, quotes,
`#` also behind arguments.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .lines import to_bytes, to_text

HEADER = "# managed by builderfleet: changes are put right at the next run"
INCLUDE_COMMENT = "# builderfleet: without this line ssh does not read the Host block of the Linux builder"
SYSTEM_DIRECTORY = "/etc/ssh"  # what a relative Include in the system's file is relative to
DEFAULT_PATTERN = "/etc/ssh/ssh_config.d/*"
DEFAULT_FILE_NAME = "150-builderfleet.conf"

# Of these, ssh takes the rest of the line as it is and hands it to a shell.
_COMMANDS = frozenset({"knownhostscommand", "localcommand", "proxycommand", "remotecommand"})
_BLOCK_KEYWORDS = frozenset({"host", "match", "include"})
_LINE = re.compile(rb'[ \t\r]*(?P<keyword>[^ \t\r="#][^ \t\r="]*)(?:[ \t]*=[ \t]*|[ \t]+)(?P<arguments>.*)', re.DOTALL)
_ARGUMENT = re.compile(
    r'"(?P<double>(?:\\.|[^"\\])*)"|\'(?P<single>(?:\\.|[^\'\\])*)\'|(?P<plain>(?:\\[\\"\' ]|[^\s"\'])+)'
)


@dataclass(frozen=True, slots=True)
class Host:
    """One Host block. `options` are (keyword, value) in the order in which they are written.

    A value is one argument: with blanks in it, it is quoted; commands (ProxyCommand ...) are written as they are.
    Raises ValueError for an alias that would match other hosts, and for what ssh has no way to write.
    """

    alias: str
    options: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.alias, re.ASCII):
            raise ValueError(
                f"ssh_config: wanted a plain host alias (letters, digits, '.', '_', '-'), saw {self.alias!r}; "
                "a pattern would change other hosts' connections"
            )
        for keyword, value in self.options:
            _check_option(self.alias, keyword, value)

    def render(self) -> bytes:
        """The whole file, with a header that says whose it is."""
        lines = [HEADER, f"Host {self.alias}"]
        lines += [f"  {keyword} {_written(keyword, value)}" for keyword, value in self.options]
        return to_bytes("\n".join(lines) + "\n")


def includes_directory(
    data: bytes, directory: str = "/etc/ssh/ssh_config.d", file_name: str = DEFAULT_FILE_NAME
) -> bool:
    """Whether ssh, reading `data` as /etc/ssh/ssh_config, reads `file_name` in `directory` for every host.

    That is, whether there is an Include whose pattern matches the file, before the first `Host` or `Match` that does
    not apply to all hosts.
    """
    wanted = posixpath.normpath(posixpath.join(directory, file_name))
    return any(_matches(wanted, pattern) for pattern in _global_includes(data))


def with_include(data: bytes, pattern: str = DEFAULT_PATTERN) -> bytes:
    """`data` with an Include of `pattern` as its first line, below a comment that says why; what is so stays the same.

    An Include that already does it, whoever wrote it, is enough. One of ours that does not (moved into a Host block) is
    moved to the top. Raises ValueError for a pattern that is not an absolute path without blanks and quotes.
    """
    _check_pattern(pattern)
    directory, last = posixpath.split(pattern)
    is_read = fnmatchcase(DEFAULT_FILE_NAME, last) and includes_directory(data, directory)
    if is_read or pattern in _global_includes(data):
        return data
    return _include_block(pattern) + without_include(data, pattern)


def without_include(data: bytes, pattern: str = DEFAULT_PATTERN) -> bytes:
    """`data` without what `with_include` put in, wherever that is now; an Include that others wrote stays."""
    _check_pattern(pattern)
    block = re.escape(_include_block(pattern).removesuffix(b"\n"))
    removed = re.sub(rb"(?m)^" + block + rb"(?:\n|\Z)", b"", data)
    return removed if removed == data else without_include(removed, pattern)  # what was around one may be one


def effective(output_of_ssh_G: str) -> dict[str, list[str]]:
    """What `ssh -G ALIAS` printed: keyword in lower case → its values in order (`identityfile` can have several)."""
    settings: dict[str, list[str]] = {}
    for line in output_of_ssh_G.splitlines():
        keyword, _separator, value = line.strip().partition(" ")
        if keyword:
            settings.setdefault(keyword.lower(), []).append(value.strip())
    return settings


@dataclass(frozen=True, slots=True)
class Setting:
    """A line that applies to a host. `of_the_system` says that it was reached from the system's file, not root's own."""

    path: str
    line: int
    keyword: str
    of_the_system: bool = True


@dataclass(frozen=True, slots=True)
class Complaint:
    """Why ssh refuses to run: its words, and the file and line that it names; an empty path where it names none."""

    text: str
    path: str = ""
    line: int = 0


# What `ssh -G -vvv` says while it reads, as OpenSSH 8.7 to 9.2 say it (readconf.c; the words are older than that). Where a
# later one says it otherwise, no line is found, and a message names the files without it.
_READING = re.compile(r"debug1: Reading configuration data (?P<path>.+)")
_INCLUDING = re.compile(r"debug3: (?P<path>.+) line (?P<line>\d+): Including file (?P<file>.+) depth \d+")
_APPLYING = re.compile(r"debug1: (?P<path>.+) line (?P<line>\d+): Applying options for ")
_NOT_MATCHED = re.compile(r"debug3: (?P<path>.+) line (?P<line>\d+): not matched ")
_COMPLAINT = re.compile(r"(?P<path>.+?):? line (?P<line>\d+): (?P<text>.+)")
_CHATTER = re.compile(r"debug\d: |OpenSSH_|Pseudo-terminal will not|.*: terminating, \d+ bad configuration options$")


def settings(trace: str, keywords: str) -> Iterator[Setting]:
    """The lines that apply to a host, in the order in which ssh reads them.

    `trace` is what `ssh -G -vvv HOST` said of its reading, `keywords` the files that it read: `LINE KEYWORD PATH` a line.
    """
    lines = [line.rstrip() for line in trace.splitlines()]
    included: dict[tuple[str, int], list[str]] = {}
    for match in filter(None, map(_INCLUDING.fullmatch, lines)):
        files = included.setdefault((match["path"], int(match["line"])), [])
        files += [match["file"]] if match["file"] not in files else []
    applies = {(match["path"], int(match["line"])) for match in filter(None, map(_APPLYING.match, lines))}
    fails = {(match["path"], int(match["line"])) for match in filter(None, map(_NOT_MATCHED.match, lines))}
    directives: dict[str, list[tuple[int, str]]] = {}
    for line in keywords.splitlines():
        number, keyword, path = line.split(" ", 2)
        directives.setdefault(path, []).append((int(number), keyword))

    def read(path: str, of_the_system: bool) -> Iterator[Setting]:
        active = True
        for number, keyword in directives.get(path, ()):
            at = (path, number)
            if keyword in ("host", "match"):
                active = at in applies if keyword == "host" else at not in fails
            elif active and keyword == "include":
                for file in included.get(at, ()):
                    yield from read(file, of_the_system)
            elif active:
                yield Setting(path, number, keyword, of_the_system)

    inner = {file for files in included.values() for file in files}
    for path in dict.fromkeys(match["path"] for match in filter(None, map(_READING.fullmatch, lines))):
        if path not in inner:
            yield from read(path, path.startswith(f"{SYSTEM_DIRECTORY}/"))


def complaint(errors: str) -> Complaint:
    """Why `ssh -G` failed, from what it said on its standard error."""
    said = [line.strip() for line in errors.splitlines() if line.strip() and not _CHATTER.match(line.strip())]
    for line in said:
        if match := _COMPLAINT.fullmatch(line):
            return Complaint(match["text"].rstrip("."), match["path"], int(match["line"]))
    return Complaint(said[-1].rstrip(".") if said else "no message")


def argument(keyword: str, value: str) -> str:
    """An option as ssh's `-o` takes it."""
    return f"{keyword}={_written(keyword, value)}"


def _include_block(pattern: str) -> bytes:
    return to_bytes(f"{INCLUDE_COMMENT}\nInclude {pattern}\n")


def _directives(data: bytes) -> Iterator[tuple[str, list[str]]]:
    """(keyword in lower case, arguments) of each line that has some."""
    for line in data.split(b"\n"):
        match = _LINE.fullmatch(line.partition(b"\0")[0].rstrip(b" \t\r\f"))  # ssh reads lines as C strings
        if match is not None:
            yield to_text(match["keyword"]).lower(), _arguments(to_text(match["arguments"]))


def _global_includes(data: bytes) -> Iterator[str]:
    """The patterns of the Includes that ssh reads for every host."""
    for keyword, arguments in _directives(data):
        if keyword == "include":
            yield from arguments
        elif (keyword == "host" and arguments != ["*"]) or (
            keyword == "match" and [argument.lower() for argument in arguments] != ["all"]
        ):
            return


def _arguments(text: str) -> list[str]:
    """The arguments of a line: parts in quotes and without join into one argument, `#` at the start of one ends all."""
    found: list[str] = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        if text[position] == "#":
            break
        argument, position = _argument(text, position)
        if argument is None:
            return []  # a quote without its end: ssh refuses the line
        found.append(argument)
    return found


def _argument(text: str, position: int) -> tuple[str | None, int]:
    argument = ""
    while position < len(text) and not text[position].isspace():
        match = _ARGUMENT.match(text, position)
        if match is None:
            return None, len(text)
        argument += next(part for part in match.groups() if part is not None)
        position = match.end()
    return argument, position


def _matches(path: str, pattern: str) -> bool:
    """Whether the shell's glob matches: `*` never crosses a slash, and a pattern is relative to the system's folder."""
    absolute = posixpath.normpath(posixpath.join(SYSTEM_DIRECTORY, pattern))
    wanted, seen = path.split("/"), absolute.split("/")
    return len(wanted) == len(seen) and all(map(fnmatchcase, wanted, seen))


def _check_pattern(pattern: str) -> None:
    if not re.fullmatch(r"/[^\s\"'\\#]+", pattern):
        raise ValueError(
            f"ssh_config: wanted an absolute path or pattern without blanks and quotes to include, saw {pattern!r}; "
            f"the system's own is {DEFAULT_PATTERN}"
        )


def _check_option(alias: str, keyword: str, value: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9]+", keyword, re.ASCII) or keyword.lower() in _BLOCK_KEYWORDS:
        raise ValueError(
            f"ssh_config: wanted the keyword of an option in Host {alias} (letters, digits; not Host, Match, Include), "
            f"saw {keyword!r}; see ssh_config(5)"
        )
    unwritable = r"^=|[\n\r\0]" if keyword.lower() in _COMMANDS else r"[\n\r\0\"\\]"
    if not value.strip() or value != value.strip() or re.search(unwritable, value):
        raise ValueError(
            f"ssh_config: wanted a value of {keyword} in Host {alias} without line breaks, quotes, backslashes and "
            f"blanks around it; not every version of ssh reads those alike: choose another value"
        )
    if keyword.lower() == "port" and not (value.isdecimal() and 0 < int(value) < 65536):
        raise ValueError(f"ssh_config: wanted a number from 1 to 65535 as {keyword} in Host {alias}")


def _written(keyword: str, value: str) -> str:
    if keyword.lower() in _COMMANDS or not re.search(r"[\s#']|^=", value):
        return value
    return f'"{value}"'
