# SPDX-License-Identifier: GPL-3.0-or-later
"""A launchd daemon: what is on disk, what launchd has loaded and what runs are the same thing.

launchd keeps the definition that it read at bootstrap: a plist that was changed since has no effect, and neither `print`
nor the file says so. So each definition carries its own fingerprint in its environment, where `launchctl print` shows
which one is loaded, and a daemon restarts only when that is another. `bootout` is asynchronous, and a disabled label is
invisible in `print`: hence the cycle of `facts/macos_commands §2.3`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..asking import Answers, Question
from ..files import diff, in_the_way, removed, replaced
from ..formats import plist
from ..questions.file import NOTHING, File, Found, Kind, Metadata
from ..questions.launchd import LaunchdJob, Loaded
from ..questions.network import Greeting
from ..resource import INTERNAL, Change, Step
from ..shell import quote

FINGERPRINT = "BUILDERFLEET_DEFINITION"

_LAUNCHD = r"""
loaded() { /bin/launchctl print "system/$1" >/dev/null 2>&1; }

# unload LABEL SECONDS: bootout returns before the job has gone
unload() {
  loaded "$1" || return 0
  status=0; said=$(/bin/launchctl bootout "system/$1" 2>&1) || status=$?
  case $status in 0 | 3 | 36 | 113) ;; *) fail "launchctl bootout system/$1 ended with $status: $said" ;; esac
  waited=0
  while loaded "$1"; do
    [ "$waited" -lt "$2" ] || fail "launchd still has $1 after $2 seconds of waiting for it to stop"
    sleep 1; waited=$((waited + 1))
  done
}

# load LABEL PLIST: 5, 17, 36 and 37 pass while a former instance is torn down; 119 is an override that came since
load() {
  tries=0
  while :; do
    status=0; said=$(/bin/launchctl bootstrap system "$2" 2>&1) || status=$?
    case $status in
      0) break ;;
      5 | 17 | 36 | 37) if loaded "$1"; then break; fi ;;
      119) /bin/launchctl enable "system/$1" ;;
      *) fail "launchctl bootstrap system $2 ended with $status: $said" ;;
    esac
    tries=$((tries + 1))
    [ "$tries" -lt 20 ] || fail "launchctl bootstrap system $2 still ends with $status after $tries tries: $said"
    sleep 0.5
  done
  loaded "$1" || fail "launchctl bootstrap system $2 succeeded, but launchd does not have $1"
}
"""

_GREETING = r"""
# greeting PORT SECONDS: wait until a server on 127.0.0.1 speaks; that its port is open says nothing
greeting() {
  /usr/bin/perl -MIO::Socket::INET -e '
    my ($port, $seconds) = @ARGV; my $until = time + $seconds;
    while (time < $until) {
      my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $port, Timeout => 2);
      if ($socket) { my $ready = ""; vec($ready, fileno $socket, 1) = 1;
        exit 0 if select($ready, undef, undef, 2) && sysread($socket, my $said, 64) }
      select undef, undef, undef, 0.3 }
    exit 1' "$1" "$2"
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchdDaemon:
    """A daemon in launchd's system domain, from a plist in /Library/LaunchDaemons.

    `answers_on` is a TCP port of 127.0.0.1 on which it greets (as SSH servers do) when it is up; `start_limit` how many
    seconds that may take. `follows` is whatever else it has to be restarted for when it changes (a program's text).
    `exit_timeout` is how many seconds it has between SIGTERM and SIGKILL.
    """

    label: str
    program_arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = ""
    log: str = ""
    run_at_load: bool = True
    keep_alive: bool = True
    exit_timeout: int = 20
    answers_on: int | None = None
    start_limit: int = 180
    follows: str = field(default="", metadata=INTERNAL)
    present: bool = True

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._-]+", self.label):
            raise ValueError(f"label: wanted letters, digits, points and hyphens, saw {self.label!r}")
        if self.present and not self.program_arguments:
            raise ValueError("program_arguments: wanted the program and its arguments, saw none")

    @property
    def title(self) -> str:
        return f"launchd daemon {self.label}"

    @property
    def path(self) -> str:
        return f"/Library/LaunchDaemons/{self.label}.plist"

    def definition(self) -> dict[str, Any]:
        """The property list."""
        value: dict[str, Any] = {
            "Label": self.label,
            "ProgramArguments": list(self.program_arguments),
            "RunAtLoad": self.run_at_load,
            "KeepAlive": self.keep_alive,
            "ExitTimeOut": self.exit_timeout,
            "EnvironmentVariables": dict(self.environment),
        }
        if self.working_directory:
            value["WorkingDirectory"] = self.working_directory
        if self.log:
            value |= {"StandardOutPath": self.log, "StandardErrorPath": self.log}
        text = json.dumps([value, self.follows], sort_keys=True)
        value["EnvironmentVariables"][FINGERPRINT] = hashlib.sha256(text.encode()).hexdigest()
        return value

    def questions(self) -> Iterator[Question[Any]]:
        yield File(self.path)
        yield LaunchdJob(self.label)
        if self.log:
            yield Metadata(self.log)
        if self.answers_on is not None:
            yield Greeting(self.answers_on)

    def changes(self, answers: Answers) -> Iterator[Step]:
        found, loaded = answers[File(self.path)], answers[LaunchdJob(self.label)]
        if found.kind in (Kind.DIRECTORY, Kind.OTHER):
            yield in_the_way(self.path, found)
        elif self.present:
            yield from self._converge(found, loaded, answers)
        else:
            yield from self._remove(found, loaded, answers)

    def _converge(self, found: Found, loaded: Loaded, answers: Answers) -> Iterator[Step]:
        definition = self.definition()
        data = plist.dump(definition)
        wanted = Found(Kind.FILE, 0o644, 0, 0, data)
        as_wanted = found.kind is Kind.FILE and found.content == data and found.has(0o644, 0, 0)
        write = (
            ""
            if as_wanted
            else replaced(
                self.path,
                found,
                data,
                mode=0o644,
                check='/usr/bin/plutil -lint "$new" || fail "plutil refuses the new plist"',
            )
        )
        diffs = () if as_wanted else (diff(self.path, found, wanted),)
        reload = loaded.job is None or self._is_other(found, loaded, definition)
        if reload:
            verb = "load" if loaded.job is None else "reload"
            yield Change(f"{verb} {self.title}", _LAUNCHD + write + self._cycle(), diffs, self.exit_timeout + 120)
        elif write:
            yield Change(f"put {self.path} right", write, diffs)
        if loaded.disabled and not reload:
            yield Change(
                f"enable {self.title} for the next boot", f"/bin/launchctl enable system/{quote(self.label)}\n"
            )
        if self.answers_on is not None:
            if reload or not answers[Greeting(self.answers_on)]:
                yield Change(
                    f"wait until {self.label} answers on port {self.answers_on}",
                    self._wait(self.answers_on),
                    limit=2 * self.start_limit + 60,
                    slow=True,
                )
        elif not reload and self.keep_alive and loaded.job is not None and loaded.job.pid is None:
            yield Change(f"start {self.title}", _LAUNCHD + self._start(), limit=self.start_limit + 60)

    def _is_other(self, found: Found, loaded: Loaded, definition: Mapping[str, Any]) -> bool:
        """Whether launchd has another definition than the one wanted, as far as it can be seen.

        A Mac that was booted with an edited plist has loaded that one, with our fingerprint in it: so what is on disk
        counts as well.
        """
        job = loaded.job
        if job is None or job.path != self.path or job.environment.get(FINGERPRINT) != _fingerprint(definition):
            return True
        try:
            return plist.load(found.content or b"") != definition
        except plist.PlistError:
            return True

    def _cycle(self) -> str:
        label, path = quote(self.label), quote(self.path)
        return (
            f"if /bin/launchctl print-disabled system | /usr/bin/grep -F {quote(chr(34) + self.label + chr(34))} |"
            f" /usr/bin/grep -q -e disabled -e true; then /bin/launchctl enable system/{label}; fi\n"
            f"unload {label} {self.exit_timeout + 15}\nload {label} {path}\n"
        )

    def _tail(self) -> str:
        return f"/usr/bin/tail -n 8 {quote(self.log)} >&2\n" if self.log else ""

    def _wait(self, port: int) -> str:
        return (
            f"{_GREETING}\nif ! greeting {port} {self.start_limit}; then\n"
            f"/bin/launchctl kickstart -k system/{quote(self.label)}\n"
            f"if ! greeting {port} {self.start_limit}; then\n{self._tail()}"
            f"fail 'nothing greets on 127.0.0.1:{port}, not after a restart either: see what {self.label} says"
            f"{' in ' + self.log if self.log else ''}'\nfi\nfi\n"
        )

    def _start(self) -> str:
        running = f"/bin/launchctl print system/{quote(self.label)} | /usr/bin/grep -q '^.pid = '"
        return (
            f"/bin/launchctl kickstart system/{quote(self.label)}\nwaited=0\n"
            f'until {running}; do\n[ "$waited" -lt {self.start_limit} ] || {{ {self._tail()}'
            f"fail '{self.label} does not keep running'; }}\nsleep 1; waited=$((waited + 1))\ndone\n"
        )

    def _remove(self, found: Found, loaded: Loaded, answers: Answers) -> Iterator[Step]:
        log = answers[Metadata(self.log)] if self.log else NOTHING
        if loaded.job is None and found.absent and log.absent:
            return
        script = _LAUNCHD + f"unload {quote(self.label)} {self.exit_timeout + 15}\n"
        script += "" if found.absent else removed(self.path, found)
        script += f"rm -f {quote(self.log)}\n" if self.log else ""
        diffs = () if found.absent else (diff(self.path, found, NOTHING),)
        yield Change(f"remove {self.title}", script, diffs, self.exit_timeout + 120)


def _fingerprint(definition: Mapping[str, Any]) -> str:
    environment: Mapping[str, str] = definition["EnvironmentVariables"]
    return environment[FINGERPRINT]
