# SPDX-License-Identifier: GPL-3.0-or-later
"""The shell that every script for a Mac stands on: how it is wrapped, and the few functions that all of them share.

Scripts are POSIX sh and use macOS's own commands only. They travel on standard input; the shell parses the whole body
before it runs any of it, because nothing in it may eat the rest of the script (`facts/ansible §1.2`: macOS's sh is bash,
where a child that reads standard input swallows the lines to come). perl does what sh cannot: flush a file to disk,
hold a lock, and end what takes too long (macOS has no flock and no timeout).
"""

from __future__ import annotations

import base64
import shlex

quote = shlex.quote

STATE_DIRECTORY = "/var/lib/builderfleet"
FOLDER = "/var/run/builderfleet.folder"  # of the script that holds the lock, for what is in its hands
LOCK_FILE = "/var/run/builderfleet.lock"  # /var/run is emptied at boot: a lock does not outlive its Mac's power
PROOF_FILE = f"{STATE_DIRECTORY}/proved"

LOCKED = 75
STALE = 76
RESTART = 77
PERSON = 78
LEASE = 10  # seconds that a run keeps its Mac between two of its scripts
LOCK_PATIENCE = 20  # seconds to wait for another run; longer than a lease, so that a run that died is outlived

PROXIED = ("http_proxy", "https_proxy", "HTTPS_PROXY", "NIX_INSTALLER_PROXY")
"""The variables by which curl, Nix and its installer (whose `--proxy` is the last) are told of a proxy."""

PATH = "/usr/bin:/bin:/usr/sbin:/sbin"


def encode(data: bytes) -> str:
    """Base64 in lines of 76, for a here-document."""
    return base64.encodebytes(data).decode("ascii")


def wrap(body: str) -> str:
    """A script for ``/bin/sh -s``: parsed as a whole before it runs, and with nothing to read.

    It never ends with 255: that is ssh's own word for a lost connection (`facts/ansible §1.2`).
    """
    return (
        f"PATH={PATH} LC_ALL=C; export PATH LC_ALL; umask 022\n(\n{body.strip()}\n) </dev/null\n"
        "status=$?; [ $status -ne 255 ] || status=254; exit $status\n"
    )


def through(proxy: str) -> str:
    """Shell after which what is started goes through a proxy. Not on command lines: it may hold a password."""
    return f"export {' '.join(f'{name}={quote(proxy)}' for name in PROXIED)}\n" if proxy else ""


def here(data: bytes) -> str:
    """A here-document that carries any bytes, base64, to the command before it."""
    return f"<<'BYTES'\n{encode(data)}BYTES\n"


# `stage` writes the new file beside the old one, flushed to disk; the caller has the program that will read it check it;
# `commit` puts it in place. Both refuse when the file is no longer what was seen, so that a plan that has grown stale
# does not overwrite what somebody changed since. A rename that is not preceded by a flush left empty files after a
# power loss (facts/simulation_recipes §3); on macOS only F_FULLFSYNC (51) reaches the platter.
_FILES = r"""
fail() { printf '%s\n' "$*" >&2; exit 1; }
needs_restart() { printf '%s\n' "$*" >&2; exit 77; }
needs_person() { printf '%s\n' "$*" >&2; exit 78; }

staged() { printf '%s/.%s.builderfleet-new' "${1%/*}" "${1##*/}"; }

# files VERB PATH SEEN [MODE UID GID [FROM]]: the bytes of a staged file are those of the file FROM, or come in on
# standard input, base64
files() {
  /usr/bin/perl -MMIME::Base64 -MDigest::SHA -e '
    use strict; use Fcntl;
    my ($verb, $path, $seen, $mode, $uid, $gid, $from) = @ARGV;
    my ($directory, $name) = $path =~ m{^(.*)/([^/]+)$};
    my $staged = "$directory/.$name.builderfleet-new";
    sub flush { my ($file) = @_;
      require IO::Handle; $file->flush; $^O eq "darwin" and fcntl($file, 51, 0); $file->sync or die "cannot flush: $!\n" }
    # A flag of the file system stops root as well. Linux, where the tests run, has no such flags in its ls.
    sub refuse_immutable { for my $each (@_) {
      next unless -e $each || -l $each;
      open(my $ls, "-|", "/bin/sh", "-c", "exec /bin/ls -ldnO \"\$1\" 2>/dev/null", "sh", $each) or next;
      my $flags = (split " ", scalar(<$ls>) // "")[4] // ""; my @set = $flags =~ /\b([us](?:chg|appnd))\b/g or next;
      my $off = join ",", map { "no$_" } @set;
      print STDERR "$each is immutable (" . join(", ", @set) . "): not even root may change it. Find out who locked it;" .
        " `sudo chflags $off $each` on that Mac unlocks it. Then run again\n";
      exit 78 } }
    sub flush_directory { open(my $entries, "<", $directory) or return; require IO::Handle; $entries->sync }
    my $now = "absent";
    if (-l $path) { $now = "link" }
    elsif (-d $path) { $now = "directory" }
    elsif (-e $path) { $now = Digest::SHA->new(256)->addfile($path, "b")->hexdigest }
    if ($seen ne "any" && $now ne $seen) {
      print STDERR "$path has changed since it was looked at: it was $seen, it is $now; run again\n"; exit 76 }
    refuse_immutable($path, $directory) if $verb ne "commit";
    if ($verb eq "stage") {
      my $data = "";
      if (defined $from) { open(my $source, "<", $from) or die "cannot read $from: $!\n"; binmode $source; local $/;
        $data = <$source>; defined $data or die "cannot read $from: $!\n" }
      else { local $/; $data = decode_base64(<STDIN>) }
      unlink $staged;
      sysopen(my $file, $staged, O_WRONLY | O_CREAT | O_EXCL, 0600) or die "cannot write $staged: $!\n";
      binmode $file; print $file $data or die "cannot write $staged: $!\n";
      flush($file);
      chown($uid, $gid, $file) or die "cannot set the owner of $staged: $!\n";
      chmod(oct $mode, $file) or die "cannot set the mode of $staged: $!\n";
      flush($file); close($file) or die "cannot write $staged: $!\n";
    } elsif ($verb eq "commit") {
      if (!rename($staged, $path)) { my $why = "$!"; unlink $staged; die "cannot replace $path: $why\n" } flush_directory();
    } elsif ($verb eq "discard") {
      unlink $staged; if (-e $path || -l $path) { unlink($path) or die "cannot remove $path: $!\n" } flush_directory();
    }' "$@"
}
stage() { files stage "$@"; }
commit() { files commit "$@"; }
discard() { files discard "$@"; }

# unless_zero STATUS PATH: ends the script with a check's status; what it refused is taken away
unless_zero() { if [ "$1" -ne 0 ]; then rm -f "$(staged "$2")"; exit "$1"; fi; }

# fresh_folder: makes $folder, a private one, which goes when the script ends
fresh_folder() { folder=FOLDER; rm -rf "$folder"; mkdir -m 0700 "$folder"; }

# directory MODE UID GID PATH: made when it is missing
directory() {
  [ -d "$4" ] || mkdir -m "$1" "$4" || fail "cannot make the directory $4"
  chown "$2:$3" "$4" || fail "cannot set the owner of $4"
  chmod "$1" "$4" || fail "cannot set the mode of $4"
}

# the bytes that come in as base64; its own tool knows them as -d or -D, by the version of macOS
decoded() { /usr/bin/perl -MMIME::Base64 -0777 -ne 'print decode_base64($_)'; }

# limit SECONDS COMMAND...: its status, or 124 when it was ended because it took longer
limit() {
  /usr/bin/perl -e '
    my $seconds = shift; my $child = fork; defined $child or die "cannot fork: $!\n";
    if (!$child) { setpgrp; exec { $ARGV[0] } @ARGV; print STDERR "cannot run $ARGV[0]: $!\n"; exit 127 }
    $SIG{ALRM} = sub { kill "KILL", -$child; waitpid $child, 0;
      print STDERR "$ARGV[0] took longer than $seconds seconds and was ended\n"; exit 124 };
    $SIG{$_} = sub { kill "KILL", -$child; exit 130 } for qw(HUP INT TERM);
    alarm $seconds; waitpid $child, 0; exit($? & 127 ? 128 + ($? & 127) : $? >> 8)' "$@"
}
""".replace("FOLDER", FOLDER)

# The kernel holds the lock for as long as the script runs (flock goes with the process, however it ends); between two
# scripts of one run a lease of a few seconds stands in the file. So a run that died or failed blocks nobody for long.
# A line of the file: run, until when it is leased (seconds since 1970), who, process on this Mac, since when, at what.
_LOCK = r"""
# lock RUN WHO PATIENCE LEASE WHAT: descriptor 9 holds it until the script ends; LEASE is how long it holds after that
lock() {
  while :; do
    exec 9<>LOCK_FILE || fail "cannot open LOCK_FILE"
    lease "$@" && return 0
    status=$?
    [ "$status" -eq 99 ] || exit "$status"
  done
}

# lease RUN WHO PATIENCE LEASE WHAT: through descriptor 9; 99 when the file is not the one that is there any more
lease() {
  /usr/bin/perl -e '
    use strict; use Fcntl qw(:flock); use POSIX "strftime";
    my ($run, $who, $patience, $lease, $what) = @ARGV; my $give_up = time + $patience; my $holder = "";
    open(my $lock, "+<&=", 9) or die "cannot use the lock: $!\n";
    sub lease { seek $lock, 0, 0; my @words = split /\t/, (scalar <$lock> // ""); chomp @words; @words }
    while (1) {
      my $free = flock($lock, LOCK_EX | LOCK_NB);
      if ($free) {
        my @mine = stat $lock; my @there = stat "LOCK_FILE";
        exit 99 if !@there || $mine[1] != $there[1];
      }
      my ($other, $until, $whose, $process, $since, $at) = lease();
      last if $free && (!defined $other || $other eq $run || $until <= time || $until > time + 10 * LEASE);
      $holder = $whose // "a script of another run";
      $holder .= ", who is at \"$at\" since " . strftime("%H:%M:%S", localtime $since) . " (process $process on this Mac)"
        if defined $at && $since =~ /^\d+$/;
      flock($lock, LOCK_UN) if $free;
      if (time >= $give_up) { print STDERR "locked by $holder; waited $patience seconds for it. Run again when that is over;" .
        " what lost its controller ends by itself within seconds, an installation when it is done\n"; exit 75 }
      select undef, undef, undef, 0.2;
    }
    seek $lock, 0, 0; truncate $lock, 0; require IO::Handle;
    print $lock join("\t", $run, time + $lease, $who, getppid, time, $what), "\n"; $lock->flush; exit 0' "$@"
}
""".replace("LOCK_FILE", LOCK_FILE).replace("10 * LEASE", str(10 * LEASE))

# A controller that dies, or its connection, must not leave a script that waits and holds the lock while nobody listens.
# Two signs: the processes that lead to this one are not all there any more (sshd's session ends with its connection), or
# nobody takes what is written to the errors, which the next words of a multiplexed connection would (there sshd stays).
_LISTENED = r"""
# while_listened PROCESS: ends that process, and all that it has started, when nobody listens any more. It runs beside the
# script until it is killed
while_listened() {
  exec /usr/bin/perl -e '
    use strict; my ($process) = @ARGV;
    sub parents { map { /^\s*(\d+)\s+(\d+)/ ? ($1 => $2) : () } `/bin/ps -A -o pid= -o ppid= 2>/dev/null` }
    my %parent = parents(); my @above;
    for (my $each = $parent{$process}; $each && $each > 1; $each = $parent{$each}) { push @above, $each }
    $SIG{PIPE} = "IGNORE"; $SIG{TERM} = sub { exit 0 };
    my $silent = 0; my $alone = 0;
    until ($alone) {
      sleep 1; exit 0 unless kill 0, $process;
      $alone = grep { !kill 0, $_ } @above;
      if (++$silent >= 5) { $silent = 0; $alone ||= !defined syswrite STDERR, "\n" } }
    %parent = parents(); my @below = ($process); my %seen;
    while (defined(my $each = shift @below)) { next if $seen{$each}++ || $each == $$;
      push @below, grep { $parent{$_} == $each } keys %parent }
    delete $seen{$$};
    kill "TERM", keys %seen; select undef, undef, undef, 2; kill "KILL", keys %seen' "$@"
}

# unlistened: what follows is worse half done than done, and goes on whoever listens
unlistened() { kill "${listening-}" 2>/dev/null || :; }
"""

LIBRARY = (_FILES + _LOCK + _LISTENED).strip()


def guarded(script: str, *, run: str, who: str, what: str, slow: bool = False) -> str:
    """A change's script under the Mac's lock, with the functions it may use; its standard output goes to the errors.

    It stops at the first command that fails. What proved that the builder works is no longer proved once it runs. There is
    no EXIT trap, because in bash 3.2 that decides the status of a script that an unset variable ends; and the script is
    not left of `||`, where `set -e` would be off in it.
    """
    words = f"{quote(run)} {quote(who)}"
    # A Mac that falls asleep over a download loses it (`facts/field_reports 15`); this ends with the script.
    awake = '/usr/bin/caffeinate -i -w "$$" >/dev/null 2>&1 9>&- &\n' if slow else ""
    return (
        f"set -eu\nexec 1>&2\n{LIBRARY}\n"
        f"lock {words} {LOCK_PATIENCE} 0 {quote(what)}\n"
        f"rm -f {PROOF_FILE}\n{awake}"
        '(while_listened "$$") 9>&- &\nlistening=$!\n'
        f"set +e\n(\nset -e\n{script.strip()}\n)\nstatus=$?\n"
        'kill "$listening" 2>/dev/null\n'
        f"rm -rf {FOLDER}\n"
        # One that failed has nothing left to do here; one that found its plan stale goes on.
        f'if [ "$status" -ne 0 ] && [ "$status" -ne {STALE} ]; then\n{released(run)}fi\n'
        '[ "$status" -eq 0 ] || exit "$status"\n'
        # Kept for what comes next, unless the file was taken away meanwhile: that is no failure of the change.
        f"lease {words} 0 {LEASE} {quote(what)}\n"
        "status=$?\n"
        '[ "$status" -eq 0 ] || [ "$status" -eq 99 ]\n'
    )


def released(run: str) -> str:
    """Shell that takes a run's lock away, unless it has become another's."""
    return f"if /usr/bin/grep -q '^{run}' {LOCK_FILE} 2>/dev/null; then rm -f {LOCK_FILE}; fi\n"
