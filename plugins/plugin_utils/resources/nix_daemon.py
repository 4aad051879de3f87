# SPDX-License-Identifier: GPL-3.0-or-later
"""Nix's own daemon: its job is loaded, it answers, and it holds what its files say now.

Without it nothing builds, whatever the files say. It is another installer's job: it is loaded and started, never written.
It reads its configuration once, at its start, and does not say what it holds; a file that was changed since its start is
the sign that it may hold something else, and one restart settles that (`facts/nix_configuration §1`, `facts/drift D12-D15`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..asking import Answers, Question
from ..login_items import is_off, remedy
from ..questions.clock import Clock
from ..questions.launchd import LaunchdJob
from ..questions.login_items import LoginItemsOff
from ..questions.nix import DAEMONS, NixConfiguration, NixDaemonReply, NixDaemonStart, NixSources, NixVersion, Source
from ..resource import INTERNAL, Blocked, Change, Step
from .nix_installation import STORE_JOBS, plist_of
from .nix_setting import ANSWERS, NIX_CONF, RESTART_DAEMON, RESTART_DUE, NixSetting

DETERMINATE = DAEMONS[0]
SAME_MOMENT = 2
"""Seconds: both times are whole seconds, and the start is a difference of two."""

_LOAD = f"""{ANSWERS}
loaded() {{ /bin/launchctl print "system/$1" >/dev/null 2>&1; }}
# load LABEL PLIST: 5, 17, 36 and 37 pass while a former instance is torn down
load() {{
  /bin/launchctl enable "system/$1"
  tries=0
  until loaded "$1"; do
    said=$(/bin/launchctl bootstrap system "$2" 2>&1) || :
    tries=$((tries + 1))
    loaded "$1" || [ "$tries" -lt 20 ] || needs_person "launchd does not load $2, tried $tries times: $said"
    loaded "$1" || sleep 0.5
  done
}}
"""


@dataclass(frozen=True, slots=True)
class NixDaemon:
    """The daemon of the Nix that is on the Mac; there is nothing to say where there is none.

    `after` are the settings that the same run sets before, each with a restart of the daemon.
    """

    after: tuple[NixSetting, ...] = field(default=(), metadata=INTERNAL)

    @property
    def title(self) -> str:
        return "Nix daemon"

    def questions(self) -> Iterator[Question[Any]]:
        yield from (
            NixVersion(),
            NixDaemonReply(),
            NixDaemonStart(),
            NixSources(),
            NixConfiguration(),
            LoginItemsOff(),
            Clock(),
            RESTART_DUE,
        )
        yield from map(LaunchdJob, DAEMONS)
        yield from map(plist_of, (*DAEMONS, *STORE_JOBS))
        for setting in self.after:
            yield from setting.questions()

    def changes(self, answers: Answers) -> Iterator[Step]:
        if not answers[NixVersion()]:
            return
        label = label_of(answers)
        if label is None:
            yield Blocked(
                f"the Nix daemon has no job: {' and '.join(plist_of(each).path for each in DAEMONS)} are gone",
                "Repair this Nix with the installer that it came with",
            )
        elif is_off(answers, plist_of(label).path):
            yield Blocked(f"{label} is switched off in this Mac's login items", remedy(label))
        elif store := next((each for each in STORE_JOBS if _is_switched_off(answers, each)), ""):
            yield Blocked(
                f"{store}, which mounts Nix's store at boot, is switched off in this Mac's login items", remedy(store)
            )
        else:
            yield from self._running(answers, label)

    def _running(self, answers: Answers, label: str) -> Iterator[Step]:
        loaded = answers[LaunchdJob(label)]
        if loaded.job is None:
            yield Change(
                f"load {label}, without which Nix does nothing",
                f"{_LOAD}load {label} {plist_of(label).path}\nanswers {label}\nrm -f {RESTART_DUE.path}\n",
                limit=180,
            )
        elif not answers[NixDaemonReply()].answers:
            yield Change(f"restart {label}, which does not answer", RESTART_DAEMON, limit=180)
        elif loaded.disabled:
            yield Change(f"enable {label} for the next boot", f"/bin/launchctl enable system/{label}\n")
        elif answers[NixConfiguration()].error:
            return  # with a line that Nix does not read, a daemon that runs on is the better one
        elif (newer := changed_since(answers, label)) is not None and not self._is_restarted(answers):
            yield Change(
                f"restart {label}, which was started before {newer.dated} was changed last", RESTART_DAEMON, limit=180
            )

    def _is_restarted(self, answers: Answers) -> bool:
        return any(isinstance(step, Change) for setting in self.after for step in setting.changes(answers))


def _is_switched_off(answers: Answers, label: str) -> bool:
    return not answers[plist_of(label)].absent and is_off(answers, plist_of(label).path)


def label_of(answers: Answers) -> str | None:
    """The label of the daemon that is installed; None where it has no plist."""
    return next((each for each in DAEMONS if not answers[plist_of(each)].absent), None)


def changed_since(answers: Answers, label: str) -> Source | None:
    """The end of a file that was changed, or taken out of its directory, after the daemon had started.

    Determinate's daemon writes nix.conf itself when it starts. A time to come is nobody's: no restart would settle that.
    """
    started = answers[NixDaemonStart()]
    if started is None:
        return None
    now = answers[Clock()]
    own = {NIX_CONF.path} if label == DETERMINATE else set()
    return next(
        (
            each
            for each in answers[NixSources()]
            if each.name == Source.END and each.file not in own and started + SAME_MOMENT < each.changed <= now
        ),
        None,
    )
