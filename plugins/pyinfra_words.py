# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of a command line for pyinfra, which ends in tracebacks at some, and finds nobody by others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path


class WrongWords(Exception):
    """The command line cannot be meant. The text says what was wanted and what was seen."""


def fitting(arguments: Sequence[str]) -> list[str]:
    """The arguments as pyinfra takes them; `--limit` as Ansible has it: names, commas, and `!name`. Raises WrongWords."""
    words: list[str] = []
    given = iter(arguments)
    for word in given:
        name, equals, value = word.partition("=")
        if name not in ("--limit", "--data"):
            words.append(word)
            continue
        if not equals:
            value = next(given, "")
        words += _limit(value) if name == "--limit" else _data(value)
    for word in words[:2]:
        if word.endswith(".py") and not word.startswith("-") and not Path(word).is_file():
            raise WrongWords(f"wanted INVENTORY and DEPLOY, saw {word}, and there is no such file")
    return words


def _data(value: str) -> list[str]:
    if not re.match(r"[^=\s]+=", value):
        raise WrongWords(f"--data wants NAME=VALUE, such as linux_builder_cores=8, saw {value!r}")
    return ["--data", value]


def _limit(value: str) -> Iterator[str]:
    if not value or value.startswith("-"):
        raise WrongWords(f"--limit wants a host's or a group's name, saw {value!r}")
    for part in filter(None, re.split("[,:]", value)):
        if re.match(r"[&~@]", part) or "[" in part:
            raise WrongWords(
                f"--limit takes names, * and !name, with commas between them, saw {value!r}; for all of Ansible's patterns set "
                f"BUILDERFLEET_LIMIT={value!r}"
            )
        yield from ("--exclude", part[1:]) if part.startswith("!") else ("--limit", part)
