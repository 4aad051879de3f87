# SPDX-License-Identifier: GPL-3.0-or-later
"""A resource's parameters, as people write them in a deploy or a playbook.

A resource is a dataclass, and its fields are its parameters: their names, kinds and defaults are read from there, so
that no front end says them a second time. What is written wrongly is refused, all of it at once.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, Union, get_args, get_origin, get_type_hints

from .readers import Read, WrongParameter, flag, list_of, pairs, text, whole, word
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
    read: Read


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
        WrongVariable(name, f"there is no such parameter; they are {', '.join(known)}")
        for name in given
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
            wrong.append(WrongVariable(parameter.name, str(error)))
    if not wrong:
        try:
            made = resource(**read)
            requirements: Callable[[], Resource] = getattr(made, "requirements", RootOnMac)
            return (requirements(), made), ()
        except WrongParameter as error:  # what only shows when they are put together
            wrong = [WrongVariable(error.name, str(error))]
    return (), tuple(wrong)


def _parameter(declared: Field[Any], hint: Any) -> Parameter:
    kind, read = _kind(hint)
    read = declared.metadata.get("read", read)
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


def _kind(hint: Any) -> tuple[str, Read]:
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (each for each in get_args(hint) if each is not types.NoneType)
    named = tuple[tuple[str, str], ...]
    kinds: Mapping[Any, tuple[str, Read]] = {
        str: ("str", text),
        int: ("int", whole(0)),
        bool: ("bool", flag),
        Size: ("str", Size.parse),
        tuple[str, ...]: ("list", list_of(word, "a text")),
        Mapping[str, str]: ("dict", lambda value: dict(pairs(value))),
        named: ("dict", lambda value: tuple(pairs(value))),
    }
    return kinds[hint]
