# SPDX-License-Identifier: GPL-3.0-or-later
"""The builder VM: nixpkgs' `darwin.linux-builder` with its host side made to measure, and everything it runs from.

Only settings that stay outside the guest are overridden, so that the guest's system comes from the binary cache as it
is and no Linux builder is needed to make one (`facts/linux_builder §0`). Its own start scripts are not used: they put
the client's private key, readable for everybody, into the Nix store. `run-nixos-vm` is run directly instead, with a
directory that holds the public half alone (`§1.9`); and it listens on 127.0.0.1 only.

The run program hangs on a GC root that is named after the expression that it was made from. So what is wanted has a
path that is known before anything is evaluated, and another expression is another program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from .. import readers
from ..asking import Answers, Question, Replies, Request, Unknown, look, run
from ..endings import STARTS
from ..files import diff, own_file
from ..ledger import BACKUPS, LEDGER, LEDGER_WAS_GONE, PARENT, STATE, ledger, written
from ..questions.attribute import NO_BACKUP, NO_BACKUP_VALUE, Attribute
from ..questions.certificates import Certificates
from ..questions.file import File, Found, Kind, Metadata, found
from ..questions.free_space import MAC_SPACE, Space
from ..questions.key_pair import KeyPair
from ..questions.launchd import LaunchdJob
from ..questions.mac import Mac
from ..questions.names import Names
from ..questions.network import Greeting
from ..questions.nix import FIND, NixSources
from ..readers import locked_flake, path, reads
from ..resource import INTERNAL, Blocked, Change, Refused, Resource, Step
from ..shell import PROXIED, STATE_DIRECTORY, encode, quote, through
from ..size import Size
from ..variables import DEFAULTS, like
from . import builder_ssh
from .mac_requirements import RoomForVm, RootOnMac

LABEL = "org.builderfleet.linux-builder"
ALIAS = "builderfleet"
KEY = "/etc/nix/builderfleet_ed25519"
DIRECTORY = f"{STATE_DIRECTORY}/linux-builder"
WRAPPER = f"{DIRECTORY}/run"
KEYS = f"{DIRECTORY}/keys"
LOG = "/var/log/builderfleet-linux-builder.log"
ENDS_BUILDS = "ends the builds that run in it"
_NO_BACKUP = f"/usr/bin/xattr -wx {NO_BACKUP} {NO_BACKUP_VALUE} {DIRECTORY}\n"
REALISE = "realise the builder VM"
EXCLUDE = "keep the builder VM's disk out of Time Machine's backups"
RENEW = f"restart the builder VM with the certificates as they are now, which {ENDS_BUILDS}"
CERTIFICATES = f"{DIRECTORY}/tmp/certs/ca-certificates.crt"  # run-nixos-vm's copy, which its guest sees
PROFILES = Metadata("/nix/var/nix/profiles")
MOST_LOG = 10 * 2**20  # bytes, beyond which the log is shortened
LEFT_OF_LOG = 2**16
DISK = Metadata(f"{DIRECTORY}/nixos.qcow2")
KNOWN_HOSTS = File(f"{DIRECTORY}/known_hosts")
PUBLIC_KEY = File(f"{KEYS}/builder_ed25519.pub")
ROOTS = "/nix/var/nix/gcroots/builderfleet"
_MEMORY, _DISK = Size.parse(DEFAULTS["linux_builder_memory"]), Size.parse(DEFAULTS["linux_builder_disk"])
_OWN_DIRECTORIES = (Metadata(DIRECTORY), Metadata(KEYS))

# SIGTERM to the start script, which asks the guest to shut down; launchd starts it again. It takes the time that a
# shutdown takes: what asks next must not be answered by the VM that is on its way out.
_RESTART = r"""
process() { /bin/launchctl print "system/$1" | /usr/bin/awk '/^\tpid = /{print $3}'; }

# restart LABEL PID: the process that is to go; one that has gone by itself is as good
restart() {
  if [ "$(process "$1")" = "$2" ]; then /bin/launchctl kill SIGTERM "system/$1" || :; fi
  waited=0
  while [ "$(process "$1")" = "$2" ]; do
    [ "$waited" -lt 90 ] || fail "$1 was told to stop, and process $2 still runs after $waited seconds"
    sleep 1; waited=$((waited + 1))
  done
}
"""

# A command in an environment of these names alone. `env -i` would show their values to everybody who asks ps.
_WITH = (
    "/usr/bin/perl -e 'my %kept = map { $_ => 1 } split / /, shift; delete @ENV{grep { !$kept{$_} } keys %ENV};"
    ' exec { $ARGV[0] } @ARGV; die "cannot run $ARGV[0]: $!\\n"\''
)

_NEW_DISK = r"""
waited=0
until [ -e "$disk" ]; do
  [ "$waited" -lt 120 ] || fail "the builder VM was restarted, but there is no $disk after $waited seconds"
  sleep 1; waited=$((waited + 1))
done
"""


@dataclass(frozen=True, slots=True)
class RootNames:
    """The names of the GC roots that are kept for builder VMs."""

    def __str__(self) -> str:
        return "the GC roots of builder VMs"

    def requests(self) -> tuple[Request, ...]:
        return look(ROOTS), run("/bin/ls", ROOTS)

    def answer(self, replies: Replies) -> tuple[str, ...]:
        ran = replies.ran(1)
        if found(replies.only(0)).absent:
            return ()
        if ran.status != 0:
            raise Unknown(f"ls {ROOTS} ended with status {ran.status}: {ran.errors.strip()}")
        return tuple(ran.output.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderVm:
    """The VM's program, its keys directory, its start script and its disk. It is launchd that runs it.

    `nixpkgs` is a locked flake reference. `memory` and `disk` are sizes; the disk's counts when the disk is made.
    `key` is the path of the client's key pair, `label` that of the launchd daemon, `alias` the ssh host of the guest.
    `certificates` is the bundle of CA certificates that the guest trusts, `host_key` the line of its public host key.
    """

    nixpkgs: str = field(default=DEFAULTS["linux_builder_nixpkgs"], metadata=reads(locked_flake))
    cores: int = field(default=DEFAULTS["linux_builder_cores"], metadata=like("linux_builder_cores"))
    memory: Size = field(default=_MEMORY, metadata=like("linux_builder_memory"))
    disk: Size = field(default=_DISK, metadata=like("linux_builder_disk"))
    port: int = field(default=DEFAULTS["linux_builder_port"], metadata=like("linux_builder_port"))
    key: str = field(default=KEY, metadata=reads(path))
    label: str = field(default=LABEL, metadata=reads(readers.label))
    alias: str = field(default=ALIAS, metadata=reads(readers.alias))
    host_key: str = field(default=DEFAULTS["linux_builder_host_key"], metadata=like("linux_builder_host_key"))
    certificates: str = field(
        default=DEFAULTS["linux_builder_certificates"], metadata=like("linux_builder_certificates")
    )
    proxy: str = field(default="", metadata=INTERNAL)
    whole: bool = field(default=False, metadata=INTERNAL)
    present: bool = True

    def requirements(self) -> Resource:
        """What a Mac must be for it alone."""
        return RoomForVm(self.cores, self.memory) if self.present else RootOnMac()

    @property
    def title(self) -> str:
        return "builder VM"

    def expression(self) -> str:
        """What is built: the host's half of the VM. `mkOverride 10` wins whether or not nixpkgs forces its own."""
        return f"""let
  nixpkgs = builtins.getFlake "{self.nixpkgs}";
  builder = nixpkgs.legacyPackages.${{builtins.currentSystem}}.darwin.linux-builder.override {{
    modules = [
      ({{ lib, ... }}: {{
        virtualisation.cores = lib.mkOverride 10 {self.cores};
        virtualisation.darwin-builder.memorySize = lib.mkOverride 10 {self.memory.mebibytes};
        virtualisation.darwin-builder.diskSize = lib.mkOverride 10 {self.disk.mebibytes};
        virtualisation.darwin-builder.hostPort = lib.mkOverride 10 {self.port};
        virtualisation.forwardPorts = lib.mkOverride 10 [
          {{ from = "host"; host.address = "127.0.0.1"; host.port = {self.port}; guest.port = 22; }}
        ];
      }})
    ];
  }};
in builder.nixosConfig.system.build.vm
"""

    @property
    def root(self) -> str:
        """The GC root of the run program, which is what launchd runs.

        It is the same whatever the disk's size: that counts when a disk is made, and is nothing to end builds for.
        """
        text = replace(self, disk=_DISK).expression()
        return f"{ROOTS}/linux-builder-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    @property
    def sized_root(self) -> str:
        """Another of the same program, by which it is known that it makes a disk of that size."""
        return f"{self.root}-{self.disk.mebibytes}"

    @property
    def ssh_options(self) -> builder_ssh.Options:
        """The Host block by which everybody's ssh gets to the guest."""
        return (*self._connection, *builder_ssh.pinned(self.host_key))

    @property
    def _connection(self) -> builder_ssh.Options:
        return builder_ssh.connection(alias=self.alias, port=self.port, key=self.key, known_hosts=KNOWN_HOSTS.path)

    def wrapper(self) -> str:
        """The script that launchd runs: it starts the VM, and asks the guest to shut down when it has to stop.

        To QEMU SIGTERM is the power switch. TMPDIR and the disk lie where macOS does not clean up
        (`facts/linux_builder §4 #5`); QEMU is told of TMPDIR only when USE_TMPDIR is set as well. ssh reads no configuration:
        with another's in effect the guest would be cut off at every stop (`facts/field_reports VM 7`). launchd keeps the log
        open, so that a rename would rotate nothing (17): it is shortened in place.
        """
        ssh = builder_ssh.command(self._connection, ConnectTimeout="5")
        return f"""#!/bin/sh
# Managed by builderfleet: changes are put right at the next run.
program={self.root}/bin/run-nixos-vm
cd {DIRECTORY} || exit 78
/bin/wait4path "$program"
rm -rf tmp
mkdir -m 0700 tmp || exit 78
KEYS={KEYS} NIX_DISK_IMAGE={DISK.path} TMPDIR={DIRECTORY}/tmp USE_TMPDIR=1
NIX_SSL_CERT_FILE={self.certificates}
export KEYS NIX_DISK_IMAGE TMPDIR USE_TMPDIR NIX_SSL_CERT_FILE
log={LOG}
shorten() {{
  [ -f "$log" ] && [ "$(/usr/bin/wc -c < "$log")" -gt {MOST_LOG} ] || return 0
  end=$(/usr/bin/tail -c {LEFT_OF_LOG} "$log")
  printf '(what stood above was more than {MOST_LOG // 2**20} MiB)\\n%s\\n' "$end" > "$log"
}}
shorten
(while sleep 3600; do shorten; done) </dev/null >/dev/null 2>&1 &
echo '{STARTS}'
"$program" </dev/null &
vm=$!

stop() {{
  trap '' TERM INT
  {ssh} {self.alias} shutdown now </dev/null
  waited=0
  while kill -0 "$vm" 2>/dev/null && [ "$waited" -lt 40 ]; do sleep 1; waited=$((waited + 1)); done
  kill "$vm" 2>/dev/null
  wait "$vm"
  exit 0
}}
trap stop TERM INT
wait "$vm"
"""

    def login(self) -> str:
        """The command that logs in to the guest, on which nothing but the VM has to be there yet."""
        return f"{builder_ssh.command(self._connection, ConnectTimeout='5')} -n {self.alias} true"

    def questions(self) -> Iterator[Question[Any]]:
        yield from (STATE, LEDGER, PARENT, DISK, PUBLIC_KEY, KNOWN_HOSTS, File(WRAPPER), RootNames(), *_OWN_DIRECTORIES)
        yield from (KeyPair(self.key), LaunchdJob(self.label), Greeting(self.port))
        if self.present:
            yield from (
                Metadata(self.root),
                Metadata(self.sized_root),
                PROFILES,
                Attribute(DIRECTORY, NO_BACKUP),
                self._bundle,
                Mac(),
                MAC_SPACE,
            )
            yield NixSources()  # whose token was sent, where a download is refused (nix_errors)

    def changes(self, answers: Answers) -> Iterator[Step]:
        yield from self._converge(answers) if self.present else self._remove(answers)

    def _converge(self, answers: Answers) -> Iterator[Step]:
        yield from self._state_directory(answers)
        yield from self._no_certificates(answers)
        yield from self._client_key(answers)
        yield from self._program(answers)
        yield from own_file(
            "write the builder VM's start script", WRAPPER, answers[File(WRAPPER)], self.wrapper().encode(), mode=0o755
        )
        yield from own_file(
            "pin the builder VM's host key",
            KNOWN_HOSTS.path,
            answers[KNOWN_HOSTS],
            f"{self.alias} {self.host_key}\n".encode(),
        )
        yield from self._lost_disk(answers)
        yield from self._renewed_certificates(answers)

    @property
    def _bundle(self) -> Certificates:
        return Certificates(self.certificates, CERTIFICATES)

    def refusals(self, answers: Answers) -> Iterator[Refused]:
        """A disk that no Mac of this size can hold, where it is still to be made; and certificates that are none.

        Those of a Nix that is not there yet come with it.
        """
        if self.present and answers[Mac()].kernel == "Darwin" and answers[DISK].absent:
            yield from self._no_room(answers[MAC_SPACE])
        if self.present and not self.certificates.startswith("/nix/") and not answers[self._bundle].certificates:
            yield Refused("linux_builder_certificates", self._problem(answers), _PUT_CERTIFICATES)

    def _no_room(self, mac: Space) -> Iterator[Refused]:
        if self.disk.bytes > mac.size:
            yield Refused(
                "linux_builder_disk",
                f"the volume that the VM's disk is to be on has {mac.size / 2**30:.0f}GiB, and the disk may grow beyond that",
                f"Take no more than this Mac can spare: {mac.free / 2**30:.0f}GiB are free there",
            )

    def _problem(self, answers: Answers) -> str:
        absent = answers[self._bundle].certificates is None
        return (
            "there is no such file on this Mac" if absent else "that file holds no certificate (PEM, BEGIN CERTIFICATE)"
        )

    def _no_certificates(self, answers: Answers) -> Iterator[Step]:
        if not answers[PROFILES].absent and not answers[self._bundle].certificates:
            yield Blocked(
                f"linux_builder_certificates = {self.certificates}: {self._problem(answers)}", _PUT_CERTIFICATES
            )

    def _renewed_certificates(self, answers: Answers) -> Iterator[Step]:
        """run-nixos-vm copies them for its guest when it starts: a bundle that changes later has no effect until then."""
        bundle, job = answers[self._bundle], answers[LaunchdJob(self.label)].job
        if bundle.certificates and not bundle.copied and job is not None and job.pid and answers[Greeting(self.port)]:
            yield Change(
                RENEW,
                f"{_RESTART}\nrestart {quote(self.label)} {job.pid}\n",
                limit=180,
                leaves=self._silent,
            )

    @property
    def _silent(self) -> tuple[tuple[Question[Any], Any], ...]:
        """What a restart leaves: a VM that has yet to answer."""
        return ((Greeting(self.port), b""),)

    def _state_directory(self, answers: Answers) -> Iterator[Step]:
        wanted = [each for each in (STATE, *_OWN_DIRECTORIES) if not _is_directory(answers[each])]
        if not wanted:
            # The attribute goes with the directory; unlike `tmutil`, it wants no Full Disk Access.
            if answers[Attribute(DIRECTORY, NO_BACKUP)] != NO_BACKUP_VALUE:
                yield Change(EXCLUDE, _NO_BACKUP)
            return
        before = "".join(f"{each.path}: {answers[each].metadata}\n" for each in wanted)
        after = "".join(f"{each.path}: directory 0755 0:0\n" for each in wanted)
        yield Change(
            f"put the state directory {STATE_DIRECTORY} right",
            written(answers, ledger(answers))
            + "".join(f"directory 0755 0 0 {each.path}\n" for each in _OWN_DIRECTORIES)
            + _NO_BACKUP,
            (diff(STATE_DIRECTORY, _text(before), _text(after)),),
        )

    def _client_key(self, answers: Answers) -> Iterator[Step]:
        """The guest's sshd trusts a key that belongs to root and that nobody else can write.

        Which others it accepts besides is for `KeyRotation` to say.
        """
        found = answers[PUBLIC_KEY]
        is_accepted = answers[KeyPair(self.key)].expected in accepted(found)
        if is_accepted and found.has(0o444, 0, 0):
            return
        job = answers[LaunchdJob(self.label)].job
        restart = f"{_RESTART}\nrestart {quote(self.label)} {job.pid}\n" if job and job.pid and not is_accepted else ""
        where, seen = quote(PUBLIC_KEY.path), quote(found.seen)
        yield Change(
            "hand the client's public key to the builder VM",
            f"stage {where} {seen} 0444 0 0 {quote(self.key)}.pub\ncommit {where} {seen}\n{restart}",
            limit=180,
            leaves=self._silent if restart else (),
        )

    def _program(self, answers: Answers) -> Iterator[Step]:
        found, sized = answers[Metadata(self.root)], answers[Metadata(self.sized_root)]
        is_there = found.kind is Kind.LINK and found.resolves
        if is_there and sized.kind is Kind.LINK and sized.target == found.target:
            return
        root = quote(self.root)
        # Nix's daemon has no proxy (`facts/field_reports 11`): where there has to be one, root uses the store itself.
        who_fetches = "local" if self.proxy else "daemon"
        yield Change(
            f"{REALISE} {self._for_the_next_disk}" if is_there else REALISE,
            f"fresh_folder\n{through(self.proxy)}"
            f"decoded > \"$folder/builder.nix\" <<'BYTES'\n{encode(self.expression().encode())}BYTES\n"
            f"{FIND}\n"
            f'program=$(export HOME=/var/root PATH="$N:/usr/bin:/bin:/usr/sbin:/sbin" NIX_REMOTE={who_fetches}'
            f' NIX_SSL_CERT_FILE={quote(self.certificates)} TMPDIR="$folder"\n'
            f"limit 3300 {_WITH} {quote(' '.join(('HOME PATH NIX_REMOTE NIX_SSL_CERT_FILE TMPDIR', *PROXIED)))}"
            " \"$N/nix-build\" --no-out-link --option extra-experimental-features 'nix-command flakes'"
            ' "$folder/builder.nix") || fail "the builder VM cannot be realised from'
            f" {self.nixpkgs}: see above. Where it says that a Linux system is required, this revision's builder is not in"
            ' the binary cache: pin one that is"\n'
            '[ -x "$program/bin/run-nixos-vm" ] ||'
            ' fail "$program has no bin/run-nixos-vm: this nixpkgs is not one that builderfleet knows"\n'
            f"mkdir -p {ROOTS}\n"
            f"for root in {root} {quote(self.sized_root)}; do\n"
            "/usr/bin/perl -e 'unlink $ARGV[2]; symlink($ARGV[0], $ARGV[2]) && rename($ARGV[2], $ARGV[1])"
            ' or die "cannot make $ARGV[1]: $!\\n"\' "$program" "$root" "$root.new"\ndone\n'
            f"[ -x {root}/bin/run-nixos-vm ] || fail 'the garbage collector came in between: run again'\n",
            (diff("builder.nix", _text(""), _text(self.expression())),),
            limit=3600,
            slow=True,
        )

    @property
    def _for_the_next_disk(self) -> str:
        return f"for a disk of {self.disk}, which counts when one is made: one that is there keeps its size"

    def _lost_disk(self, answers: Answers) -> Iterator[Step]:
        """A VM that runs on a disk that was deleted loses everything when it stops; a new one is made at its start."""
        job = answers[LaunchdJob(self.label)].job
        if answers[DISK].absent and job is not None and job.pid is not None and answers[Greeting(self.port)]:
            yield Change(
                "restart the builder VM, whose disk was deleted",
                f"{_RESTART}\nrestart {quote(self.label)} {job.pid}\ndisk={DISK.path}\n{_NEW_DISK}",
                limit=300,
                slow=True,
                leaves=self._silent,
            )

    def _remove(self, answers: Answers) -> Iterator[Step]:
        # The whole builder has unloaded it by then.
        if not self.whole and answers[LaunchdJob(self.label)].job is not None:
            yield Blocked(
                f"the builder VM is {self.label}'s, which is loaded: without its disk whatever runs in it is lost",
                "Take back what runs it first: the whole builder with linux_builder_state: absent, or that launchd_daemon",
            )
        elif answers[RootNames()] or not answers[_OWN_DIRECTORIES[0]].absent:
            yield Change("remove the builder VM with its disk", f"rm -rf {DIRECTORY} {ROOTS}\n", limit=300)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerBuilderVms:
    """No GC root keeps a builder VM that is not used any more. `keep` are the roots of the one that is."""

    keep: tuple[str, ...]

    @property
    def title(self) -> str:
        return "former builder VMs"

    def questions(self) -> Iterator[Question[Any]]:
        yield RootNames()

    def changes(self, answers: Answers) -> Iterator[Step]:
        former = [name for name in answers[RootNames()] if f"{ROOTS}/{name}" not in self.keep]
        if former:
            names = " ".join(quote(f"{ROOTS}/{name}") for name in former)
            yield Change("let the garbage collector have former builder VMs", f"rm -f {names}\n")


@dataclass(frozen=True, slots=True)
class NoStateDirectory:
    """Nothing is left of the state directory, and of /var/lib only what was there before.

    What single resources replaced of somebody else's is put back by those alone: as long as the ledger has parts besides the
    builder's own (`parts`), it stays with its backups. So it does where the ledger was gone once: nobody knows what is missing
    in it.
    """

    parts: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return "state directory"

    def questions(self) -> Iterator[Question[Any]]:
        yield from (STATE, LEDGER, PARENT, Names(STATE_DIRECTORY))

    def changes(self, answers: Answers) -> Iterator[Step]:
        if answers[STATE].absent:
            return
        book = ledger(answers)
        others = [path for path, entry in book.files.items() if not set(entry.former) <= set(self.parts)]
        others += [path for path in book.made if path != PARENT.path]
        was_gone = LEDGER_WAS_GONE in answers[Names(STATE_DIRECTORY)]
        if others or was_gone:
            if answers[Names(STATE_DIRECTORY)] - _REMEMBERED:
                keep = " ".join(f"! -name {name}" for name in sorted(_REMEMBERED))
                yield Change(
                    f"remove {STATE_DIRECTORY}, but for what is still to be put back or taken away:"
                    f" {', '.join(others) or BACKUPS}",
                    f"/usr/bin/find {STATE_DIRECTORY} -mindepth 1 -maxdepth 1 {keep} -exec rm -rf {{}} +\n",
                )
            if was_gone:
                yield Blocked(
                    f"{LEDGER.path} was gone once: what Nix's settings were before the builder, and what single actions"
                    " replaced, is not known any more",
                    f"See what is in {BACKUPS} and set in /etc/nix on that Mac, put back what is missed, and remove"
                    f" {STATE_DIRECTORY}",
                )
            return
        parent = f"rmdir {PARENT.path} 2>/dev/null || :\n" if PARENT.path in book.made else ""
        yield Change(f"remove {STATE_DIRECTORY}", f"rm -rf {STATE_DIRECTORY}\n{parent}")


_REMEMBERED = frozenset({"ledger.json", "backups", LEDGER_WAS_GONE})
_PUT_CERTIFICATES = "Put a bundle of CA certificates there, or name one that is there in linux_builder_certificates"


def accepted(found: Found) -> list[str]:
    """The keys (type and base64) in a file of public keys."""
    lines = (found.content or b"").decode("ascii", "replace").splitlines()
    return [" ".join(line.split()[:2]) for line in lines if line.strip()]


def _is_directory(found: Found) -> bool:
    return found.kind is Kind.DIRECTORY and found.has(0o755, 0, 0)


def _text(text: str) -> Found:
    return Found(Kind.FILE, content=text.encode())
