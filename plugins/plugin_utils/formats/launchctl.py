# SPDX-License-Identifier: GPL-3.0-or-later
"""What `launchctl print system/LABEL` and `launchctl print-disabled system` say.

Apple calls the output no API. What is relied on (macos_commands §2.1, §2.2): the job's own fields have exactly one tab
before them, while the blocks inside repeat names such as `state` deeper; an argument may hold line breaks and anything
after them; a field that has no value is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_HEADER = re.compile(r"(?:system|(?:gui|user|login|pid|session)/[0-9]+)/(?P<label>.+) = \{")
_FIELD = re.compile(r"\t(?P<name>[^\t=][^=]*?) = (?P<value>.*)")
_OVERRIDE = re.compile(r'\s*"(?P<label>.*)"\s*=>\s*(?P<state>\S+)\s*')
_OVERRIDES_BEGIN = re.compile(r"\s*disabled services = \{\s*")
_NO_OVERRIDES = re.compile(r"\s*disabled services = \(no disabled services\)\s*")
_OVERRIDE_STATES = {"disabled": True, "true": True, "enabled": False, "false": False}  # 26.x and older ones


class LaunchctlError(ValueError):
    """The text is not what launchctl is known to print: nothing may be concluded from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A loaded job. A job that is not loaded has no such text: `launchctl print` then ends with status 113.

    `state` is launchctl's word: running, not running, spawn scheduled, exited, ... `pid` is None unless the job is
    alive. `last_exit_code` is None if the job never exited or a signal ended it; the signal's text (`Killed: 9`) is
    `last_signal`. `runs` counts the starts since the job was loaded.
    """

    label: str
    path: str | None
    state: str
    pid: int | None = None
    runs: int | None = None
    last_exit_code: int | None = None
    last_signal: str | None = None
    program: str | None = None
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def is_leaving(self) -> bool:
        """Whether it was told to go: it was booted out, and is still there until its process has ended."""
        return self.state in ("SIGTERMed", "SIGKILLed")


def parse_print(text: str) -> Job:
    """Reads the output of `launchctl print system/LABEL` (status 0). Raises LaunchctlError if it is not that.

    An argument whose own line breaks are followed by two tabs cannot be told from two arguments, and one with a line
    that is a tab and a brace ends the list: compare arguments with what a plist wants only to see a difference.
    """
    lines = text.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    headers = ((index, _HEADER.fullmatch(line)) for index, line in enumerate(lines))
    start, header = next(((index, match) for index, match in headers if match is not None), (0, None))
    if header is None or lines[-1] != "}":
        first, last = (lines[0], lines[-1]) if lines else ("", "")
        raise LaunchctlError(
            f"launchctl print: wanted a text from `system/LABEL = {{` to `}}`, saw {len(lines)} lines, the first "
            f"{first!r:.80}, the last {last!r:.80}; it may be cut off: ask again"
        )
    fields, blocks = _fields_and_blocks(lines[start + 1 : -1])
    label = header["label"]
    if "state" not in fields:
        raise LaunchctlError(f"launchctl print: wanted a line `state = ...` for {label}, saw none; ask again")
    return Job(
        label=label,
        path=fields.get("path"),
        state=fields["state"],
        pid=_number(fields, "pid", label),
        runs=_number(fields, "runs", label),
        last_exit_code=_exit_code(fields, label),
        last_signal=fields.get("last terminating signal"),
        program=fields.get("program"),
        arguments=tuple(_entries(blocks.get("arguments", []))),
        environment=_environment(blocks.get("environment", [])),
    )


def parse_disabled(text: str) -> dict[str, bool]:
    """Label → whether it is disabled, from `launchctl print-disabled system`, of every macOS. Not listed = enabled.

    Where there are no overrides it says `disabled services = (no disabled services)`, or an empty list. Raises
    LaunchctlError if the list is not there or says something else than disabled or enabled.
    """
    overrides: dict[str, bool] = {}
    lines = iter(text.split("\n"))
    if _NO_OVERRIDES.fullmatch(text):
        return overrides
    if not any(_OVERRIDES_BEGIN.fullmatch(line) for line in lines):
        raise LaunchctlError(
            f"launchctl print-disabled: wanted a line `disabled services = {{`, saw {text!r:.120}; ask again"
        )
    for line in lines:
        if line.strip() == "}":
            return overrides
        match = _OVERRIDE.fullmatch(line)
        if match is None or match["state"] not in _OVERRIDE_STATES:
            raise LaunchctlError(
                'launchctl print-disabled: wanted `"LABEL" => disabled`, enabled, true or false, saw '
                f"{line!r:.120}; this macOS writes it differently: please report it"
            )
        overrides[match["label"]] = _OVERRIDE_STATES[match["state"]]
    raise LaunchctlError(
        "launchctl print-disabled: wanted a `}` at the end of the list, saw none; it is cut off: ask again"
    )


def _fields_and_blocks(lines: list[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The one-tab fields, and the lines of each one-tab block. The first of a name counts: none is repeated."""
    fields: dict[str, str] = {}
    blocks: dict[str, list[str]] = {}
    remaining = iter(lines)
    for line in remaining:
        match = _FIELD.fullmatch(line)
        if match is None:
            continue
        if match["value"] == "{":
            blocks.setdefault(match["name"], list(_until_end_of_block(remaining)))
        else:
            fields.setdefault(match["name"], match["value"])
    return fields, blocks


def _until_end_of_block(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if line == "\t}":
            return
        yield line
    raise LaunchctlError("launchctl print: wanted a line with a tab and `}` at the end of a block, saw none; ask again")


def _entries(lines: list[str]) -> Iterator[str]:
    """The entries of a block; a line without the two tabs goes on with the entry before it."""
    entry: str | None = None
    for line in lines:
        if entry is None or line.startswith("\t\t"):
            if entry is not None:
                yield entry
            entry = line.removeprefix("\t\t")
        else:
            entry += "\n" + line
    if entry is not None:
        yield entry


def _environment(lines: list[str]) -> dict[str, str]:
    pairs = (entry.partition(" => ") for entry in _entries(lines))
    return {name: value for name, _arrow, value in pairs}


def _number(fields: dict[str, str], name: str, label: str) -> int | None:
    seen = fields.get(name)
    if seen is None:
        return None
    if not re.fullmatch(r"[0-9]+", seen, re.ASCII):
        raise LaunchctlError(f"launchctl print: wanted a number for `{name}` of {label}, saw {seen!r}; ask again")
    return int(seen)


def _exit_code(fields: dict[str, str], label: str) -> int | None:
    seen = fields.get("last exit code")
    if seen is None or seen == "(never exited)":
        return None
    match = re.fullmatch(r"(-?[0-9]+)(?:: .*)?", seen, re.ASCII)  # 78 is written `78: EX_CONFIG`
    if match is None:
        raise LaunchctlError(
            f"launchctl print: wanted a number for `last exit code` of {label}, saw {seen!r}; ask again"
        )
    return int(match[1])
