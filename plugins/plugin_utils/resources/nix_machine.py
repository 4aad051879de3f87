# SPDX-License-Identifier: GPL-3.0-or-later
"""One builder in /etc/nix/machines, in the words that every Nix and Lix version reads.

The file is read again by every build hook, so a change needs no restart (`facts/nix_configuration §2`). An inline
`builders =` in Nix's configuration replaces the whole file: that is seen, and the file is named there as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .. import readers
from ..asking import Answers, Question
from ..files import diff, in_the_way
from ..formats import machines
from ..ledger import LEDGER, PARENT, edited, ledger, taken_back
from ..questions.file import File, Found, Kind
from ..questions.mac import Mac
from ..questions.nix import NixConfiguration
from ..readers import features, machine_path, maybe, public_key, reads, store_uri, whole
from ..resource import Blocked, Change, Step
from .nix_setting import NixSetting

MACHINES = File("/etc/nix/machines")
_INCLUDE = f"@{MACHINES.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NixMachine:
    """The machine with the store URI `uri`. No `systems` means the Linux that the Mac's own processor runs.

    `host_key` is the public host key's line; `ssh_key` the path of the client's private key on the Mac.
    """

    uri: str = field(metadata=reads(store_uri))
    systems: tuple[str, ...] = field(default=(), metadata=reads(readers.systems))
    ssh_key: str = field(default="", metadata=reads(maybe(machine_path)))
    max_jobs: int = field(default=1, metadata=reads(whole(1)))
    speed_factor: int = field(default=1, metadata=reads(whole(1)))
    supported_features: tuple[str, ...] = field(default=(), metadata=reads(features))
    mandatory_features: tuple[str, ...] = field(default=(), metadata=reads(features))
    host_key: str = field(default="", metadata=reads(maybe(public_key)))
    present: bool = True

    @property
    def title(self) -> str:
        return f"Nix machine {self.uri}"

    def questions(self) -> Iterator[Question[Any]]:
        yield from (MACHINES, Mac(), NixConfiguration(), LEDGER, PARENT)
        yield from NixSetting(setting="builders").questions()

    def changes(self, answers: Answers) -> Iterator[Step]:
        found = answers[MACHINES]
        if not self.present and MACHINES.path not in ledger(answers).files and not _is_plain(found):
            return  # another tool's, and nothing of ours is in it
        if found.kind in (Kind.DIRECTORY, Kind.OTHER):
            yield in_the_way(MACHINES.path, found)
        elif found.kind is Kind.LINK:
            yield Blocked(
                f"{MACHINES.path} is a link (to {found.target or 'nothing'}): another tool, such as "
                "nix-darwin, writes it",
                f"Have that tool write the machine {self.uri}, or set nix.distributedBuilds = false and remove the link",
            )
        elif machines.is_toml(found.content or b""):
            yield Blocked(
                f"{MACHINES.path} is written in TOML, which only Lix reads",
                f"Add the machine {self.uri} there by hand, or turn the file into one line a machine",
            )
        elif self.present:
            yield from self._converge(answers, found)
        else:
            yield from self._remove(answers, found)

    def _machine(self, systems: tuple[str, ...]) -> machines.Machine:
        return machines.Machine(
            uri=self.uri,
            systems=systems,
            ssh_key=self.ssh_key,
            max_jobs=self.max_jobs,
            speed_factor=self.speed_factor,
            supported_features=self.supported_features,
            mandatory_features=self.mandatory_features,
            host_key=self.host_key,
        )

    def _converge(self, answers: Answers, found: Found) -> Iterator[Step]:
        now = found.content or b""
        data = machines.with_machine(now, self._machine(self.systems or (answers[Mac()].linux_system,)))
        if data != now or not found.has(found.mode | 0o444, found.uid, found.gid):
            what = f"register {self.uri} in" if data != now else "let everybody read"
            yield Change(
                f"{what} {MACHINES.path}",
                edited(answers, MACHINES, data, readable=True, former={self.uri: None}),
                (diff(MACHINES.path, found, found.with_content(data)),),
            )
        hidden = self._hidden(answers)
        if hidden is not None:
            yield from hidden.changes(answers)

    def _hidden(self, answers: Answers) -> NixSetting | None:
        """The setting that makes Nix read the machines file, where an inline one keeps it from doing so."""
        builders = answers[NixConfiguration()].settings.get("builders", _INCLUDE)
        if _INCLUDE in machines.inline_builders(builders):
            return None
        # Without a blank before the @: parsers before 2.24.15 drop the include silently when there is one.
        return NixSetting(setting="builders", value=f"{builders};{_INCLUDE}" if builders else _INCLUDE)

    def _remove(self, answers: Answers, found: Found) -> Iterator[Step]:
        entry = ledger(answers).files.get(MACHINES.path)
        without = machines.without_machine(found.content or b"", self.uri)
        if found.content not in (None, without) or (entry is not None and self.uri in entry.former):
            yield Change(
                f"take {self.uri} out of {MACHINES.path}",
                taken_back(answers, MACHINES, without, self.uri),
                (diff(MACHINES.path, found, found.with_content(without)),),
            )
        inline = answers[NixConfiguration()].settings.get("builders", "")
        if inline == _INCLUDE or inline.endswith(f";{_INCLUDE}"):
            yield from NixSetting(setting="builders", value=inline, present=False).changes(answers)


def _is_plain(found: Found) -> bool:
    return found.absent or (found.kind is Kind.FILE and not machines.is_toml(found.content or b""))
