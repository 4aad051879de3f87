# SPDX-License-Identifier: GPL-3.0-or-later
"""ssh_config: our own file with one Host block, and the Include line in the system's file that makes ssh read it.

macOS ships /etc/ssh/ssh_config with `Include /etc/ssh/ssh_config.d/*` at its top, but a Mac may have lost it
(nix_configuration §3); a Host block behind an Include that is itself inside another Host block is read for nobody else.
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
            f"blanks around it, saw {value!r}; not every version of ssh reads those alike: choose another value"
        )


def _written(keyword: str, value: str) -> str:
    if keyword.lower() in _COMMANDS or not re.search(r"[\s#']|^=", value):
        return value
    return f'"{value}"'
