# SPDX-License-Identifier: GPL-3.0-or-later
"""One Host block in a file of its own under /etc/ssh/ssh_config.d, and that ssh really reads it.

It is system-wide because it is root's ssh, started by the Nix daemon, that has to find it. What counts is what that ssh
has in effect: root's own configuration and the files before ours are read first, and of each keyword the first counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import readers
from ..asking import Answers, Question
from ..files import diff, in_the_way
from ..formats import ssh_config
from ..formats.ssh_config import Setting
from ..ledger import LEDGER, PARENT, WholeFile, edited, ledger, taken_back
from ..questions.file import File, Kind
from ..questions.ssh import EffectiveSshConfig, SshConfiguration
from ..readers import WrongParameter, file_name, reads
from ..resource import Blocked, Change, Step
from ..shell import quote

SSH_CONFIG = File("/etc/ssh/ssh_config")
DIRECTORY = "/etc/ssh/ssh_config.d"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshHost:
    """The block for `alias`, in `DIRECTORY`/`file`."""

    alias: str = field(metadata=reads(readers.alias))
    file: str = field(metadata=reads(file_name))
    options: tuple[tuple[str, str], ...] = ()
    present: bool = True

    def __post_init__(self) -> None:
        try:
            ssh_config.Host(self.alias, self.options)
        except ValueError as error:
            raise WrongParameter("options", str(error)) from error

    @property
    def title(self) -> str:
        return f"ssh host {self.alias}"

    @property
    def path(self) -> str:
        return f"{DIRECTORY}/{self.file}"

    @property
    def _file(self) -> WholeFile:
        ours_by_name = self.file.endswith("-builderfleet.conf")
        return WholeFile(File(self.path), b"" if ours_by_name else ssh_config.HEADER.encode())

    @property
    def effect(self) -> EffectiveSshConfig:
        """What has to be known of ssh."""
        return EffectiveSshConfig(self.alias, self.options)

    def questions(self) -> Iterator[Question[Any]]:
        yield from (File(self.path), SSH_CONFIG, LEDGER, PARENT)
        if self.present:
            yield self.effect

    def changes(self, answers: Answers) -> Iterator[Step]:
        yield from self._converge(answers) if self.present else self._remove(answers)

    def _converge(self, answers: Answers) -> Iterator[Step]:
        effect = answers[self.effect]
        in_the_way = self._refused(effect) or self._overridden(effect) or self._inherited(effect)
        if in_the_way is not None:
            yield in_the_way
            return
        data = ssh_config.Host(self.alias, self.options).render()
        check = f'/usr/bin/ssh -G -F "$new" {quote(self.alias)} >/dev/null || fail "ssh refuses the new block"'
        directory = f"[ -d {DIRECTORY} ] || mkdir -m 0755 {DIRECTORY}\n"
        steps = list(self._file.as_wanted(f"write {self.title}", answers, data, check=check, before=directory))
        steps += self._include(answers)
        yield from steps
        if not steps:
            yield from self._without_effect(answers[self.effect])

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

    def _refused(self, effect: SshConfiguration) -> Blocked | None:
        """What makes root's ssh refuse to run at all: a line of somebody else's, or the options that are wanted."""
        if effect.refused is not None:
            return Blocked(
                f"ssh on this Mac refuses what {self.title} is to say: {effect.refused.text}", "Correct that"
            )
        wrong = effect.complaint
        if wrong is None or wrong.path == self.path:
            return None
        where = f"{wrong.path}, line {wrong.line}: " if wrong.path else ""
        return Blocked(
            f"root's ssh refuses to run, and so Nix gets to no builder: {where}{wrong.text}",
            "Correct or remove that line: it is not builderfleet's" if wrong.path else "Put right what it names",
        )

    def _overridden(self, effect: SshConfiguration) -> Blocked | None:
        """What is read before our block and says otherwise, or would be once our block is there."""
        firsts = _firsts(self._before_ours(effect))
        found = {
            keyword: firsts[keyword]
            for keyword in _pinned(self.options)
            if keyword in firsts and not _as_wanted(keyword, effect)
        }
        if not found:
            return None
        said = "; ".join(f"{each.path}, line {each.line}, {_shown(keyword, effect)}" for keyword, each in found.items())
        unsafe = ": host keys are not checked as they have to be" if found.keys() & _SAFETY else ""
        return Blocked(
            f"root's ssh does not use what {self.path} says for {self.alias}{unsafe}, because it reads another line first:"
            f" {said}",
            f"Nix gets to the builder by that ssh. Except {self.alias} from that block, as in `Host * !{self.alias}`"
            + ("" if all(each.of_the_system for each in found.values()) else ", in root's own configuration")
            + f", or move it to a file that sorts after {self.file}",
        )

    def _inherited(self, effect: SshConfiguration) -> Blocked | None:
        """What our block cannot pin, because an older ssh would refuse all of it, wherever that is said."""
        firsts = _firsts(iter(effect.settings))
        for keyword, why in _NOT_PINNED.items():
            if effect.effective.get(keyword, ["none"]) != ["none"]:
                said = firsts.get(keyword)
                where = f"{said.path}, line {said.line}" if said else "a line that ssh does not name"
                return Blocked(
                    f"{where}, {_shown(keyword, effect)}, holds for {self.alias} as well: {why}",
                    f"Except {self.alias} from that block, as in `Host * !{self.alias}`",
                )
        return None

    def _before_ours(self, effect: SshConfiguration) -> Iterator[Setting]:
        """The lines that apply and that ssh reads before our block, wherever that is not there yet."""
        read = any(each.path == self.path for each in effect.settings)
        for each in effect.settings:
            if each.path == self.path:
                return
            directory, _slash, name = each.path.rpartition("/")
            if read or not each.of_the_system or (directory == DIRECTORY and name < self.file):
                yield each

    def _without_effect(self, effect: SshConfiguration) -> Iterator[Step]:
        """Our block is there and is read, and still something else is in effect; ssh does not say by which line."""
        wrong = [keyword for keyword in _pinned(self.options) if not _as_wanted(keyword, effect)]
        if wrong:
            yield Blocked(
                f"root's ssh does not use what {self.path} says for {self.alias}: {_shown(wrong[0], effect)}",
                f"Another block that ssh reads first overrides it: `sudo -H ssh -G -vvv {self.alias}` names what it reads",
            )

    def _remove(self, answers: Answers) -> Iterator[Step]:
        yield from self._file.gone(f"remove {self.title}", answers)
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


# Keywords that set the same, as ssh calls it when it tells what is in effect.
_SAME = {"proxyjump": "proxycommand", "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms"}
# Those without which somebody else could be taken for the guest.
_SAFETY = frozenset(
    {
        "globalknownhostsfile",
        "hostkeyalias",
        "knownhostscommand",
        "nohostauthenticationforlocalhost",
        "stricthostkeychecking",
        "userknownhostsfile",
    }
)
# OpenSSH 9.2 refuses it as unknown, and 10.6 has it, as `none` where nobody says otherwise.
_NOT_PINNED = {"channeltimeout": "ssh ends a build that says nothing for that long"}
_COMMANDS = frozenset({"proxycommand", "remotecommand", "knownhostscommand"})  # which may hold a password
_MOST_SHOWN = 60


def _pinned(options: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """The keywords of options, by the names under which ssh tells what is in effect; each once."""
    return tuple(dict.fromkeys(_SAME.get(keyword.lower(), keyword.lower()) for keyword, _value in options))


def _firsts(settings: Iterator[Setting]) -> dict[str, Setting]:
    """By keyword the setting that counts."""
    found: dict[str, Setting] = {}
    for each in settings:
        found.setdefault(_SAME.get(each.keyword, each.keyword), each)
    return found


def _in_effect(keyword: str, config: Mapping[str, list[str]]) -> list[str]:
    names = [keyword, *(name for name, same in _SAME.items() if same == keyword)]
    return [value for name in names for value in config.get(name, [])]


def _as_wanted(keyword: str, effect: SshConfiguration) -> bool:
    wanted, seen = _in_effect(keyword, effect.wanted), _in_effect(keyword, effect.effective)
    # Of these ssh takes all that it finds.
    return set(wanted) <= set(seen) if keyword == "identityfile" else wanted == seen


def _shown(keyword: str, effect: SshConfiguration) -> str:
    seen = "" if keyword in _COMMANDS else " ".join(_in_effect(keyword, effect.effective))
    return f"{keyword} {seen[:_MOST_SHOWN]}{'…' if len(seen) > _MOST_SHOWN else ''}".rstrip()
