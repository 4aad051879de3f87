# SPDX-License-Identifier: GPL-3.0-or-later
"""A setting of Nix, in nix.conf or, where nix.conf includes it, in nix.custom.conf.

A configuration with one bad line stops every nix command and the daemon, so the new file is tried with the Mac's own
Nix before it is installed. The daemon reads its configuration once, at its start: it restarts only when a value in
effect changes, and that a restart is due is written down first, so that a run that is cut off does not forget it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..asking import Answers, Question
from ..files import diff, in_the_way
from ..formats import nix_conf
from ..ledger import LEDGER, PARENT, directories, edited, ledger, taken_back
from ..masked import beginning
from ..questions.file import File, Found, Kind, Metadata
from ..questions.nix import ASK_DAEMON, NIX, Configuration, NixConfiguration
from ..readers import reads, setting_name, setting_value
from ..resource import Blocked, Change, Step
from ..shell import STATE_DIRECTORY

NIX_CONF = File("/etc/nix/nix.conf")
CUSTOM_CONF = File("/etc/nix/nix.custom.conf")
RESTART_DUE = Metadata(f"{STATE_DIRECTORY}/nix-daemon-restart-due")
DAEMONS = ("systems.determinate.nix-daemon", "org.nixos.nix-daemon")

# The candidate beside copies of the files that it may include, read by the Mac's own Nix (facts/nix_configuration §1).
_TRY = f"""
fresh_folder
for file in /etc/nix/*.conf; do [ ! -e "$file" ] || cp "$file" "$folder/"; done
cp "$new" "$folder/NAME"
read_by_nix=
for words in 'config show' show-config; do
  # shellcheck disable=SC2086
  if said=$(limit 30 /usr/bin/env NIX_CONF_DIR="$folder" {NIX}/nix --extra-experimental-features nix-command $words \\
    2>&1 >/dev/null); then read_by_nix=yes; break; fi
done
[ "$read_by_nix" ] || fail "Nix refuses the new configuration: $said"
"""

RESTART_DAEMON = f"""
for daemon in {" ".join(DAEMONS)}; do
  if /bin/launchctl print "system/$daemon" >/dev/null 2>&1; then
    /bin/launchctl kickstart -k "system/$daemon"
    waited=0
    until limit 10 {" ".join(ASK_DAEMON)} >/dev/null 2>&1; do
      [ "$waited" -lt 60 ] || fail "$daemon does not answer since its restart"
      sleep 1; waited=$((waited + 1))
    done
  fi
done
rm -f {RESTART_DUE.path}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NixSetting:
    """The setting `setting` with the value `value` (words joined by one space, as Nix does)."""

    setting: str = field(metadata=reads(setting_name))
    value: str = field(default="", metadata=reads(setting_value))
    present: bool = True

    @property
    def title(self) -> str:
        return f"Nix setting {self.setting}"

    def questions(self) -> Iterator[Question[Any]]:
        yield from (NIX_CONF, CUSTOM_CONF, NixConfiguration.of(self.setting), RESTART_DUE, LEDGER, PARENT)

    def changes(self, answers: Answers) -> Iterator[Step]:
        steps = list(self._converge(answers) if self.present else self._remove(answers))
        yield from steps
        if not steps and not answers[RESTART_DUE].absent:
            yield Change(
                "restart the Nix daemon, which has not read its configuration since it changed", RESTART_DAEMON
            )

    def _converge(self, answers: Answers) -> Iterator[Step]:
        configuration = answers[NixConfiguration.of(self.setting)]
        wanted = " ".join(self.value.split())
        if configuration.settings.get(self.setting) == wanted:
            return
        file = self._file(answers)
        found = answers[file]
        if found.kind not in (Kind.FILE, Kind.ABSENT):
            yield self._foreign(file, found)
            return
        now = found.content or b""
        foreign = self._syntax_errors(answers)
        if foreign is not None:
            yield foreign
            return
        data = nix_conf.with_setting(_without_broken(now, self.setting), self.setting, wanted)
        if data != now:
            yield self._edit(answers, file, data)
        elif configuration.installed:
            yield self._overridden(file, configuration)

    def _edit(self, answers: Answers, file: File, data: bytes) -> Change:
        found = answers[file]
        now = found.content or b""
        due = f"{directories(answers)}: > {RESTART_DUE.path}; /bin/sync\n"
        check = _TRY.replace("NAME", file.path.rsplit("/", 1)[1])
        former = {self.setting: nix_conf.written_value(now, self.setting)}
        return Change(
            f"set {self.setting} in {file.path}",
            due + edited(answers, file, data, check=check, former=former) + RESTART_DAEMON,
            (diff(file.path, found, found.with_content(data)),),
            limit=300,
        )

    def _file(self, answers: Answers) -> File:
        """Where the setting belongs. On a Mac without Nix: where the default installer will want it."""
        conf = answers[NIX_CONF]
        if conf.absent and not answers[NixConfiguration.of(self.setting)].installed:
            return CUSTOM_CONF
        included = {include.path for include in nix_conf.includes(conf.content or b"")}
        return CUSTOM_CONF if included & {CUSTOM_CONF.path, "nix.custom.conf"} else NIX_CONF

    def _syntax_errors(self, answers: Answers) -> Blocked | None:
        """Lines of others that Nix does not read: reported, never touched. Ours are put right."""
        for file in dict.fromkeys((NIX_CONF, self._file(answers))):
            for problem in nix_conf.syntax_errors(answers[file].content or b""):
                if not _is_ours(problem.text, self.setting):
                    return Blocked(
                        f"{file.path}, line {problem.line}, `{beginning(problem.text)}`: {problem.reason}; no nix command "
                        "works on this Mac until that is put right",
                        "The line is not builderfleet's, so it stays as it is: correct it and run again",
                    )
        return None

    def _overridden(self, file: File, configuration: Configuration) -> Blocked:
        seen = configuration.error or "another value is in effect"
        return Blocked(
            f"{file.path} sets {self.setting} as it is wanted, but {seen}",
            "Another line or file that Nix reads later overrides it: look for it in /etc/nix and run again",
        )

    def _foreign(self, file: File, found: Found) -> Blocked:
        if found.kind is not Kind.LINK:
            return in_the_way(file.path, found)
        return Blocked(
            f"{file.path} is a link (to {found.target or 'nothing'}): another tool, such as nix-darwin, writes it",
            f"Set {self.setting} with that tool to what is wanted here",
        )

    def _remove(self, answers: Answers) -> Iterator[Step]:
        for file in (CUSTOM_CONF, NIX_CONF):
            entry = ledger(answers).files.get(file.path)
            found = answers[file]
            if entry is None or self.setting not in entry.former or found.kind not in (Kind.FILE, Kind.ABSENT):
                continue
            now = found.content or b""
            ours = nix_conf.value(now, self.setting) == " ".join(self.value.split())
            without = nix_conf.without_setting(now, self.setting, entry.former[self.setting]) if ours else now
            script = taken_back(answers, file, without, self.setting)
            restart = (
                RESTART_DAEMON
                if answers[NixConfiguration.of(self.setting)].installed
                else f"rm -f {RESTART_DUE.path}\n"
            )
            yield Change(
                f"put {self.setting} in {file.path} back as it was",
                f": > {RESTART_DUE.path}\n{script}{restart}",
                (diff(file.path, found, found.with_content(without)),),
                limit=300,
            )
            return


def _is_ours(line: str, name: str) -> bool:
    """Whether a line that Nix does not read is this setting, written wrongly (`name=value`, say)."""
    return line.strip().replace("=", " ").split()[:1] == [name]


def _without_broken(data: bytes, name: str) -> bytes:
    """The file less the lines that are this setting but that Nix does not read."""
    broken = {problem.line for problem in nix_conf.syntax_errors(data) if _is_ours(problem.text, name)}
    lines = data.split(b"\n")
    return b"\n".join(line for number, line in enumerate(lines, 1) if number not in broken)
