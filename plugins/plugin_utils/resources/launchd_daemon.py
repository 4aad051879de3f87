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

from .. import login_items, readers
from ..asking import Answers, Question, Unknown
from ..endings import STARTS, Ending
from ..files import diff, in_the_way
from ..formats import launchctl, plist
from ..ledger import LEDGER, PARENT, WholeFile
from ..questions.attribute import QUARANTINE, Attribute
from ..questions.file import NOTHING, File, Found, Kind, Metadata
from ..questions.launchd import LaunchdJob, Loaded
from ..questions.login_items import LoginItemsOff
from ..questions.network import Greeting
from ..readers import PORT, WrongParameter, any_path, maybe, reads, whole
from ..resource import INTERNAL, Blocked, Change, Refused, Step
from ..shell import quote

FINGERPRINT = "BUILDERFLEET_DEFINITION"
OPEN_FILES = 8192
_LOADED, _RUNNING = "loaded", "running"  # the words of the ledger

# Without them nobody gets into the Mac any more, or Nix or the builder stops: no resource by itself touches these.
_NOT_FOR_ANYBODY = {
    r"com\.apple\..*|com\.openssh\..*|com\.vix\..*|org\.cups\..*": "macOS's own",
    r"org\.nixos\..*|systems\.determinate\..*": "Nix's own, and its installer's",
    r"org\.builderfleet\..*": "the builder's, which is set up and taken back as a whole (linux_builder_state)",
}

LAUNCHD = r"""
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

KICK = r"""
# kick [-k] LABEL: kickstart fails for a moment now and then, with 5 on macOS 26; Nix's installer tries it as often
kick() {
  kicks=0
  until said=$(/bin/launchctl kickstart "$@" 2>&1); do
    kicks=$((kicks + 1))
    [ "$kicks" -lt 11 ] || fail "launchctl kickstart $* still fails after $kicks tries: $said"
    sleep 0.5
  done
}
"""

_GREETS = r"""
# greets PORT: whether a server on 127.0.0.1 speaks; that its port is open says nothing
greets() {
  /usr/bin/perl -MIO::Socket::INET -e '
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => shift, Timeout => 2) or exit 1;
    my $ready = ""; vec($ready, fileno $socket, 1) = 1;
    exit !(select($ready, undef, undef, 2) && sysread($socket, my $said, 64))' "$1"
}
"""

# To sshd a connection that ends without a login is a reason to shut its address out, and all of a Mac is one address to
# its VM (PerSourcePenalties, OpenSSH 9.8): so it is asked by a login where there is one, ever more rarely, and where the
# login is refused it is up as well: whose fault that is, others find out.
_LOGS_IN = r"""
logs_in() {
  said=$(LOGIN 2>&1) && return 0
  case $said in *"Permission denied"* | *"Host key verification failed"* | *"Too many authentication failures"*) return 0 ;; esac
  return 1
}
"""

# It ends at once where it is clear that the daemon will not come up: its log says so in known words, or it has ended three
# times since. What a former start said is no evidence, so the log is read from where it ended when the wait began; a
# start script may have shortened it since.
_AWAITS = r"""
field() {
  /bin/launchctl print "system/$label" 2>/dev/null |
    /usr/bin/awk -v line="$1" 'index($0, "\t" line " = ") == 1 { print $NF; exit }'
}
size() {
  if [ -e "$log" ]; then wc -c < "$log" | tr -d ' '; else echo 0; fi
}
since() {
  from=$1; [ "$(size)" -ge "$from" ] || from=0
  if [ -e "$log" ]; then /usr/bin/tail -c "+$((from + 1))" "$log" | /usr/bin/tail -c 65536; fi
}
last_start() {
  since 0 | /usr/bin/awk -v starts="$1" '
    index($0, starts) == 1 { text = ""; next }
    { text = text $0 "\n" }
    END { printf "%s", text }'
}

# awaits SECONDS: `came` is yes when it answers within them, late when it does not, and never when it will not
awaits() {
  began=$(size); runs=$(field runs); runs=${runs:-0}; pause=1; until=$(($(/bin/date +%s) + $1)); came=
  while [ -z "$came" ]; do
    if answers; then came=yes; break; fi
    reason "$(since "$began")"
    now=$(field runs)
    if [ -n "$why" ] || [ "$((${now:-0} - runs))" -ge 3 ]; then came=never; break; fi
    if [ "$(/bin/date +%s)" -ge "$until" ]; then came=late; break; fi
    if [ -z "$(field pid)" ]; then kick "system/$label"; fi
    sleep "$pause"; [ "$pause" -ge 3 ] || pause=$((pause + 1))
  done
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchdDaemon:
    """A daemon in launchd's system domain, from a plist in /Library/LaunchDaemons.

    `answers_on` is a TCP port of 127.0.0.1 on which it greets (as SSH servers do) when it is up; `start_limit` how many
    seconds that may take. `follows` is whatever else it has to be restarted for when it changes (a program's text).
    `exit_timeout` is how many seconds it has between SIGTERM and SIGKILL. `login` is a command that logs in there, where
    one can; `endings` is what its log says when it cannot come up; `loses` says what is lost when it is restarted. A
    `busy` one is a program that others wait for: launchd holds it back as little as an app, and lets it open many files.
    """

    label: str = field(metadata=reads(readers.label))
    program_arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = field(default="", metadata=reads(maybe(any_path)))
    log: str = field(default="", metadata=reads(maybe(any_path)))
    run_at_load: bool = True
    keep_alive: bool = True
    exit_timeout: int = field(default=20, metadata=reads(whole(0, 3600)))
    answers_on: int | None = field(default=None, metadata=reads(PORT))
    start_limit: int = field(default=180, metadata=reads(whole(1, 3600)))
    follows: str = field(default="", metadata=INTERNAL)
    login: str = field(default="", metadata=INTERNAL)
    endings: tuple[Ending, ...] = field(default=(), metadata=INTERNAL)
    loses: str = field(default="", metadata=INTERNAL)
    busy: bool = field(default=False, metadata=INTERNAL)
    of_builder: bool = field(default=False, metadata=INTERNAL)
    present: bool = True

    def __post_init__(self) -> None:
        for pattern, whose in _NOT_FOR_ANYBODY.items():
            if re.fullmatch(pattern, str(self.label)) and not self.of_builder:
                raise WrongParameter("label", f"{self.label} is {whose}. Choose a label of your own")
        if self.present and not (self.program_arguments and self.program_arguments[0]):
            raise WrongParameter("program_arguments", "it is the program and its arguments, and there are none")

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
        if self.busy:  # else 256 files, and processor and disk of a background task (`facts/field_reports VM 16`)
            value |= {"ProcessType": "Interactive", "SoftResourceLimits": {"NumberOfFiles": OPEN_FILES}}
        if self.log:
            value |= {"StandardOutPath": self.log, "StandardErrorPath": self.log}
        text = json.dumps([value, self.follows], sort_keys=True)
        value["EnvironmentVariables"][FINGERPRINT] = hashlib.sha256(text.encode()).hexdigest()
        return value

    @property
    def _file(self) -> WholeFile:
        return WholeFile(File(self.path), b"" if self.of_builder else FINGERPRINT.encode())

    def refusals(self, answers: Answers) -> Iterator[Refused]:
        """A job of the system: whatever its label, it was loaded from there. And one that is somebody else's (`_elsewhere`)."""
        try:
            job = answers[LaunchdJob(self.label)].job
        except Unknown:  # which `changes` says, unless it is no Mac at all
            return
        if job is not None and (job.path or "").startswith("/System/"):
            yield Refused(
                "label",
                f"{self.label} is a job of macOS's own, loaded from {job.path}",
                "Choose a label of your own",
            )
        elif job is not None and self.present and self._elsewhere(job):
            yield Refused(
                "label",
                f"{self.label} is somebody else's job, loaded from {job.path}",
                "Choose a label of your own, or have its owner take that job away",
            )

    def _elsewhere(self, job: launchctl.Job) -> bool:
        """Whether a job of this label is of another file than ours, which launchd does not name after the label."""
        of_ours = job.path in (None, "", self.path) or FINGERPRINT in job.environment
        return not (of_ours or self.of_builder)

    def questions(self) -> Iterator[Question[Any]]:
        yield from (File(self.path), LEDGER, PARENT)
        yield LaunchdJob(self.label)
        yield Attribute(self.path, QUARANTINE)
        yield LoginItemsOff()
        if self.log:
            yield Metadata(self.log)
        if self.answers_on is not None:
            yield Greeting(self.answers_on)

    def changes(self, answers: Answers) -> Iterator[Step]:
        found, loaded = answers[File(self.path)], answers[LaunchdJob(self.label)]
        if found.kind in (Kind.DIRECTORY, Kind.OTHER):
            yield in_the_way(self.path, found)
        elif self.present and login_items.is_off(answers, self.path):
            # launchd loads it when it is told to, and leaves it out again at the next boot.
            yield Blocked(f"{self.label} is switched off in this Mac's login items", login_items.remedy(self.label))
        elif self.present:
            yield from self._converge(found, loaded, answers)
        else:
            yield from self._remove(found, loaded, answers)

    def _converge(self, found: Found, loaded: Loaded, answers: Answers) -> Iterator[Step]:
        definition = self.definition()
        data = plist.dump(definition)
        wanted = Found(Kind.FILE, 0o644, 0, 0, data)
        # What launchd would refuse without a word at the next boot is written anew, which leaves its attributes behind.
        quarantined = bool(answers[Attribute(self.path, QUARANTINE)])
        as_wanted = found.kind is Kind.FILE and found.content == data and found.has(0o644, 0, 0) and not quarantined
        lint = '/usr/bin/plutil -lint "$new" || fail "plutil refuses the new plist"'
        steps = list(
            self._file.as_wanted(self.title, answers, data, check=lint, anew=quarantined, was=self._as_theirs(loaded))
        )
        if any(isinstance(step, Blocked) for step in steps):
            yield from steps
            return
        write = "".join(step.script for step in steps if isinstance(step, Change))
        kept = f" in place of somebody else's {self.path}, which is kept" if self._file.is_foreign(answers) else ""
        diffs = () if as_wanted else (diff(self.path, found, wanted),)
        gone = loaded.job is None or loaded.job.is_leaving
        reload = gone or self._is_other(found, loaded, definition)
        if reload:
            verb = "load" if gone else "reload"
            lost = f", which {self.loses}" if self.loses and not gone else ""
            yield Change(
                f"{verb} {self.title}{kept}{lost}", LAUNCHD + write + self._cycle(), diffs, self.exit_timeout + 120
            )
        elif write:
            yield Change(f"put {self.path} right{kept}", write, diffs)
        if loaded.disabled and not reload:
            yield Change(
                f"enable {self.title} for the next boot", f"/bin/launchctl enable system/{quote(self.label)}\n"
            )
        if self.answers_on is not None:
            if reload or not answers[Greeting(self.answers_on)]:
                yield Change(
                    f"wait until {self.label} answers on port {self.answers_on}",
                    self._wait(self.answers_on),
                    limit=2 * self.start_limit + self.exit_timeout + 90,
                    slow=True,
                )
        elif not reload and self.keep_alive and loaded.job is not None and loaded.job.pid is None:
            yield Change(f"start {self.title}", LAUNCHD + self._start(), limit=self.start_limit + 60)

    def _as_theirs(self, loaded: Loaded) -> str | None:
        """How launchd has somebody else's job from our path, which is remembered with its plist."""
        job = loaded.job
        if job is None or job.is_leaving or job.path != self.path or FINGERPRINT in job.environment:
            return None
        return _RUNNING if job.pid else _LOADED

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
        label = quote(self.label)
        return (
            f"if /bin/launchctl print-disabled system | /usr/bin/grep -F {quote(chr(34) + self.label + chr(34))} |"
            f" /usr/bin/grep -q -e disabled -e true; then /bin/launchctl enable system/{label}; fi\n"
            f"unload {label} {self.exit_timeout + 15}\n{self._load(self.keep_alive)}"
        )

    def _load(self, runs: bool) -> str:
        """A job that was booted out and in quickly can stay "not running" until it is kicked (seen on macOS 26.5)."""
        label, path = quote(self.label), quote(self.path)
        kick = f"/bin/launchctl kickstart system/{label} >/dev/null 2>&1 || :\n" if runs else ""
        return f"load {label} {path}\n{kick}"

    def _tail(self) -> str:
        if not self.log:
            return ""
        return (
            f"echo 'At the end of {self.log}, in the words of what runs there:' >&2\n"
            f"if [ -e {quote(self.log)} ]; then /usr/bin/tail -n 6 {quote(self.log)} >&2; fi\n"
        )

    def _wait(self, port: int) -> str:
        """Wait; restart it once, for it may hang; and say why it does not come up."""
        rows = "".join(f"    *{quote(each.text)}*) why={quote(str(each))} ;;\n" for each in self.endings)
        see = f"; see what it says in {self.log}" if self.log else ""
        return (
            f"{KICK}{_LOGS_IN.replace('LOGIN', self.login) if self.login else _GREETS}{_AWAITS}\n"
            f"label={quote(self.label)}; log={quote(self.log or '/dev/null')}\n"
            f"answers() {{ {'logs_in' if self.login else f'greets {port}'}; }}\n"
            f"reason() {{\n  why=\n  case $1 in\n{rows}  esac\n}}\n"
            # What it said when it started last may be what was put right meanwhile: it gets another start.
            f'reason "$(last_start {quote(STARTS)})"\nif [ -n "$why" ]; then kick -k "system/$label"; fi\n'
            f"awaits {self.start_limit}\n"
            'if [ "$came" = late ]; then\n  kick -k "system/$label"\n'
            f"  awaits {self.start_limit + self.exit_timeout}\nfi\n"
            'if [ "$came" != yes ]; then\n'
            f"  {self._tail()}"
            f"  [ \"$came\" = never ] || fail 'nothing greets on 127.0.0.1:{port}, not after a restart either{see}'\n"
            '  [ -n "$why" ] || why="it ended again and again, with exit code $(field "last exit code")"\n'
            f'  fail "$label does not come up: $why"{quote(see)}\nfi\n'
        )

    def _start(self) -> str:
        running = f"/bin/launchctl print system/{quote(self.label)} | /usr/bin/grep -q '^.pid = '"
        return (
            f"{KICK}kick system/{quote(self.label)}\nwaited=0\n"
            f'until {running}; do\nif [ "$waited" -ge {self.start_limit} ]; then {self._tail()}'
            f"fail '{self.label} does not keep running'; fi\nsleep 1; waited=$((waited + 1))\ndone\n"
        )

    def _remove(self, found: Found, loaded: Loaded, answers: Answers) -> Iterator[Step]:
        theirs = loaded.job is not None and self._elsewhere(loaded.job)  # which is not ours to unload
        log = answers[Metadata(self.log)] if self.log else NOTHING
        remembers = self._file.remembers(answers)
        is_gone = (loaded.job is None or theirs) and found.absent and log.absent
        if not remembers and (self._file.is_foreign(answers) or is_gone):
            return
        was = self._file.was(answers)
        again = self._load(was == _RUNNING) if was in (_LOADED, _RUNNING) else ""
        steps = list(self._file.gone(f"remove {self.title}", answers, then=again))
        blocked = [step for step in steps if not isinstance(step, Change)]
        if blocked:
            yield from blocked
            return
        unload = "" if theirs else f"unload {quote(self.label)} {self.exit_timeout + 15}\n"
        script = LAUNCHD + unload + "".join(step.script for step in steps if isinstance(step, Change))
        script += f"rm -f {quote(self.log)}\n" if self.log else ""
        diffs = () if found.absent else (diff(self.path, found, NOTHING),)
        summary = next((step.summary for step in steps), f"remove {self.title}")
        yield Change(f"{summary}, and load it again" if again else summary, script, diffs, self.exit_timeout + 120)


def _fingerprint(definition: Mapping[str, Any]) -> str:
    environment: Mapping[str, str] = definition["EnvironmentVariables"]
    return environment[FINGERPRINT]
