# SPDX-License-Identifier: GPL-3.0-or-later
"""What Nix on a Mac says of itself (`facts/nix_configuration §1, §6`)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..asking import Replies, Request, Unknown, run

DAEMONS = ("systems.determinate.nix-daemon", "org.nixos.nix-daemon")

NIX = "/nix/var/nix/profiles/default/bin"
PLACES = (NIX, "/run/current-system/sw/bin")
"""Where Nix is looked for: in the default profile, in nix-darwin's system profile, then where its daemon is."""

# N is where Nix is, or would be. nix-darwin's daemon runs from the store, and the default profile may hold no Nix there.
FIND = (
    f'N=; for each in {" ".join(PLACES)} $(/usr/bin/sed -n "s,.*\\(/nix/store/[^ <]*/bin\\)/nix-daemon.*,\\1,p"'
    f" {' '.join(f'/Library/LaunchDaemons/{each}.plist' for each in DAEMONS)} 2>/dev/null);"
    f' do if [ -z "$N" ] && [ -x "$each/nix" ]; then N=$each; fi; done; N=${{N:-{NIX}}}'
)

# Runs a command in the environment of Nix's daemon, or what of it matters to which configuration Nix reads; its build hook
# reads root's own files as well. launchd knows the environment, whatever the plist says by now.
_DAEMONS_ENVIRONMENT = " ".join(
    r"""
my %found = (PATH => "/usr/bin:/bin", HOME => "/var/root");
open(my $errors, ">&", \*STDERR); open(STDERR, ">", "/dev/null");
for my $label (qw(LABELS)) { open(my $print, "-|", "/bin/launchctl", "print", "system/$label") or next;
while (<$print>) { $found{$1} = $2 if
/^\s+(NIX_CONF_DIR|NIX_USER_CONF_FILES|NIX_CONFIG|NIX_REMOTE_SYSTEMS|XDG_CONFIG_HOME|XDG_CONFIG_DIRS|HOME) => (.*)$/ } }
open(STDERR, ">&", $errors); %ENV = %found; exec { $ARGV[0] } @ARGV; exit 127
""".replace("LABELS", " ".join(DAEMONS)).split("\n")
).strip()
_AS_DAEMON = ("/usr/bin/perl", "-e", _DAEMONS_ENVIRONMENT)

_BARE = "/usr/bin/env -i PATH=/usr/bin:/bin HOME=/var/empty NIX_CONF_DIR=/var/empty NIX_USER_CONF_FILES="

# What is asked in any case. All settings would be others' secrets too, such as access-tokens: those never leave the Mac.
SETTINGS = (
    "allowed-users",
    "builders",
    "builders-use-substitutes",
    "extra-platforms",
    "trusted-users",
)

# `nix config show` since 2.20, `nix show-config` before; a Nix too old for the first fails at once. The environment is
# the daemon's, so that it is its configuration that is shown, not some user's (facts/drift D32).
_SHOW = f"""
{FIND}
[ -x "$N/nix" ] || exit 127
show() {{ "$N/nix" --extra-experimental-features nix-command "$@"; }}
all=$(show config show 2>/dev/null) || all=$(show show-config) || exit $?
printf "%s\\n" "$all" |
/usr/bin/awk -v names="$*" 'BEGIN {{ for (i = split(names, all, " "); i; i--) wanted[all[i]] = 1 }} $2 == "=" && $1 in wanted'
"""

# When a file was changed is when its inode was: one that is put back may have an old time of its content. A file that is gone
# may have been read by a daemon that runs: its directory was changed then. Not so in /etc/nix, where files come and go.
# Names and places only: values are others' secrets too, so that of access-tokens but the well-known hosts are told. The rules
# are those of formats/nix_conf; a file is read at the place of its include, user files in the opposite order of their list.
_WALK = r"""
sub out { print join("\t", @_), "\n" }
sub changed { my $of = (stat $_[0])[10] // 0; my $link = (lstat $_[0])[10] // 0; $link > $of ? $link : $of }
sub gone { my ($folder) = $_[0] =~ m{^(.*)/}; out($_[0], 0, "!end", changed($folder)) if -d $folder && $folder ne "/etc/nix" }
sub walk { my ($path, $depth) = @_; open(my $file, "<", $path) or do { gone($path) if !-e $path; return 0 };
my $number = 0; my ($folder) = $path =~ m{^(.*)/};
while (my $line = <$file>) { $number++; $line =~ s/#.*//s; my @words = split " ", $line or next;
if ($words[0] =~ /^!?include$/ && @words == 2) { my $other = $words[1] =~ m{^/} ? $words[1] : "$folder/$words[1]";
next if $depth > 20 || walk($other, $depth + 1) || -e $other;
out($path, $number, $words[0] eq "include" ? "!missing" : "!optional", $other) }
elsif (@words > 1 && $words[1] eq "=" && $words[0] !~ /^!?include$/) {
out($path, $number, $words[0], $words[0] =~ /^(?:extra-)?access-tokens$/
? join(" ", map { /^(git(?:hub|lab)\.com)=/ } @words[2 .. $#words]) : $words[0] ne "builders" ? "" : @words == 2 ? "empty" :
$line =~ m{[;\s]\@/etc/nix/machines\s*(?:;|$)} ? "machines" : "") }
else { out($path, $number, "!unreadable", "") } }
out($path, $number, "!end", changed($path)); return 1 }
my $home = $ENV{XDG_CONFIG_HOME} // "$ENV{HOME}/.config";
my @users = defined $ENV{NIX_USER_CONF_FILES} ? split(/:/, $ENV{NIX_USER_CONF_FILES})
: map { "$_/nix/nix.conf" } $home, split(/:/, $ENV{XDG_CONFIG_DIRS} // "/etc/xdg");
walk(($ENV{NIX_CONF_DIR} // "/etc/nix") . "/nix.conf", 0); walk($_, 0) for reverse @users
"""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings in effect, or why there are none to be seen: no Nix, or a configuration that Nix does not read."""

    installed: bool
    settings: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class NixConfiguration:
    """Settings that Nix reads from its files: those of SETTINGS, and one `more` where that is named; no others."""

    more: str = ""

    @classmethod
    def of(cls, setting: str) -> NixConfiguration:
        """The question that asks for a setting."""
        return cls() if setting in SETTINGS else cls(setting)

    def __str__(self) -> str:
        return "the configuration of Nix"

    def requests(self) -> tuple[Request, ...]:
        script = "; ".join(_SHOW.strip().splitlines()).replace("|; ", "| ")
        more = filter(None, (self.more,))
        return (run(*_AS_DAEMON, "/bin/sh", "-c", script, "sh", *SETTINGS, *more, limit=30),)

    def answer(self, replies: Replies) -> Configuration:
        ran = replies.ran(0)
        if ran.status == 127:
            return Configuration(installed=False)
        if ran.status != 0:
            return Configuration(installed=True, error=_complaint(ran.errors))
        pairs = (line.split(" =", 1) for line in ran.output.splitlines() if " =" in line)
        return Configuration(installed=True, settings={name: value.strip() for name, value in pairs})


def _complaint(errors: str) -> str:
    """The line that says what is wrong: warnings stand before it, and how to get help after it."""
    said = [line.strip() for line in errors.splitlines() if line.strip()]
    line = next((line for line in said if line.startswith("error:")), said[-1] if said else "no word")
    return re.sub(r"(invalid value) '.*'", r"\1", line)  # the value is somebody's


@dataclass(frozen=True, slots=True)
class Source:
    """A line of Nix's configuration that counts, in the order in which Nix reads them. `line` counts from 1.

    `name` is the setting that the line sets, or one of MISSING (`other` is included and not there), OPTIONAL (the same, and
    no error), UNREADABLE (Nix refuses the line) and END (the file ends here, or with line 0 is not there; `changed` says when
    it was changed last, or when its directory was, in seconds since 1970). Of `builders` it is said in `other` whether the
    line says nothing (EMPTY), or names /etc/nix/machines (ALL); of `access-tokens`, for which of github.com and gitlab.com it
    has one.
    """

    file: str
    line: int
    name: str
    other: str = ""
    changed: int = 0

    MISSING = "!missing"
    OPTIONAL = "!optional"
    UNREADABLE = "!unreadable"
    END = "!end"
    EMPTY = "empty"
    ALL = "machines"

    @property
    def where(self) -> str:
        return f"{self.file}, line {self.line}"

    @property
    def dated(self) -> str:
        """The path that `changed` is of."""
        return self.file if self.line else self.file.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class NixSources:
    """Which file and line sets what, of all that Nix's daemon and its build hook read; no values."""

    def __str__(self) -> str:
        return "the lines of Nix's configuration"

    def requests(self) -> tuple[Request, ...]:
        return (run(*_AS_DAEMON, "/usr/bin/perl", "-e", " ".join(_WALK.split("\n")), limit=20),)

    def answer(self, replies: Replies) -> tuple[Source, ...]:
        ran = replies.ran(0)
        if ran.status != 0:
            raise Unknown(f"Nix's files cannot be read through: {ran.errors.strip()}")
        return tuple(map(_source, filter(None, ran.output.splitlines())))


def _source(line: str) -> Source:
    try:
        path, number, name, rest = line.split("\t")
        if name == Source.END:
            return Source(path, int(number), name, changed=int(rest))
        return Source(path, int(number), name, rest)
    except ValueError as error:
        raise Unknown(f"the list of Nix's files makes no sense: {error}") from error


# It is Nix itself under another name, which old ones have a link for; there the name of a wrapper would not do. It reads the
# machines once it has heard its parent's settings, none here, and ends when nobody asks it for anything. A dummy store is
# opened without a trace. Lix is left out: from 2.94 on its hook is spoken to in another way, and might wait for ever.
_READ_MACHINES = f"""
{FIND}
hook=$N/../libexec/nix/build-remote
[ -x "$hook" ] || hook=$N/nix
[ -x "$hook" ] || exit 0
case $("$N/nix" --version 2>/dev/null) in *"(Lix"*) exit 0 ;; esac
printf "\\0\\0\\0\\0\\0\\0\\0\\0" |
NIX_REMOTE=dummy:// /usr/bin/perl -e 'exec {{ shift }} "build-remote", "0"' "$hook"
"""


@dataclass(frozen=True, slots=True)
class NixBuildHook:
    """What Nix's build hook, which is what sends builds elsewhere, says when it reads which machines there are.

    Empty: it reads them all, or it was not asked (no Nix, or Lix). Otherwise its error: it knows no machine at all, because of
    one line.
    """

    def __str__(self) -> str:
        return "the build hook of Nix"

    def requests(self) -> tuple[Request, ...]:
        script = "; ".join(_READ_MACHINES.strip().splitlines()).replace("|; ", "| ")
        return (run(*_AS_DAEMON, "/bin/sh", "-c", script, limit=20),)

    def answer(self, replies: Replies) -> str:
        ran = replies.ran(0)
        if ran.status == 0:
            return ""
        said = [_message(line) for line in ran.errors.splitlines() if line.strip()]
        return next((each for each in said if each), f"status {ran.status}")


def _message(line: str) -> str:
    """A line of the hook's, which logs in JSON: an error's own text, without colours; nothing for what is no error."""
    if not line.startswith("@nix "):
        return line.strip()
    try:
        said = json.loads(line.removeprefix("@nix "))
    except ValueError as error:
        raise Unknown(f"the build hook's log makes no sense: {error}") from error
    # What it says in front names the row; what stands behind is what is wrong with a field of it.
    return re.sub(r"\x1b\[[0-9;]*m", "", str(said["msg"])) if "raw_msg" in said else ""


@dataclass(frozen=True, slots=True)
class NixVersion:
    """What `nix --version` prints, e.g. ``nix (Nix) 2.35.2``; empty when there is no Nix that runs.

    It is asked without configuration: with a line in nix.conf that it does not read, Nix does not even say its version.
    """

    def __str__(self) -> str:
        return "the version of Nix"

    def requests(self) -> tuple[Request, ...]:
        ask = f'{FIND}; exec {_BARE} "$N/nix" --version'
        return (run("/bin/sh", "-c", ask, limit=20),)

    def answer(self, replies: Replies) -> str:
        ran = replies.ran(0)
        return ran.output.strip() if ran.status == 0 else ""


@dataclass(frozen=True, slots=True)
class DaemonReply:
    """Whether the Nix daemon answers, and if not, its client's last word."""

    answers: bool
    error: str = ""


# With `--query --hash` and no path, Nix opens no connection, and succeeds whatever the daemon does. Without configuration,
# as the version is asked: a line that the client does not read says nothing about the daemon.
ASK_DAEMON = (
    "/bin/sh",
    "-c",
    f'{FIND}; exec {_BARE} "$N/nix-store" --store daemon --check-validity --print-invalid /nix/store/{"0" * 32}-x',
)
"""A command that succeeds when the Nix daemon answers."""


@dataclass(frozen=True, slots=True)
class NixDaemonReply:
    """What a client of the Nix daemon sees. That it has to wait for ever is an answer as well: the daemon hangs."""

    def __str__(self) -> str:
        return "the Nix daemon"

    def requests(self) -> tuple[Request, ...]:
        return (run(*ASK_DAEMON, limit=20),)

    def answer(self, replies: Replies) -> DaemonReply:
        try:
            ran = replies.ran(0)
        except Unknown as reason:
            if "took longer" in str(reason):
                return DaemonReply(False, str(reason))
            raise
        lines = ran.errors.strip().splitlines()
        return DaemonReply(ran.status == 0, lines[-1].strip() if lines else f"status {ran.status}")


@dataclass(frozen=True, slots=True)
class NixDaemonStart:
    """When the process of Nix's daemon was started, in seconds since 1970 (1 either way); None where it does not run."""

    def __str__(self) -> str:
        return "the start of Nix's daemon"

    def requests(self) -> tuple[Request, ...]:
        ask = (
            f"for each in {' '.join(DAEMONS)}; do pid=$(/bin/launchctl print system/$each 2>/dev/null |"
            ' /usr/bin/awk \'$1 == "pid" && $2 == "=" { print $3; exit }\');'
            ' if [ "$pid" ]; then echo "$(/bin/date +%s) $(/bin/ps -o etime= -p "$pid")"; exit; fi; done'
        )
        return (run("/bin/sh", "-c", ask),)

    def answer(self, replies: Replies) -> int | None:
        words = replies.ran(0).output.split()
        if len(words) < 2:
            return None
        match = re.fullmatch(r"(?:(?:([0-9]+)-)?([0-9]+):)?([0-9]+):([0-9]+)", words[1])
        if match is None or not words[0].isdigit():
            raise Unknown(f"ps says how long the Nix daemon runs in other words: {words[1]!r}")
        days, hours, minutes, seconds = (int(each or 0) for each in match.groups())
        return int(words[0]) - (((days * 24 + hours) * 60 + minutes) * 60 + seconds)
