# SPDX-License-Identifier: GPL-3.0-or-later
"""One Host block in a file of its own under /etc/ssh/ssh_config.d, and that ssh really reads it.

It is system-wide because it is root's ssh, started by the Nix daemon, that has to find it. A frozen guest behind QEMU's
user network still accepts TCP, and Nix sets no timeouts: without those in the block, builds hang
(`facts/nix_configuration §3`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..asking import Answers, Question, Replies, Request, Unknown, run
from ..files import diff, in_the_way, no_file, own_file
from ..formats import ssh_config
from ..ledger import LEDGER, PARENT, edited, ledger, taken_back
from ..questions.file import File, Kind
from ..resource import Blocked, Change, Step
from ..shell import quote

SSH_CONFIG = File("/etc/ssh/ssh_config")
DIRECTORY = "/etc/ssh/ssh_config.d"


@dataclass(frozen=True, slots=True)
class EffectiveSshConfig:
    """What ssh makes of its system-wide files for a host."""

    alias: str

    def requests(self) -> tuple[Request, ...]:
        return (run("/usr/bin/ssh", "-G", "-F", SSH_CONFIG.path, self.alias),)

    def answer(self, replies: Replies) -> dict[str, list[str]]:
        ran = replies.ran(0)
        if ran.status != 0:
            raise Unknown(f"ssh -G {self.alias} ended with status {ran.status}: {ran.errors.strip()}")
        return ssh_config.effective(ran.output)


@dataclass(frozen=True, slots=True, kw_only=True)
class SshHost:
    """The block for `alias`, in `DIRECTORY`/`file`."""

    alias: str
    file: str
    options: tuple[tuple[str, str], ...] = ()
    present: bool = True

    def __post_init__(self) -> None:
        if "/" in self.file or self.file in ("", ".", ".."):
            raise ValueError(f"file: wanted the name of a file in {DIRECTORY}, saw {self.file!r}")

    @property
    def title(self) -> str:
        return f"ssh host {self.alias}"

    @property
    def path(self) -> str:
        return f"{DIRECTORY}/{self.file}"

    def questions(self) -> Iterator[Question[Any]]:
        yield from (File(self.path), SSH_CONFIG, LEDGER, PARENT)
        if self.present:
            yield EffectiveSshConfig(self.alias)

    def changes(self, answers: Answers) -> Iterator[Step]:
        yield from self._converge(answers) if self.present else self._remove(answers)

    def _converge(self, answers: Answers) -> Iterator[Step]:
        data = ssh_config.Host(self.alias, self.options).render()
        check = f'/usr/bin/ssh -G -F "$new" {quote(self.alias)} >/dev/null || fail "ssh refuses the new block"'
        steps = list(
            own_file(
                f"write {self.title}",
                self.path,
                answers[File(self.path)],
                data,
                check=check,
                before=f"[ -d {DIRECTORY} ] || mkdir -m 0755 {DIRECTORY}\n",
            )
        )
        steps += self._include(answers)
        yield from steps
        if not steps:
            yield from self._overridden(answers)

    def _include(self, answers: Answers) -> Iterator[Step]:
        found = answers[SSH_CONFIG]
        if ssh_config.includes_directory(found.content or b""):
            return
        if found.kind not in (Kind.FILE, Kind.ABSENT):
            yield Blocked(
                f"{SSH_CONFIG.path} does not include {DIRECTORY} and is a {found.kind.value}",
                f"Have whoever manages it add: Include {DIRECTORY}/*",
            )
            return
        data = ssh_config.with_include(found.content or b"")
        yield Change(
            f"have {SSH_CONFIG.path} include {DIRECTORY}",
            edited(
                answers,
                SSH_CONFIG,
                data,
                former={self.alias: None},
                check=f'/usr/bin/ssh -G -F "$new" {quote(self.alias)} >/dev/null',
            ),
            (diff(SSH_CONFIG.path, found, found.with_content(data)),),
        )

    def _overridden(self, answers: Answers) -> Iterator[Step]:
        effective = answers[EffectiveSshConfig(self.alias)]
        for keyword, wanted in self.options:
            seen = effective.get(keyword.lower(), [])
            if keyword.lower() in _SHOWN and wanted.lower() not in [value.lower() for value in seen]:
                yield Blocked(
                    f"{self.path} says {keyword} {wanted} for {self.alias}, but ssh uses {' '.join(seen) or 'nothing'}",
                    f"Another block that ssh reads first overrides it: see `ssh -v -F {SSH_CONFIG.path} {self.alias}`",
                )
                return

    def _remove(self, answers: Answers) -> Iterator[Step]:
        yield from no_file(f"remove {self.title}", self.path, answers[File(self.path)])
        entry = ledger(answers).files.get(SSH_CONFIG.path)
        if entry is not None and self.alias in entry.former:
            found = answers[SSH_CONFIG]
            if found.kind not in (Kind.FILE, Kind.ABSENT):
                yield in_the_way(SSH_CONFIG.path, found)
                return
            others = entry.former.keys() - {self.alias}
            now = found.content or b""
            without = now if others else ssh_config.without_include(now)
            yield Change(f"put {SSH_CONFIG.path} back as it was", taken_back(answers, SSH_CONFIG, without, self.alias))


# What `ssh -G` shows in the words that it was given in. Others it rewrites (paths, "yes" as "true").
_SHOWN = frozenset({"hostname", "port", "user", "hostkeyalias"})
