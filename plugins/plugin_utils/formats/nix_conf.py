# SPDX-License-Identifier: GPL-3.0-or-later
"""nix.conf and the files it includes: read a setting, change one, take the change back, find what Nix will not read.

The rules are those of Nix's own parser (nix_configuration §1): one line is one setting, `#` starts a comment anywhere,
the `=` is a word of its own, the last line of a name wins. An edit touches the value and nothing else.

Taking a change back needs what stood there before: ask `written_value` before the first edit, keep the answer, and hand
it to `without_setting`. It holds the blanks around the value too, so that the file comes back byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from . import lines as text_lines
from .lines import BLANKS, to_bytes, to_text, words

DIRECTIVES = frozenset({b"include", b"!include"})


@dataclass(frozen=True, slots=True)
class SyntaxProblem:
    """A line that makes every nix command and the daemon fail. `line` counts from 1; `text` is the line itself."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Include:
    """`include path` or, where a missing file is no error, `!include path` (`optional`). `line` counts from 1.

    `path` is as written: relative to the directory of the including file unless it begins with a slash.
    """

    path: str
    optional: bool
    line: int


@dataclass(frozen=True, slots=True)
class _Assignment:
    """Where one assignment is: `after_equals` and `end` are offsets in the line; `end` is where a comment may begin."""

    index: int
    name: bytes
    after_equals: int
    end: int


def value(data: bytes, name: str) -> str | None:
    """The value that this file gives to `name`, its words joined by one space; None if no line of the file sets it.

    Included files and `extra-NAME` lines are not looked at. A line that sets nothing (`name =`) is the empty string.
    """
    lines = text_lines.split(data)
    found = _last(lines, name)
    if found is None:
        return None
    return to_text(b" ".join(words(lines[found.index][found.after_equals : found.end])))


def written_value(data: bytes, name: str) -> str | None:
    """What stands between `=` and the comment or end of the line, blanks included: the `former` of `without_setting`.

    None if no line of the file sets `name`. Bytes that are not UTF-8 become lone surrogates, which JSON carries.
    """
    lines = text_lines.split(data)
    found = _last(lines, name)
    return None if found is None else to_text(lines[found.index][found.after_equals : found.end])


def with_setting(data: bytes, name: str, value: str) -> bytes:
    """`data` with `name` set to `value`; the same bytes if it already is, however it is spaced.

    The last line of that name is edited in place and keeps its indentation and its comment. Without one, a line is
    added at the end, or before the first `extra-NAME` line, whose additions an assignment after it would throw away.
    A file without a final newline stays without (see `lines`). Raises ValueError for what Nix would not read as meant.
    """
    _refuse_unreadable(name, value)
    lines = text_lines.split(data)
    found = _last(lines, name)
    if found is None:
        _add(lines, name, value)
    elif words(lines[found.index][found.after_equals : found.end]) == words(to_bytes(value)):
        return data
    else:
        lines[found.index] = _with_value(lines[found.index], found, to_bytes(value))
    return text_lines.join(lines)


def without_setting(data: bytes, name: str, former: str | None) -> bytes:
    """`data` with the last line of `name` as it was before `with_setting`; the same bytes if there is no such line.

    `former` is what `written_value` said before the edit: None removes the line, anything else is put back. A plain
    value is put back as well, with the blanks that are there now. The caller decides whether the line still is ours
    (that `value` is what we set): somebody may have changed it since. Raises ValueError like `with_setting`.
    """
    lines = text_lines.split(data)
    found = _last(lines, name)
    if found is None:
        return data
    if former is None:
        del lines[found.index]
        return text_lines.join(lines)
    raw = to_bytes(former)
    if b"\n" in raw or b"#" in raw:
        raise ValueError(_unreadable_value(name))
    line = lines[found.index]
    if not raw or raw[:1] in (b" ", b"\t", b"\r"):  # `=` must be followed by a blank, so this is a written value
        lines[found.index] = line[: found.after_equals] + raw + line[found.end :]
    else:
        lines[found.index] = _with_value(line, found, raw)
    return text_lines.join(lines)


def syntax_errors(data: bytes) -> tuple[SyntaxProblem, ...]:
    """The lines because of which Nix refuses the whole file, in order; empty for a file that it reads.

    A setting that Nix does not know, or a value it cannot use, is no syntax error and is not found here.
    """
    lines = text_lines.split(data)
    problems = []
    for index, line in enumerate(lines):
        reason = _syntax_problem(line, lines[index - 1] if index else b"")
        if reason is not None:
            problems.append(SyntaxProblem(line=index + 1, text=to_text(line.rstrip(b"\r")), reason=reason))
    return tuple(problems)


def includes(data: bytes) -> tuple[Include, ...]:
    """The files that this file includes, in order."""
    found = []
    for index, line in enumerate(text_lines.split(data)):
        tokens = words(_code(line))
        if len(tokens) == 2 and tokens[0] in DIRECTIVES:
            found.append(Include(path=to_text(tokens[1]), optional=tokens[0].startswith(b"!"), line=index + 1))
    return tuple(found)


def _code(line: bytes) -> bytes:
    return line.partition(b"#")[0]


def _assignments(lines: list[bytes]) -> Iterator[_Assignment]:
    for index, line in enumerate(lines):
        code = _code(line)
        tokens = words(code)
        if len(tokens) >= 2 and tokens[1] == b"=" and tokens[0] not in DIRECTIVES:
            # A name may itself hold `=` (`a=b = c`): look for the one that is a word, behind the name.
            after_equals = code.index(b"=", code.index(tokens[0]) + len(tokens[0])) + 1
            yield _Assignment(index=index, name=tokens[0], after_equals=after_equals, end=len(code))


def _last(lines: list[bytes], name: str) -> _Assignment | None:
    wanted = to_bytes(name)
    last = None
    for assignment in _assignments(lines):
        if assignment.name == wanted:
            last = assignment
    return last


def _add(lines: list[bytes], name: str, value: str) -> None:
    line = to_bytes(f"{name} = {value}" if value else f"{name} =")
    additions = to_bytes(f"extra-{name}")
    for assignment in _assignments(lines):
        if assignment.name == additions:
            lines.insert(assignment.index, line)
            return
    text_lines.append(lines, line)


def _with_value(line: bytes, where: _Assignment, value: bytes) -> bytes:
    """The line with another value; a blank is only added or taken where a value appears or disappears."""
    old = line[where.after_equals : where.end]
    leading = old[: len(old) - len(old.lstrip(BLANKS))]
    if not old.strip(BLANKS):
        return line[: where.after_equals] + b" " + value + line[where.after_equals :]
    trailing = old[len(old.rstrip(BLANKS)) :]
    return line[: where.after_equals] + (leading if value else b"") + value + trailing + line[where.end :]


def _refuse_unreadable(name: str, value: str) -> None:
    if words(to_bytes(name)) != [to_bytes(name)] or "#" in name or to_bytes(name) in DIRECTIVES:
        raise ValueError(
            f"nix.conf: wanted the name of a setting (one word without '#', not 'include'), saw {name!r}; "
            "name the setting the way `nix config show` does"
        )
    raw = to_bytes(value)
    if b" ".join(words(raw)) != raw or b"#" in raw:
        raise ValueError(_unreadable_value(name))


def _unreadable_value(name: str) -> str:
    return (
        f"nix.conf: wanted a value of {name} that Nix reads as written (words with one space between them, no '#', no "
        "line break: there is no quoting), and saw another; write it without them"
    )


def _syntax_problem(line: bytes, previous: bytes) -> str | None:
    tokens = words(_code(line))
    if not tokens:
        return None
    if tokens[0] in DIRECTIVES:
        if len(tokens) == 2:
            return None
        return f"{to_text(tokens[0])} takes exactly one file name, {len(tokens) - 1} words follow"
    if len(tokens) >= 2 and tokens[1] == b"=":
        return None
    if previous.rstrip(BLANKS).endswith(b"\\") or tokens[-1] == b"\\":
        return "a line cannot be continued on the next one: write the whole setting on one line"
    if b"=" in tokens[0] or (len(tokens) >= 2 and tokens[1].startswith(b"=")):
        return "'=' needs a space before and after it: write `name = value`"
    if line[:1] in (b" ", b"\t") and previous.strip(BLANKS):
        return "an indented line does not continue the one before it: write the whole setting on one line"
    return "neither `name = value` nor `include FILE` nor `!include FILE`"
