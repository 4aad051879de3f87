# SPDX-License-Identifier: GPL-3.0-or-later
"""A resource's parameters, as people write them in a deploy or a playbook.

A resource is a dataclass, and its fields are its parameters: their names, kinds and defaults are read from there, so
that no front end says them a second time. What is written wrongly is refused, all of it at once.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, Union, get_args, get_origin, get_type_hints

from .resource import Resource
from .resources.mac_requirements import RootOnMac
from .size import Size
from .variables import WrongVariable


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `kind` is str, int, bool, list (of str) or dict (of str); `default` as people would write it."""

    name: str
    kind: str
    required: bool
    default: Any
    read: Callable[[Any], Any]


def parameters(resource: type[Any]) -> tuple[Parameter, ...]:
    """The parameters of a resource, in the order of its fields."""
    hints = get_type_hints(resource)
    return tuple(_parameter(each, hints[each.name]) for each in fields(resource) if not each.metadata.get("internal"))


def by_itself(
    resource: type[Resource], given: Mapping[str, Any]
) -> tuple[tuple[Resource, ...], tuple[WrongVariable, ...]]:
    """One resource and what it needs a Mac to be, from parameters (None: not given); or all that is wrong with them."""
    known = {parameter.name: parameter for parameter in parameters(resource)}
    read: dict[str, Any] = {}
    wrong = [
        WrongVariable(name, value, f"there is no such parameter; they are {', '.join(known)}")
        for name, value in given.items()
        if name not in known
    ]
    for parameter in known.values():
        value = given.get(parameter.name)
        try:
            if value is not None:
                read[parameter.name] = parameter.read(value)
            elif parameter.required:
                raise ValueError("it has to be given")
        except ValueError as error:
            wrong.append(WrongVariable(parameter.name, value, str(error)))
    if not wrong:
        try:
            return (RootOnMac(), resource(**read)), ()
        except ValueError as error:  # what only shows when they are put together
            wrong = [WrongVariable("parameters", ", ".join(read), str(error))]
    return (), tuple(wrong)


def _parameter(declared: Field[Any], hint: Any) -> Parameter:
    kind, read = _kind(hint)
    required = declared.default is MISSING and declared.default_factory is MISSING
    default = None if required else _default(declared)
    return Parameter(declared.name, kind, required, default, read)


def _default(declared: Field[Any]) -> Any:
    value = declared.default if declared.default_factory is MISSING else declared.default_factory()
    if isinstance(value, Size):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _kind(hint: Any) -> tuple[str, Callable[[Any], Any]]:
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (each for each in get_args(hint) if each is not types.NoneType)
    pairs = tuple[tuple[str, str], ...]
    kinds: Mapping[Any, tuple[str, Callable[[Any], Any]]] = {
        str: ("str", _text),
        int: ("int", _whole),
        bool: ("bool", _flag),
        Size: ("str", Size.parse),
        tuple[str, ...]: ("list", _texts),
        Mapping[str, str]: ("dict", lambda value: dict(_pairs(value))),
        pairs: ("dict", lambda value: tuple(_pairs(value))),
    }
    return kinds[hint]


def _text(value: Any) -> str:
    if not isinstance(value, str) or any(character in value for character in "\r\n\0"):
        raise ValueError("it is a text of one line")
    return str(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("it is a whole number")
    return int(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("it is true or false")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("it is a list of texts")
    return tuple(map(_text, value))


def _pairs(value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        raise ValueError("it is a mapping of names to texts")
    for name, text in value.items():
        if isinstance(text, bool):  # YAML's yes and no
            raise ValueError(f"{name} is {text}, which YAML makes of yes, no, on and off too: put it in quotes")
        yield _text(name), _text(str(text) if isinstance(text, int) else text)
