# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of inventory files, as text: what is not edited comes through byte for byte, comments, quotes and order included.

Places are located by the marks of ruamel.yaml's nodes, and only what stands there is replaced. ruamel's own round trip
does not do: of a file that holds only comments it loads None, and a mapping `{}` with comments below has no place for
them. An edit is read back: when anything but what was meant is different, it is refused.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MACS = "macs"
STRING = "tag:yaml.org,2002:str"
_NULL = "tag:yaml.org,2002:null"
_SIMPLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")

Tree = Any
"""What a node means: ("scalar's tag", "text"), a list, or a dict whose keys are the keys' text."""


class EditError(Exception):
    """The edit was not made. The text says what was wanted, what stands there instead, and what to do."""


def value_of(text: str, name: str) -> str | None:
    """The value of a top-level variable, None when it is not set. Raises EditError when it is no string."""
    entry = _entry(_mapping(text), name)
    if entry is None:
        return None
    key, node = entry
    if not isinstance(node, ScalarNode) or node.tag != STRING:
        raise EditError(f"{_where(key)}{name} has to be a string, saw {_kind(node)}: put it in quotes")
    return str(node.value)


def set_variable(text: str, name: str, value: str) -> str:
    """The text with a top-level variable set: where it is set, else where its default stands as a comment, else at the
    end. Raises EditError.
    """
    root = _mapping(text)
    if entry := _entry(root, name):
        splice = _replacement(text, *entry, value)
    elif comment := _commented(text, name, _column(root)):
        quotes = comment["value"][:1]
        start, end = comment.span("line")
        splice = Splice(start, end, f"{' ' * _column(root)}{name}: {scalar(value, quotes)}")
    elif root is not None and root.flow_style:
        raise EditError(
            f"wanted a line to add {name} below, saw one mapping in braces: write it as lines `name: value`"
        )
    else:
        splice = _appended(text, [f"{' ' * _column(root)}{name}: {scalar(value)}"])
    before = _tree(root)
    return _checked(text, [splice], {**before, name: (STRING, value)})


def add_host(text: str, name: str, groups: Sequence[str], variables: Mapping[str, str]) -> str:
    """The text with a host in groups of `macs`, made where they are missing; its variables stand in the first of them.

    Raises EditError.
    """
    for number, group in enumerate(groups):
        path = (*_group_path(text, group), "hosts", name)
        text = _added(text, path, variables if number == 0 else {})
    return text


def groups(text: str) -> list[str]:
    """The names of the groups below `macs`, however deep, with hosts or without. Raises EditError."""
    macs = _entry(_mapping(text), MACS)
    return list(dict.fromkeys(_below(macs[1]))) if macs else []


def _below(node: Node) -> Iterator[str]:
    children = _entry(node, "children")
    for key, child in children[1].value if children and isinstance(children[1], MappingNode) else ():
        yield str(key.value)
        yield from _below(child)


def line_of_host(text: str, name: str) -> int | None:
    """The line, from 1, in which a host is first named; None when a range or another file names it."""
    return next((line for line in _lines_of_host(_mapping(text), name)), None)


def _lines_of_host(node: Node | None, name: str) -> Iterator[int]:
    for key, value in node.value if isinstance(node, MappingNode) else ():
        if key.value == "hosts" and (entry := _entry(value, name)):
            yield entry[0].start_mark.line + 1
        if key.value != "hosts":
            yield from _lines_of_host(value, name)


# --- reading -------------------------------------------------------------------------------------------------------


def _compose(text: str, version: tuple[int, int] = (1, 1)) -> Node | None:
    """The document's nodes, by YAML 1.1, which is Ansible's."""
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    try:
        return yaml.compose(text)  # type: ignore[no-any-return]
    except YAMLError as error:
        raise EditError(f"it cannot be read as YAML: {error}") from error


def _mapping(text: str) -> MappingNode | None:
    """The document's mapping; None when it holds nothing but comments."""
    root = _compose(text)
    if root is None or root.tag == _NULL:
        return None
    if not isinstance(root, MappingNode):
        raise EditError(f"line {root.start_mark.line + 1}: wanted a mapping, saw {_kind(root)}")
    return root


def _kind(node: Node) -> str:
    """YAML's word for what a node is: null, float, seq, ..."""
    return f"YAML's {str(node.tag).rsplit(':', 1)[-1]}"


def _entry(node: Node | None, name: str) -> tuple[ScalarNode, Node] | None:
    if not isinstance(node, MappingNode):
        return None
    return next(((key, value) for key, value in node.value if key.value == name), None)


def _tree(node: Node | None) -> Tree:
    """What a node means, without regard to how it is written."""
    if node is None:
        return {}
    if isinstance(node, MappingNode):
        keys = [key.value if key.tag == STRING else repr(_tree(key)) for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise EditError(f"below line {node.start_mark.line + 1} stands more than once: {', '.join(sorted(twice))}")
        return {key: _tree(value) for key, (_, value) in zip(keys, node.value, strict=True)}
    if isinstance(node, SequenceNode):
        return [_tree(each) for each in node.value]
    return (node.tag, node.value)


def _group_path(text: str, group: str) -> tuple[str, ...]:
    """Where a group of `macs` is, however deep; or where it is to be made."""
    macs = _entry(_mapping(text), MACS)
    found = next(_paths(macs[1], group, (MACS,)), None) if macs else None
    return found or ((MACS,) if group == MACS else (MACS, "children", group))


def _paths(node: Node, group: str, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if path[-1] == group:
        yield path
    children = _entry(node, "children")
    for key, child in children[1].value if children and isinstance(children[1], MappingNode) else ():
        yield from _paths(child, group, (*path, "children", key.value))


def _column(root: MappingNode | None) -> int:
    return 0 if root is None or root.flow_style else int(root.start_mark.column)


def _commented(text: str, name: str, column: int) -> re.Match[str] | None:
    """The last line `# name: value`. A value is one word or quoted, so that prose is not taken for one."""
    value = r"\"[^\"\n]*\"|'[^'\n]*'|[^\s\"']*"
    pattern = rf"^(?P<line> {{{column}}}# ?{re.escape(name)}: *(?P<value>{value}))(?:[ \t]+#.*)?[ \t]*\r?$"
    return next(reversed(list(re.finditer(pattern, text, re.MULTILINE))), None)


# --- writing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Splice:
    """Text to put in place of what stands from `start` to `end`."""

    start: int
    end: int
    text: str


def scalar(value: str, quotes: str = "") -> str:
    """A string as Ansible's YAML 1.1 and YAML 1.2 both read it back, anywhere; with the quotes that stood there before."""
    if quotes == "'" and "\n" not in value:
        return "'" + value.replace("'", "''") + "'"
    return value if quotes != '"' and _plain(value) else json.dumps(value, ensure_ascii=False)


def _plain(value: str) -> bool:
    """Whether a string is one without quotes, in a block as in braces: of simple characters, and no number, date or flag."""
    return bool(_SIMPLE.fullmatch(value)) and all(
        _tree(_compose(value, version)) == (STRING, value) for version in ((1, 1), (1, 2))
    )


def _replacement(text: str, key: ScalarNode, node: Node, value: str) -> Splice:
    """In place of a single value. What follows it in its line stays."""
    start, end = _span(text, key, node, f"to set {key.value}")
    if not isinstance(node, ScalarNode) or node.style in ("|", ">"):
        raise EditError(
            f"{_where(key)}wanted one value in one line, saw a block: write {key.value} as `{key.value}: value`"
        )
    if start == end:
        return Splice(start, end, f" {scalar(value)}")
    return Splice(start, end, scalar(value, node.style or ""))


def _span(text: str, key: ScalarNode, node: Node, purpose: str) -> tuple[int, int]:
    """Where a value stands; right behind the colon when there is none. Refuses what has more to it than its own text."""
    colon = text.index(":", key.end_mark.index) + 1
    start, end = node.start_mark.index, node.end_mark.index
    if node.tag == _NULL and node.value == "":
        start = end = colon
    if start < colon or text[start : start + 1] in ("&", "!"):
        raise EditError(
            f"{_where(key)}{purpose}, the value of {key.value} has to stand there itself, saw an anchor, an alias or a "
            "tag: edit it by hand"
        )
    return start, start + len(text[start:end].rstrip())


def _where(key: ScalarNode) -> str:
    return f"line {key.start_mark.line + 1}: "


def _appended(text: str, lines: Iterable[str]) -> Splice:
    end = "" if not text or text.endswith("\n") else _newline(text)
    if end and _tree(_mapping(text + end)) != _tree(_mapping(text)):
        raise EditError(
            "the file ends within a block of text, and a newline there would be part of its value: end the file with one"
            " yourself, and run again"
        )
    return Splice(len(text), len(text), end + _block(text, lines))


def _block(text: str, lines: Iterable[str]) -> str:
    return "".join(f"{line}{_newline(text)}" for line in lines)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _added(text: str, path: Sequence[str], variables: Mapping[str, str]) -> str:
    """The text with a mapping of strings at a path; what is missing on the way is made."""
    root = _mapping(text)
    before = _tree(root)
    expected = copy.deepcopy(before)
    place = expected
    for step in path[:-1]:
        if not isinstance(place.get(step), dict):  # a key without a value; anything else is refused below
            place[step] = {}
        place = place[step]
    place[path[-1]] = {name: (STRING, value) for name, value in variables.items()} or (_NULL, "")
    return _checked(text, _additions(text, root, path, variables), expected)


def _additions(text: str, root: MappingNode | None, path: Sequence[str], variables: Mapping[str, str]) -> list[Splice]:
    node: Node | None = root
    keys: list[ScalarNode] = []
    for depth, step in enumerate(path):
        if node is None:
            return [_appended(text, _lines(path, variables, 0, 2))]
        if not node.value and depth:
            return _filled(text, keys, node, path[depth:], variables)
        if not isinstance(node, MappingNode):
            raise EditError(f"{_where(keys[-1])}wanted a mapping below {'.'.join(path[:depth])}, saw {_kind(node)}")
        entry = _entry(node, step)
        if entry is None:
            return [_inserted(text, keys, node, path[depth:], variables)]
        keys.append(entry[0])
        node = entry[1]
    raise EditError(f"{_where(keys[-1])}{'.'.join(path)} is there already")


def _inserted(
    text: str, keys: Sequence[ScalarNode], node: MappingNode, rest: Sequence[str], variables: Mapping[str, str]
) -> Splice:
    """Another entry at the end of a mapping."""
    if not node.flow_style:
        column = node.value[0][0].start_mark.column
        position = _end_of_block(text, node, column)
        lines = _lines(rest, variables, column, _step([*keys, node.value[0][0]]))
        return _appended(text, lines) if position == len(text) else Splice(position, position, _block(text, lines))
    brace = node.end_mark.index - 1
    last = len(text[:brace].rstrip())
    position = brace if "\n" in text[last:brace] else last  # behind a line's end may stand a comment
    comma = " " if text[:last].endswith(",") else ", " if node.value else ""
    return Splice(position, position, comma + _in_braces(rest, variables))


def _filled(
    text: str, keys: Sequence[ScalarNode], node: Node, rest: Sequence[str], variables: Mapping[str, str]
) -> list[Splice]:
    """A first entry below a key that has `{}` or no value."""
    key = keys[-1]
    start, end = _span(text, key, node, f"to add {rest[0]}")
    if not (isinstance(node, MappingNode) or node.tag == _NULL):
        raise EditError(f"{_where(key)}wanted a mapping below {key.value}, saw {_kind(node)}")
    if text[key.end_mark.index :].lstrip()[:1] != ":" or _braces_around(text, key):
        return [Splice(start, end, f"{{{_in_braces(rest, variables)}}}")]
    colon = text.index(":", key.end_mark.index) + 1
    line_end = text.find("\n", end) + 1 or len(text)
    lines = _lines(rest, variables, key.start_mark.column + _step(keys), _step(keys))
    below = _appended(text, lines) if line_end == len(text) else Splice(line_end, line_end, _block(text, lines))
    return [Splice(colon, end, ""), below]


def _braces_around(text: str, key: ScalarNode) -> bool:
    """Whether a key stands in braces: in its line something other than blanks comes before it."""
    line_start = text.rfind("\n", 0, key.start_mark.index) + 1
    return bool(text[line_start : key.start_mark.index].strip(" \t"))


def _end_of_block(text: str, node: MappingNode, column: int) -> int:
    """The end of a mapping's last line, with the comments that belong to its last entry: those that stand deeper."""
    lines = text.splitlines(keepends=True)
    stop = len(lines) if node.end_mark.index >= len(text) else node.end_mark.line
    last = stop
    while last > node.start_mark.line + 1 and _is_remark(lines[last - 1]):
        last -= 1
    for number in range(last, stop):
        if lines[number].strip() and len(lines[number]) - len(lines[number].lstrip()) > column:
            last = number + 1
        elif lines[number].strip():
            break
    return sum(map(len, lines[:last]))


def _is_remark(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _step(keys: Sequence[ScalarNode]) -> int:
    """By how much this file indents, as far as it shows here."""
    columns = [key.start_mark.column for key in keys[-2:]]
    return int(columns[1] - columns[0]) if len(columns) == 2 and columns[0] < columns[1] else 2


def _lines(path: Sequence[str], variables: Mapping[str, str], column: int, step: int) -> list[str]:
    steps = [f"{' ' * (column + step * depth)}{scalar(each)}:" for depth, each in enumerate(path)]
    deep = " " * (column + step * len(path))
    return steps + [f"{deep}{scalar(name)}: {scalar(value)}" for name, value in variables.items()]


def _in_braces(path: Sequence[str], variables: Mapping[str, str]) -> str:
    inner = ", ".join(f"{scalar(name)}: {scalar(value)}" for name, value in variables.items())
    text = f"{{{inner}}}" if inner else ""
    for step in reversed(path):
        text = f"{{{scalar(step)}: {text}}}" if text else f"{{{scalar(step)}: }}"
    return text[1:-1]


# --- checking ------------------------------------------------------------------------------------------------------


def _checked(text: str, splices: Sequence[Splice], expected: Tree) -> str:
    """The edited text, when it means what was meant and every line that was not touched is there, in its order."""
    after = text
    for splice in sorted(splices, key=lambda each: each.start, reverse=True):
        after = after[: splice.start] + splice.text + after[splice.end :]
    touched = {
        number
        for splice in splices
        if splice.start < splice.end or not _at_line_start(text, splice.start)
        for number in range(text.count("\n", 0, splice.start), text.count("\n", 0, splice.end) + 1)
    }
    now = iter(after.split("\n"))
    lost = [line for number, line in enumerate(text.split("\n")) if number not in touched and line not in now]
    try:
        meant = _tree(_mapping(after)) == expected
    except EditError as error:
        raise EditError(f"the edited file would not be what was meant ({error}): edit it by hand") from error
    if lost or not meant:
        what = f"it would lose the line {lost[0]!r}" if lost else "other values would change with it"
        raise EditError(f"the edited file would not be what was meant ({what}): edit it by hand")
    return after


def _at_line_start(text: str, position: int) -> bool:
    return position == 0 or text[position - 1] == "\n"
