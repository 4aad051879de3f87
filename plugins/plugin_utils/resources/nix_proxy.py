# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy of Nix's daemon, where it was asked for: two variables in the environment of its launchd job.

On macOS nothing else gives it one (`facts/field_reports 11`). The job's file is the installer's: it is edited as a foreign
file is, and comes back byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..asking import Answers, Question
from ..files import diff, in_the_way
from ..formats import plist
from ..ledger import LEDGER, PARENT, edited, ledger, taken_back
from ..questions.file import File, Kind
from ..questions.launchd import LaunchdJob
from ..questions.nix import DAEMONS
from ..resource import Blocked, Change, Step
from ..shell import quote
from .launchd_daemon import LAUNCHD
from .nix_daemon import label_of
from .nix_installation import plist_of
from .nix_setting import ANSWERS

PART = "proxy"
NAMES = ("http_proxy", "https_proxy")
_ENVIRONMENT = "EnvironmentVariables"
_LINT = '/usr/bin/plutil -lint "$new" || fail "plutil refuses the new plist"'


@dataclass(frozen=True, slots=True)
class NixProxy:
    """The proxy of the daemon, a URL; none: what was there before."""

    url: str = field(default="", repr=False)

    @property
    def title(self) -> str:
        return "proxy of the Nix daemon"

    def questions(self) -> Iterator[Question[Any]]:
        yield from (LEDGER, PARENT)
        for label in DAEMONS:
            yield from (plist_of(label), _file(label), LaunchdJob(label))

    def changes(self, answers: Answers) -> Iterator[Step]:
        label = label_of(answers) or DAEMONS[-1]  # where there is none yet: the one that the installer makes
        found = answers[_file(label)]
        if not self.url and not any(_file(each).path in ledger(answers).files for each in DAEMONS):
            return
        if found.kind not in (Kind.FILE, Kind.ABSENT):
            yield in_the_way(_file(label).path, found)
            return
        try:
            definition = plist.load(found.content) if found.content else {}
        except plist.PlistError as error:
            yield Blocked(f"{_file(label).path} is no property list: {error}", "Repair this Nix with its installer")
            return
        yield from self._set(answers, label, definition) if self.url else self._unset(answers, label, definition)

    def _set(self, answers: Answers, label: str, definition: Mapping[str, Any]) -> Iterator[Step]:
        file, job = _file(label), answers[LaunchdJob(label)].job
        wanted = dict.fromkeys(NAMES, self.url)
        environment = {**_environment(definition), **wanted}
        summary = f"give {label} the proxy, which ends the builds that run in it"
        if definition.get(_ENVIRONMENT) != environment:
            data = plist.dump({**definition, _ENVIRONMENT: environment})
            theirs = {name: each for name in NAMES if (each := _environment(definition).get(name))}
            former = json.dumps(theirs) if theirs else None  # of several edits the ledger keeps what the first replaced
            script = edited(answers, file, data, check=_LINT, former={PART: former})
            shown = (diff(file.path, answers[file], answers[file].with_content(data)),)
            yield Change(summary, script + _again(label), shown, limit=300)
        elif job is not None and any(job.environment.get(name) != self.url for name in NAMES):
            yield Change(summary, _again(label), limit=300)

    def _unset(self, answers: Answers, label: str, definition: Mapping[str, Any]) -> Iterator[Step]:
        for each in DAEMONS:
            file = _file(each)
            if file.path not in ledger(answers).files:
                continue
            ours = each == label and not answers[file].absent
            theirs = json.loads(ledger(answers).files[file.path].former.get(PART) or "{}")
            others = {name: value for name, value in _environment(definition).items() if name not in NAMES}
            environment = {**others, **theirs}
            without = {name: value for name, value in definition.items() if name != _ENVIRONMENT}
            data = plist.dump({**without, _ENVIRONMENT: environment} if environment else without) if ours else b""
            yield Change(
                f"take the proxy from {each}",
                taken_back(answers, file, data, PART) + (_again(each) if ours else ""),
                limit=300,
            )


def _file(label: str) -> File:
    return File(plist_of(label).path)


def _environment(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    found = definition.get(_ENVIRONMENT)
    return found if isinstance(found, Mapping) else {}


def _again(label: str) -> str:
    """The script that has launchd read the file anew."""
    return f"{LAUNCHD}{ANSWERS}unload {label} 60\nload {label} {quote(plist_of(label).path)}\nanswers {label}\n"
