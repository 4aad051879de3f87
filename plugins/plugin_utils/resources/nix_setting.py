# SPDX-License-Identifier: GPL-3.0-or-later
"""A setting of Nix, in nix.conf or, where nix.conf includes it, in nix.custom.conf.

A configuration with one bad line stops every nix command and the daemon, so the new file is tried with the Mac's own
Nix before it is installed. The daemon reads its configuration once, at its start: it restarts only when a value in
effect changes, and that a restart is due is written down first, so that a run that is cut off does not forget it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..asking import Answers, Question
from ..files import diff, in_the_way
from ..formats import nix_conf
from ..ledger import LEDGER, PARENT, directories, edited, ledger, taken_back
from ..masked import beginning
from ..nix_versions import too_old
from ..questions.file import File, Found, Kind, Metadata
from ..questions.nix import ASK_DAEMON, DAEMONS, FIND, Configuration, NixConfiguration, NixSources, NixVersion, Source
from ..readers import reads, setting_name, setting_value
from ..resource import Blocked, Change, Step
from ..shell import STATE_DIRECTORY, quote

NIX_CONF = File("/etc/nix/nix.conf")
CUSTOM_CONF = File("/etc/nix/nix.custom.conf")
RESTART_DUE = Metadata(f"{STATE_DIRECTORY}/nix-daemon-restart-due")

NIX_DARWIN = (
    "with nix-darwin: nix.distributedBuilds = true; nix.buildMachines = [ ]; nix.settings.builders-use-substitutes = true;"
    " activated, which leaves /etc/nix/machines to builderfleet"
)
"""What its owner has to declare there; distributedBuilds = false, its default, hides the machines file altogether."""

_INVALID = re.compile("(?:setting|option) '([^']+)' (?:has invalid value|should be)")

SEEN: Mapping[str, tuple[str, ...]] = dict.fromkeys(
    ("2.8.0", "2.26.3", "2.34.8"),
    (
        "error: configuration setting 'max-jobs' should be 'auto' or an integer",
        "error: setting 'max-jobs' has invalid value '1X'",
        "error: option 'max-jobs' has invalid value 'maybe'",
        "error: Boolean setting 'max-jobs' has invalid value 'ja'",
    ),
)
"""What Nix says of a value that it does not take, by its version."""

# The candidate in the place of its file, beside all else of that directory and of those above it: what is included may be
# anywhere in them, and what is left there is only linked to. Read by the Mac's own Nix (facts/nix_configuration §1).
_TRY = f"""
fresh_folder
mkdir -p "$folder/etc/nix"
for file in /* /etc/* /etc/nix/* /etc/nix/.[!.]*; do
  if [ -e "$file" ] && [ "$file" != "$new" ] && [ ! -e "$folder$file" ]; then ln -s "$file" "$folder$file"; fi
done
rm -f "$folder/etc/nix/NAME"
cp "$new" "$folder/etc/nix/NAME"
{FIND}
[ -x "$N/nix" ] || fail "this Mac has no Nix that could read the new configuration: $N/nix is not there"
read_by_nix=
for words in 'config show' show-config; do
  # shellcheck disable=SC2086
  if said=$(limit 30 /usr/bin/env NIX_CONF_DIR="$folder/etc/nix" "$N/nix" --extra-experimental-features nix-command $words \\
    2>&1 >/dev/null); then read_by_nix=yes; break; fi
done
[ "$read_by_nix" ] || fail "Nix refuses the new configuration: $said"
"""

# Seconds, not turns: a daemon that hangs makes each question as slow as its limit.
PATIENCE = 60
ANSWERS = f"""
# answers LABEL: wait until Nix's daemon answers
answers() {{
  until=$(($(/bin/date +%s) + {PATIENCE}))
  until limit 10 {" ".join(map(quote, ASK_DAEMON))} >/dev/null 2>&1; do
    [ "$(/bin/date +%s)" -lt "$until" ] ||
      needs_person "$1 does not answer within {PATIENCE} seconds of its start; see its log and plist on that Mac"
    sleep 1
  done
}}

# kick LABEL: end it and start it again; that fails for a moment now and then, with 5 on macOS 26
kick() {{
  kicks=0
  until said=$(/bin/launchctl kickstart -k "system/$1" 2>&1); do
    kicks=$((kicks + 1))
    [ "$kicks" -lt 11 ] || needs_person "launchctl kickstart -k system/$1 still fails after $kicks tries: $said"
    sleep 0.5
  done
}}
"""

RESTART_DAEMON = f"""{ANSWERS}
for daemon in {" ".join(DAEMONS)}; do
  if /bin/launchctl print "system/$daemon" >/dev/null 2>&1; then kick "$daemon"; answers "$daemon"; fi
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
        yield from (NIX_CONF, CUSTOM_CONF, self._question, NixVersion(), NixSources(), RESTART_DUE, LEDGER, PARENT)

    @property
    def _base(self) -> str:
        """The setting in which `extra-NAME` has its effect."""
        return self.setting.removeprefix("extra-")

    @property
    def _question(self) -> NixConfiguration:
        return NixConfiguration.of(self._base)

    def changes(self, answers: Answers) -> Iterator[Step]:
        steps = list(self._converge(answers) if self.present else self._remove(answers))
        yield from steps
        if not steps and not answers[RESTART_DUE].absent:
            yield Change(
                "restart the Nix daemon, which has not read its configuration since it changed", RESTART_DAEMON
            )

    def _converge(self, answers: Answers) -> Iterator[Step]:
        configuration = answers[self._question]
        wanted = " ".join(self.value.split())
        if self._in_effect(configuration, wanted):
            return
        old = too_old(answers[NixVersion()])
        if old is not None:
            yield old
            return
        file = self._file(answers)
        found = answers[file]
        if found.kind not in (Kind.FILE, Kind.ABSENT):
            yield self._foreign(file, found)
            return
        now = found.content or b""
        blocked = (
            self._broken(answers)
            or self._invalid(answers, configuration)
            or self._unknown(configuration)
            or self._overriding(file, answers)
        )
        if blocked is not None:
            yield blocked
            return
        sound = _without_broken(now, self.setting)
        if configuration.error and sound == now and nix_conf.value(now, self.setting) is None:
            # Whatever it is, it is none of ours, and an edit would not mend it.
            yield self._no_effect(file, configuration)
            return
        data = nix_conf.with_setting(sound, self.setting, wanted)
        if data != now:
            yield self._edit(answers, file, data)
        elif configuration.installed:
            yield self._no_effect(file, configuration)

    def _in_effect(self, configuration: Configuration, wanted: str) -> bool:
        seen = configuration.settings.get(self._base)
        if seen is None or self._base == self.setting:
            return seen == wanted
        return set(wanted.split()) <= set(seen.split())

    def _edit(self, answers: Answers, file: File, data: bytes) -> Change:
        found = answers[file]
        now = found.content or b""
        due = f"{directories(answers)}: > {RESTART_DUE.path}; /bin/sync\n"
        check = _TRY.replace("NAME", file.path.rsplit("/", 1)[1])
        former = {self.setting: nix_conf.written_value(now, self.setting)}
        return Change(
            f"set {self.setting} in {file.path}",
            edited(answers, file, data, check=check, between=due, former=former) + RESTART_DAEMON,
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

    def _broken(self, answers: Answers) -> Blocked | None:
        """Lines of others because of which Nix reads nothing: reported, never touched. Ours are put right."""
        for file in dict.fromkeys((NIX_CONF, self._file(answers))):
            for problem in nix_conf.syntax_errors(answers[file].content or b""):
                if not _is_ours(problem.text, self.setting):
                    return Blocked(
                        f"{file.path}, line {problem.line}, `{beginning(problem.text)}`: {problem.reason}; no nix command "
                        "works on this Mac until that is put right",
                        "The line is not builderfleet's, so it stays as it is: correct it and run again",
                    )
        ours = (NIX_CONF.path, self._file(answers).path)
        for source in answers[NixSources()]:
            if source.name == Source.MISSING:
                return Blocked(
                    f"{source.where}, includes {source.other}, which is not there; no nix command works on this Mac until "
                    "that is put right",
                    "Put that file back, take the line out, or write `!include`, for which a missing file is no error",
                )
            if source.name == Source.UNREADABLE and source.file not in ours:
                return Blocked(
                    f"{source.where}, is neither `name = value` nor an include; no nix command works on this Mac until "
                    "that is put right",
                    "The line is not builderfleet's, so it stays as it is: correct it and run again",
                )
        return None

    def _invalid(self, answers: Answers, configuration: Configuration) -> Blocked | None:
        """A value of somebody else's that Nix does not take. Ours is put right."""
        match = _INVALID.search(configuration.error)
        lines = [each for each in answers[NixSources()] if match is not None and each.name == match[1]]
        if match is None or not lines or match[1] == self.setting:
            return None
        return Blocked(
            f"{lines[-1].where}, sets {match[1]} to what Nix does not take; no nix command works on this Mac until that is"
            " put right",
            "The line is not builderfleet's, so it stays as it is: correct it and run again",
        )

    @property
    def _said(self) -> str:
        """The line that is wanted, where it cannot hold a secret of somebody's."""
        return f"`{self.setting} = {self.value}`" if self.setting.startswith("builders") else "what is wanted"

    def _unknown(self, configuration: Configuration) -> Blocked | None:
        """Nix only warns of a setting that it does not know; what has no effect is not written."""
        if not configuration.settings or self._base in configuration.settings:
            return None
        return Blocked(
            f"the Nix of this Mac has no setting {self._base}",
            "`nix config show` on that Mac lists the names; a newer Nix may have more of them",
        )

    def _overriding(self, file: File, answers: Answers) -> Blocked | None:
        """The line of somebody else that Nix reads after ours, wherever ours is or will be."""
        later = _after(self.setting, file, answers[NixSources()])
        if later is None:
            return None
        does = "adds to it" if later.name.startswith("extra-") else f"sets {later.name} again"
        return Blocked(
            f"{self.setting} would be set in {file.path}, but {later.where}, which Nix reads after that, {does}",
            f"The line is not builderfleet's: take it out, or let it say {self._said}, and run again",
        )

    def _no_effect(self, file: File, configuration: Configuration) -> Blocked:
        if configuration.error:
            return Blocked(
                f"Nix does not read its configuration: {configuration.error}",
                "Put right what it names, in the files of /etc/nix or in /var/root/.config/nix, and run again",
            )
        return Blocked(
            f"{file.path} sets {self.setting} as it is wanted, but another value is in effect",
            "No line of its files explains that: see the environment of its daemon (NIX_CONFIG in its plist, say)",
        )

    def _foreign(self, file: File, found: Found) -> Blocked:
        if found.kind is not Kind.LINK:
            return in_the_way(file.path, found)
        return Blocked(
            f"{file.path} is a link (to {found.target or 'nothing'}): another tool, such as nix-darwin, writes it",
            f"Set {self.setting} with that tool to what is wanted here; {NIX_DARWIN}",
        )

    def _remove(self, answers: Answers) -> Iterator[Step]:
        for file in (CUSTOM_CONF, NIX_CONF):
            entry = ledger(answers).files.get(file.path)
            found = answers[file]
            if entry is None or self.setting not in entry.former or found.kind not in (Kind.FILE, Kind.ABSENT):
                continue
            now = found.content or b""
            # What the line should say is the caller's to know; who says nothing takes back whatever stands there.
            ours = not self.value or nix_conf.value(now, self.setting) in (None, " ".join(self.value.split()))
            without = nix_conf.without_setting(now, self.setting, entry.former[self.setting]) if ours else now
            script = taken_back(answers, file, without, self.setting)
            restart = RESTART_DAEMON if answers[self._question].installed else f"rm -f {RESTART_DUE.path}\n"
            yield Change(
                f"put {self.setting} in {file.path} back as it was"
                if ours
                else f"leave {self.setting} in {file.path} as somebody has set it since",
                f": > {RESTART_DUE.path}\n{script}{restart}",
                (diff(file.path, found, found.with_content(without)),),
                limit=300,
            )
            return


def _after(setting: str, file: File, sources: tuple[Source, ...]) -> Source | None:
    """The last line that has a say in `setting` among those that Nix reads after the one in `file`.

    Ours is the last line of that name in the file; without one it will be the last of all, but for additions to it.
    """
    base = setting.removeprefix("extra-")
    names = (base,) if base != setting else (setting, f"extra-{setting}")
    there = [index for index, each in enumerate(sources) if (each.file, each.name) == (file.path, setting)]
    ends = [
        index
        for index, each in enumerate(sources)
        if (each.file, each.name) == (file.path, Source.END) or (each.name, each.other) == (Source.OPTIONAL, file.path)
    ]
    place = max(there or ends or [-1])
    later = [each for each in sources[place + 1 :] if each.name in names]
    later = later or [each for each in sources if (each.file, each.name) == (file.path, f"extra-{setting}")]
    return later[-1] if later else None


def _is_ours(line: str, name: str) -> bool:
    """Whether a line that Nix does not read is this setting, written wrongly (`name=value`, say)."""
    return line.strip().replace("=", " ").split()[:1] == [name]


def _without_broken(data: bytes, name: str) -> bytes:
    """The file less the lines that are this setting but that Nix does not read."""
    broken = {problem.line for problem in nix_conf.syntax_errors(data) if _is_ours(problem.text, name)}
    lines = data.split(b"\n")
    return b"\n".join(line for number, line in enumerate(lines, 1) if number not in broken)
