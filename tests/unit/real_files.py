# SPDX-License-Identifier: GPL-3.0-or-later
"""A Mac whose files are real ones in a sandbox: changes are planned from what is there, and their scripts really run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.asking import Answers, Question
from builderfleet.plugin_utils.ledger import BACKUPS, LEDGER, PARENT, Ledger, ledger
from builderfleet.plugin_utils.questions.file import NOTHING, File, Found, Metadata
from builderfleet.plugin_utils.resource import Change, Resource

from tests.unit.answers import answers, directory, file
from tests.unit.sandbox import Sandbox


class RealFiles:
    """`others` are the answers to what is asked besides files."""

    def __init__(self, sandbox: Sandbox, others: Mapping[Question[Any], Any] | None = None) -> None:
        self.sandbox = sandbox
        self.others = others or {}

    def found(self, path: str) -> Found:
        here = self.sandbox / path
        if not here.exists():
            return NOTHING
        metadata = here.stat()
        uid = 0 if metadata.st_uid == os.getuid() else metadata.st_uid  # whoever runs the tests is root in the sandbox
        gid = 0 if metadata.st_gid == os.getgid() else metadata.st_gid
        owned = (metadata.st_mode & 0o7777, uid, gid)
        return directory(*owned) if here.is_dir() else file(here.read_bytes(), *owned)

    def content(self, path: str) -> bytes | None:
        here = self.sandbox / path
        return here.read_bytes() if here.exists() else None

    def do(self, script: str) -> None:
        ran = self.sandbox.run(shell.wrap(f"set -eu\n{shell.LIBRARY}\n{script}"))
        assert ran.returncode == 0, ran.stderr

    def book(self) -> Ledger:
        return ledger(Answers.given({each: self.found(each.path) for each in (LEDGER, PARENT)}))

    def forgot(self, path: str) -> bool:
        return path not in self.book().files and self.sandbox.files(BACKUPS) == {}

    def converge(self, resource: Resource) -> list[str]:
        """Make the first change of a resource until it has none, as a run does; the summaries of what was made."""
        made: list[str] = []
        while steps := list(resource.changes(self._answers(resource))):
            assert isinstance(steps[0], Change), steps[0]
            made.append(steps[0].summary)
            assert made.count(steps[0].summary) == 1, f"made twice: {made}"
            self.do(steps[0].script)
        return made

    def _answers(self, resource: Resource) -> Answers:
        asked = (each for each in resource.questions() if isinstance(each, File | Metadata))
        return answers(resource, {**{each: self.found(each.path) for each in asked}, **self.others})
