# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking a Mac: one script with the questions of all resources, one round trip, and the answers that come back.

A question says which *requests* it needs (read a file, run a command, wait for a greeting) and how to read what came of
them. All requests of all questions travel in one script; the commands run side by side, each with its own time limit.
An answer can be *unknown*, which is never the same as *absent*: whoever needs it gets an exception, not a default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

from .shell import quote
from .transcript import END, Transcript

AnswerT = TypeVar("AnswerT")
AnswerT_co = TypeVar("AnswerT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Request:
    """One thing for the probe to do: a verb it knows and its words. No word may hold a tab or a line's end."""

    verb: str
    words: tuple[str, ...]

    def __post_init__(self) -> None:
        for word in self.words:
            if not word or any(character in word for character in "\t\r\n\0"):
                raise ValueError(f"a request's words are not empty and hold no tab and no line's end, saw {word!r}")

    @property
    def line(self) -> str:
        return "\t".join((self.verb, *self.words))


def read(path: str) -> Request:
    """A file's kind, mode, owner and content."""
    return Request("read", (path,))


def look(path: str) -> Request:
    """A file's kind, mode and owner, never its content."""
    return Request("look", (path,))


def run(*command: str, limit: int = 10) -> Request:
    """A command's status, output and errors; it is ended after `limit` seconds."""
    return Request("run", (str(limit), *command))


def greet(port: int, limit: int = 6) -> Request:
    """The first bytes that a TCP server on 127.0.0.1 sends by itself within `limit` seconds."""
    return Request("greet", (str(limit), str(port)))


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a command: its exit status (128 + n for signal n), its output and its errors, as text."""

    status: int
    output: str
    errors: str


class Unknown(Exception):
    """An answer could not be had. The text says what was asked and why there is no answer."""


class Question(Protocol[AnswerT_co]):
    """What can be asked of a Mac. Questions are values: equal ones are asked once. As text, each says what it asks."""

    def requests(self) -> tuple[Request, ...]:
        """What the probe has to do for it."""

    def answer(self, replies: Replies) -> AnswerT_co:
        """Read the replies, in the order of the requests. Raises Unknown."""


class Replies:
    """The replies to one question's requests, in their order."""

    def __init__(self, fields: tuple[Mapping[str, bytes], ...]) -> None:
        self._fields = fields

    def fields(self, number: int) -> Mapping[str, bytes]:
        """The raw fields of a reply. Raises Unknown when the probe could not do what was requested."""
        fields = self._fields[number]
        if not fields:
            raise Unknown("it was not asked")
        if "unknown" in fields:
            raise Unknown(fields["unknown"].decode("utf-8", "replace").strip())
        return fields

    def only(self, number: int) -> Replies:
        """The reply to one of the requests, by itself."""
        return Replies((self._fields[number],))

    def ran(self, number: int) -> Ran:
        """The reply to a `run`. Raises Unknown when the command took too long or could not be started."""
        fields = self.fields(number)
        return Ran(int(fields["status"]), _text(fields["output"]), _text(fields["errors"]))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


class Answers:
    """What one Mac answered, at one moment."""

    def __init__(self, transcript: Transcript, asked: Mapping[Request, str]) -> None:
        self._transcript = transcript
        self._asked = asked
        self._known: dict[Question[Any], Any] = {}

    def __getitem__(self, question: Question[AnswerT]) -> AnswerT:
        """The answer to a question. Raises Unknown, naming the question."""
        if question not in self._known:
            try:
                replies = tuple(
                    self._transcript.fields(self._asked[request]) if request in self._asked else {}
                    for request in question.requests()
                )
                self._known[question] = question.answer(Replies(replies))
            except Unknown as reason:
                raise Unknown(f"{question}: {reason}") from None
        return cast(AnswerT, self._known[question])

    def supposing(self, answers: Mapping[Question[Any], Any]) -> Answers:
        """The same answers, but for those given here: what a Mac would answer after a change."""
        other = Answers(self._transcript, self._asked)
        other._known = {**self._known, **answers}
        return other

    @classmethod
    def given(cls, answers: Mapping[Question[Any], Any]) -> Answers:
        """Answers handed over instead of asked for, as tests do."""
        return cls(Transcript({}), {}).supposing(answers)


MOST_READ = 8 * 2**20
"""Bytes of the longest file that is read: a longer one would take the time that a whole run has."""

# The probe's program. It starts all commands at once, each as the leader of its own process group, and collects them
# one by one, so that the slowest, not their sum, is what a Mac needs. A command that outlives its limit is killed with
# what it started: macOS has no timeout(1), and `diskutil` and `nix` do hang (facts/drift D27). The time that it takes to
# print what was found, over a slow connection, is none of a command's.
_PROBE = (
    r"""
use strict; use Time::HiRes "time"; use MIME::Base64; use IO::Socket::INET; use POSIX ":sys_wait_h"; use Digest::SHA;
my ($token, $status) = @ARGV; my ($count, $printing) = (0, 0); my $digest = Digest::SHA->new(256); $| = 1; binmode STDOUT;
sub record { my ($key, $field, $value) = @_; my $line = "$token $key $field " . encode_base64($value, "");
  my $began = time; print "$line;"; $printing += time - $began; $digest->add("$line\n"); $count++ }
sub kind { my ($path) = @_;
  if (!lstat $path) { return $!{ENOENT} || $!{ENOTDIR} ? "absent" : undef }
  -l _ ? "link" : -d _ ? "directory" : -f _ ? "file" : "special file" }
sub file { my ($key, $path, $content) = @_;
  my $kind = kind($path);
  if (!defined $kind) { record($key, "unknown", "cannot look at $path: $!"); return }
  my @is = lstat _;
  if ($kind eq "file" && $content && $is[7] > MOST) {
    record($key, "unknown", "it has $is[7] bytes, and of nothing so long (more than MOST) is anything read: " .
      "see on that Mac what has grown there, and shorten it"); return }
  if ($kind eq "file" && $content) {
    open(my $file, "<", $path) or do { record($key, "unknown", "cannot read $path: $!"); return };
    binmode $file; local $/; my $data = <$file>; record($key, "content", defined $data ? $data : "") }
  if ($kind eq "link") { record($key, "target", readlink $path); record($key, "resolves", -e $path ? 1 : 0) }
  if ($kind ne "absent") {
    record($key, "mode", sprintf "%o", $is[2] & 07777); record($key, "uid", $is[4]); record($key, "gid", $is[5]) }
  record($key, "kind", $kind) }
sub start { my ($limit, @command) = @_;
  pipe(my $out, my $out_end) && pipe(my $err, my $err_end) or return { unknown => "no pipe: $!" };
  my $child = fork; return { unknown => "cannot fork: $!" } unless defined $child;
  if (!$child) {
    setpgrp; close $_ for $out, $err;
    open STDIN, "<", "/dev/null"; open STDOUT, ">&", $out_end; open STDERR, ">&", $err_end;
    exec { $command[0] } @command; POSIX::_exit($!{ENOENT} ? 127 : 126) }
  close $_ for $out_end, $err_end;
  return { child => $child, out => $out, err => $err, out_data => "", err_data => "", until => time + $limit,
    limit => $limit, name => $command[0] } }
sub finish { my ($job, $late) = @_; my $key = $job->{key};
  kill "KILL", -$job->{child} if $late;
  if ($late) { waitpid $job->{child}, 0;
    record($key, "unknown", "$job->{name} took longer than $job->{limit} seconds and was ended"); return }
  my $status = $job->{status} & 127 ? 128 + ($job->{status} & 127) : $job->{status} >> 8;
  record($key, "output", $job->{out_data}); record($key, "errors", $job->{err_data}); record($key, "status", $status) }
sub collect { my @jobs = @_;
  while (@jobs) {
    my ($read, %end) = ("");
    for my $job (@jobs) { for (qw(out err)) { my $end = $job->{$_} or next;
      vec($read, fileno $end, 1) = 1; $end{fileno $end} = [$job, $_] } }
    select $read, undef, undef, (grep { !$_->{out} && !$_->{err} } @jobs) ? 0.005 : 0.1;
    for (keys %end) { my ($job, $name) = @{$end{$_}}; next unless vec($read, $_, 1);
      sysread($job->{$name}, $job->{"${name}_data"}, 65536, length $job->{"${name}_data"}) or close delete $job->{$name} }
    my @left;
    for my $job (@jobs) {
      if (!$job->{out} && !$job->{err} && waitpid($job->{child}, WNOHANG) == $job->{child}) {
        $job->{status} = $?; finish($job, 0) }
      elsif (time - $printing > $job->{until}) { finish($job, 1) }
      else { push @left, $job } }
    @jobs = @left } }
sub greeting { my ($key, $limit, $port) = @_;
  my $said = ""; my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $port, Timeout => $limit);
  if ($socket) { my $ready = ""; vec($ready, fileno $socket, 1) = 1;
    sysread $socket, $said, 255 if select $ready, undef, undef, $limit }
  record($key, "open", $socket ? 1 : 0); record($key, "said", $said) }
print "\n";
record("script", "status", $status) if length $status;
my (@jobs, @rest);
while (my $line = <DATA>) { chomp $line; my ($key, $verb, @words) = split /\t/, $line;
  if ($verb ne "run") { push @rest, [$key, $verb, @words]; next }
  my $job = start(@words); $job->{key} = $key;
  if ($job->{unknown}) { record($key, "unknown", $job->{unknown}) } else { push @jobs, $job } }
for (@rest) { my ($key, $verb, @words) = @$_; file($key, @words, $verb eq "read") if $verb ne "greet" }
collect(@jobs);
for (@rest) { my ($key, $verb, @words) = @$_; greeting($key, @words) if $verb eq "greet" }
print "$token END $count ", $digest->hexdigest, "\n";
""".replace("END", END)
    .replace("MOST", str(MOST_READ))
    .strip()
)


@dataclass(frozen=True, slots=True)
class Probe(Generic[AnswerT]):
    """The script that asks a set of questions. It only looks."""

    questions: frozenset[Question[Any]]

    def _numbered(self) -> dict[Request, str]:
        requests = {request for question in self.questions for request in question.requests()}
        return {request: str(number) for number, request in enumerate(sorted(requests, key=lambda each: each.line))}

    def script(self, token: str, status: str = "") -> str:
        """The body of the script; its records carry the token (letters and digits).

        `status` is a word of shell: the exit status of what ran before, to be recorded as that of the script.
        """
        lines = "".join(f"{number}\t{request.line}\n" for request, number in self._numbered().items())
        program = quote(f"{_PROBE}\n__END__\n{lines}")
        # By a pipe: macOS's sh, bash 3.2, writes a here-document to a file, and a Mac whose disk is full has to answer too.
        return f"printf %s {program} | /usr/bin/perl - {token} {status or quote('')}\n"

    def answers(self, transcript: Transcript) -> Answers:
        """The answers that its transcript holds."""
        return Answers(transcript, self._numbered())


def probe_of(questions: Iterable[Question[Any]]) -> Probe[Any]:
    """A probe with every question once."""
    return Probe(frozenset(questions))


Asker = Callable[[Question[AnswerT]], AnswerT]
