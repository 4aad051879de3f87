# SPDX-License-Identifier: GPL-3.0-or-later
"""One builder in /etc/nix/machines, in the words that every Nix and Lix version reads.

The file is read again by every build hook, so a change needs no restart (`facts/nix_configuration §2`). One line that the
Mac's own Nix cannot read switches all builders off, and an inline `builders =` in Nix's configuration replaces the whole
file. Where such a line is somebody else's it needs a person: a copy of it in a file of ours would not follow its owner.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .. import readers
from ..asking import Answers, Question
from ..files import diff, in_the_way
from ..formats import machines
from ..ledger import LEDGER, PARENT, edited, ledger, taken_back
from ..questions.file import File, Found, Kind, Pointed
from ..questions.mac import Mac
from ..questions.nix import NixBuildHook, NixConfiguration, NixSources, NixVersion, Source
from ..readers import features, machine_path, maybe, public_key, reads, store_uri, whole
from ..resource import Blocked, Change, Step
from .nix_setting import CUSTOM_CONF, NIX_CONF, NIX_DARWIN, NixSetting

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
        yield from (
            MACHINES,
            Pointed(MACHINES.path),
            Mac(),
            NixConfiguration(),
            NixSources(),
            NixVersion(),
            NixBuildHook(),
            LEDGER,
            PARENT,
        )
        yield from NixSetting(setting="builders").questions()

    def changes(self, answers: Answers) -> Iterator[Step]:
        found = answers[MACHINES]
        if not self.present and MACHINES.path not in ledger(answers).files and not _is_plain(found):
            return  # another tool's, and nothing of ours is in it
        if found.kind is Kind.LINK:
            yield from self._linked(answers, found)
        elif found.kind not in (Kind.FILE, Kind.ABSENT):
            yield in_the_way(MACHINES.path, found)
        elif machines.is_toml(found.content or b""):
            yield from self._in_toml(answers, found)
        elif self.present:
            yield from self._converge(answers, found)
        else:
            yield from self._remove(answers, found)

    def _linked(self, answers: Answers, found: Found) -> Iterator[Step]:
        """A link is another tool's; that the machine stands in what it leads to is enough."""
        content = answers[Pointed(MACHINES.path)]
        wanted = self.wanted(answers)
        if self.present and content is not None and wanted in [each for _line, each in _machines(content)]:
            yield from self._unread(answers, content, content)
            yield from self._hidden(answers)
            return
        yield Blocked(
            f"{MACHINES.path} is a link (to {found.target or 'nothing'}): another tool, such as nix-darwin, writes it",
            f"Have that tool write this line there: `{wanted.line().decode()}`; or, {NIX_DARWIN}"
            if self.present
            else f"Have that tool take {self.uri} out",
        )

    def _in_toml(self, answers: Answers, found: Found) -> Iterator[Step]:
        content, version = found.content or b"", answers[NixVersion()]
        if not machines.Reader.of(version).toml:
            yield Blocked(
                f"{MACHINES.path} is written in TOML, which the Nix of this Mac ({version}) does not read: it has no builder",
                "Write it with one machine on a line, or remove it, and run again",
            )
        elif self.present == (self.uri in machines.toml_uris(content)):
            yield from self._hidden(answers) if self.present else ()
        else:
            yield Blocked(
                f"{MACHINES.path} is written in TOML, which Lix reads from 2.95 on, and which builderfleet does not edit",
                f"{'Add the machine' if self.present else 'Take out'} {self.uri} there by hand, or turn the file into one"
                " line a machine",
            )

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

    def wanted(self, answers: Answers) -> machines.Machine:
        """The machine as it has to be registered on this Mac."""
        return self._machine(self.systems or (answers[Mac()].linux_system,))

    def _converge(self, answers: Answers, found: Found) -> Iterator[Step]:
        now = found.content or b""
        data = machines.with_machine(now, self.wanted(answers))
        unread = list(self._unread(answers, now, data))
        if unread:
            yield from unread
        elif data != now or not found.has(found.mode | 0o444, found.uid, found.gid):
            what = f"register {self.uri} in" if data != now else "let everybody read"
            yield Change(
                f"{what} {MACHINES.path}",
                edited(answers, MACHINES, data, readable=True, former={self.uri: None}),
                (diff(MACHINES.path, found, found.with_content(data)),),
            )
        yield from self._hidden(answers)

    def _unread(self, answers: Answers, now: bytes, data: bytes) -> Iterator[Blocked]:
        """Lines of others because of which the Mac's own Nix, as its build hook says, has no builder at all.

        Lix' hook is not asked: what is known of its parser has to do. Without Nix nobody reads the file yet.
        """
        version, said = answers[NixVersion()], answers[NixBuildHook()]
        reader = machines.Reader.of(version)
        if not version or not (said or reader.lix) or answers[NixConfiguration()].error:
            return  # with a configuration that Nix does not read its hook gets no further
        faults = {each.line: each.reason for each in reversed(machines.problems(data, reader))}
        reason = re.sub("'[^']*'", "…", said.splitlines()[-1].strip().removeprefix("error: ")) if said else ""
        faults = faults or dict.fromkeys(machines.named(data, said), f"{version} does not read it ({reason})")
        for line, why in sorted(faults.items()):
            yield Blocked(
                f"{MACHINES.path}, line {line}: {why}; with it this Mac has no builder at all",
                "The line is not builderfleet's, so it stays as it is: put it right on that Mac and run again",
            )
        if not faults and said and data == now:
            yield Blocked(
                f"{version} does not read which builders there are ({reason}), and has none at all",
                f"The line stands in {MACHINES.path}, in a file that is named there with @, or in `builders` of Nix's"
                " configuration: put it right on that Mac and run again",
            )

    def _hidden(self, answers: Answers) -> Iterator[Step]:
        """What makes Nix read the machines file, where an inline `builders =` keeps it from doing so."""
        configuration, reader = answers[NixConfiguration()], machines.Reader.of(answers[NixVersion()])
        builders = configuration.settings.get("builders", _INCLUDE)
        lines = [each for each in answers[NixSources()] if each.name == "builders"]
        ours = _ours(answers, lines)
        if machines.includes(builders, MACHINES.path, reader):
            yield from self._unfollowed(answers, ours, [each for each in lines if each != ours])
        elif not lines:
            yield _OF_THE_ENVIRONMENT
        elif not builders:
            yield from _SHOWN.changes(answers)
        else:
            yield _inline(lines[-1].where)

    def _unfollowed(self, answers: Answers, ours: Source | None, others: list[Source]) -> Iterator[Step]:
        """Somebody's line that one of ours hides: what its owner writes there would have no effect."""
        hidden = others[-1] if ours is not None and others else None
        if ours is None or hidden is None or hidden.other == Source.EMPTY:
            return
        if hidden.other == Source.ALL:
            yield from NixSetting(setting="builders", present=False).changes(answers)
        else:
            yield Blocked(
                f"{hidden.where}, sets builders, but has no effect, because {ours.where}, builderfleet's own, comes later",
                f"Put `;{_INCLUDE}` at the end of {hidden.where}, without a blank, and run again: builderfleet's line goes then",
            )

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


_SHOWN = NixSetting(setting="builders", value=_INCLUDE)


def _ours(answers: Answers, lines: list[Source]) -> Source | None:
    """The line that is builderfleet's own, not somebody's that it edited in place."""
    files = ledger(answers).files
    own = [
        path
        for path in (CUSTOM_CONF.path, NIX_CONF.path)
        if path in files and files[path].former.get("builders", "") is None
    ]
    return next((each for each in reversed(lines) if each.file in own), None)


_OF_THE_ENVIRONMENT = Blocked(
    f"the environment of Nix's daemon (NIX_CONFIG, or NIX_REMOTE_SYSTEMS) sets builders, which hides {MACHINES.path}",
    f"Take it out of EnvironmentVariables in the daemon's plist, or let it say `builders = {_INCLUDE}`, and load it again",
)


def _inline(where: str) -> Blocked:
    """Copied into a file of ours the value would not follow its owner's later changes."""
    return Blocked(
        f"{where}, sets builders, which hides {MACHINES.path}: Nix does not know what is registered there",
        f"Put `;{_INCLUDE}` at the end of that line, without a blank; where another tool writes it, have that tool do so"
        f" ({NIX_DARWIN})",
    )


def _machines(content: bytes) -> tuple[tuple[int, machines.Machine], ...]:
    return () if machines.is_toml(content) else machines.machines(content)


def _is_plain(found: Found) -> bool:
    return found.absent or (found.kind is Kind.FILE and not machines.is_toml(found.content or b""))
