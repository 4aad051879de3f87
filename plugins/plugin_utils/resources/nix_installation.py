# SPDX-License-Identifier: GPL-3.0-or-later
"""Nix itself: installed by the NixOS nix-installer where there is none, adopted as it is where there is one.

The installer is pinned by version and by a hash of our own, checked on the Mac before anything runs. Its exit status is
no proof: run again over the receipt of an installation that failed it does nothing and succeeds, so what counts is that
every action in the receipt is completed (`facts/nix_installers §2.6`). No installer repairs, and none is run over a Nix
that is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..asking import Answers, Question, Unknown
from ..flavour import Flavour, Observed, flavour
from ..formats.receipt import Receipt, ReceiptError, parse
from ..ledger import LEDGER, PARENT, prepared
from ..nix_versions import too_old
from ..questions.attribute import QUARANTINE
from ..questions.file import File, Kind, Metadata
from ..questions.launchd import LaunchdJob
from ..questions.mac import Mac
from ..questions.nix import NIX, PLACES, NixVersion
from ..questions.store_volume import NAME, StoreVolume
from ..resource import INTERNAL, Blocked, Change, Refused, Step
from ..shell import STATE_DIRECTORY, quote, through
from ..variables import DEFAULTS, like

RECEIPT = File("/nix/receipt.json")
INSTALLER = Metadata("/nix/nix-installer")
BUILDER = Metadata(f"{STATE_DIRECTORY}/linux-builder")
BEGUN = Metadata(f"{STATE_DIRECTORY}/nix-installation-begun")
_DETERMINATE, _LIX, _NIX = Metadata("/usr/local/bin/determinate-nixd"), Metadata("/nix/lix-installer"), Metadata("/nix")
_STORE = Metadata("/nix/store")
_JOBS = (
    "org.nixos.nix-daemon",
    "org.nixos.darwin-store",
    "systems.determinate.nix-daemon",
    "systems.determinate.nix-store",
    "systems.lix.nix-installer.nix-hook",
)
STORE_JOBS = ("org.nixos.darwin-store", "systems.determinate.nix-store")
_ACTIVATION = LaunchdJob("org.nixos.activate-system")
SYNTHETIC, FSTAB = File("/etc/synthetic.conf"), File("/etc/fstab")

FULL_DISK_ACCESS = (
    "On that Mac: System Settings > General > Sharing > Remote Login (i) > 'Allow full disk access for remote users'; or "
    "by MDM a PPPC profile that grants SystemPolicyAllFiles to /usr/libexec/sshd-keygen-wrapper"
)

# Where the privacy database does not tell: what is already so is written again (nix-darwin's own probe). To -14120 it is
# refused; what else may be wrong with it is none of the installer's.
_FUNCTIONAL_PROBE = f"""
home=$(/usr/bin/dscl . -read /Users/nobody NFSHomeDirectory 2>/dev/null | /usr/bin/sed -n 's/^NFSHomeDirectory: //p')
said=$(/usr/bin/dscl . -change /Users/nobody NFSHomeDirectory "$home" "$home" 2>&1) || :
case $said in
  *eDSPermissionError*) needs_person "macOS refuses this session to change users, which installing Nix does:" \
    {quote(f"it has no Full Disk Access. {FULL_DISK_ACCESS}")} ;;
esac
"""

# SIGKILL has several senders. Which security software looks at what is started is asked; what else is there to see, the
# log on the Mac has.
_ENDED = r"""
# ended STATUS WHAT PROGRAM
ended() {
  [ "$1" -eq 137 ] || fail "$2 ended with status $1"
  guards=$(/usr/bin/systemextensionsctl list 2>/dev/null | /usr/bin/awk -F '\t' '
    /^---/ { security = /endpoint_security/ }
    security && /activated enabled/ { sub(/ .*/, "", $4); printf "%s ", $4 }') || :
  whose="no security software is to be seen there; macOS itself ends what its management or its signature does not allow"
  if [ -n "$guards" ]; then whose="security software there may not allow it (${guards% })"; fi
  needs_person "$2 was killed (status 137, SIGKILL): $whose. Have whoever manages that Mac allow the program and those" \
    "of /nix/store, and run again; \`log show --last 1h --predicate 'eventMessage CONTAINS \"nix-installer\"'\` on that" \
    "Mac says who ended it. The program's SHA-256 is $(/usr/bin/shasum -a 256 "$3" | /usr/bin/cut -d ' ' -f 1)"
}
"""

AT_THE_NEXT_START = (
    f"macOS has not made /nix, though {SYNTHETIC.path} asks for it, and will when it starts",
    "Restart this Mac, and run again",
)


def plist_of(label: str) -> Metadata:
    return Metadata(f"/Library/LaunchDaemons/{label}.plist")


@dataclass(frozen=True, slots=True, kw_only=True)
class NixInstallation:
    """A Nix installation. `source` is a URL (https, or http for a mirror that the hash makes safe) or a path on the Mac.

    In it `{version}` stands for the version. `sha256` is that of the installer's bytes, in hexadecimal. `extra_conf` holds
    lines for nix.conf.
    """

    version: str = field(default=DEFAULTS["nix_installer_version"], metadata=like("nix_installer_version"))
    source: str = field(default=DEFAULTS["nix_installer_source"], metadata=like("nix_installer_source"))
    sha256: str = field(default=DEFAULTS["nix_installer_sha256"], metadata=like("nix_installer_sha256"))
    extra_conf: tuple[str, ...] = field(default=(), metadata=like("nix_extra_conf"))
    proxy: str = field(default="", metadata=like("nix_proxy"))
    certificates: str = field(default="", metadata=INTERNAL)
    present: bool = True
    after_builder: bool = field(default=False, metadata=INTERNAL)  # the same run takes the builder back first

    @property
    def title(self) -> str:
        return "Nix"

    def questions(self) -> Iterator[Question[Any]]:
        yield from (Mac(), NixVersion(), RECEIPT, INSTALLER, _DETERMINATE, _LIX, _NIX, _STORE, _ACTIVATION)
        yield from (SYNTHETIC, FSTAB, StoreVolume(), LEDGER, PARENT, BEGUN, BUILDER)
        for label in _JOBS:
            yield plist_of(label)

    def refusals(self, answers: Answers) -> Iterator[Refused]:
        """Of a Mac that has no Nix, and on which there can be none. Raises Unknown."""
        mac = answers[Mac()]
        if mac.kernel != "Darwin" or not self.present or answers[NixVersion()]:
            return
        if not mac.apple_silicon:
            yield Refused(
                "nix_state",
                "this Intel Mac has no Nix, and the installer that builderfleet uses is for Apple silicon",
                "Install Nix on it by another way (a release before 2.36); builderfleet adopts it",
            )
        elif not self.sha256:
            yield Refused(
                "nix_installer_sha256",
                "this Mac has no Nix, and no installer is run whose hash is not pinned",
                "Set it to the SHA-256 of the installer, from the SHA256SUMS of its release",
            )

    def changes(self, answers: Answers) -> Iterator[Step]:
        try:
            found = self.flavour(answers)
        except ReceiptError as error:
            if self.present and not answers[BEGUN].absent:
                yield from self._install(answers, again=True)
                return
            yield Blocked(
                f"{RECEIPT.path} cannot be read: {error}", "See what happened to the installation on that Mac"
            )
            return
        yield from self._converge(found, answers) if self.present else self._remove(found, answers)

    def flavour(self, answers: Answers) -> Flavour:
        """Whose installation is on the Mac. Raises ReceiptError for a receipt that makes no sense."""
        return flavour(
            Observed(
                receipt=_receipt(answers),
                determinate_nixd=not answers[_DETERMINATE].absent,
                lix_installer=not answers[_LIX].absent,
                nix_version=answers[NixVersion()] or None,
                jobs=frozenset(label for label in _JOBS if not answers[plist_of(label)].absent),
                nix_owner_uid=None if answers[_NIX].absent else answers[_NIX].uid,
                nix_darwin=answers[_ACTIVATION].job is not None,
                leftovers=tuple(_leftovers(answers)),
            )
        )

    def _converge(self, found: Flavour, answers: Answers) -> Iterator[Step]:
        receipt = _receipt(answers)
        begun = not answers[BEGUN].absent and not (receipt and receipt.complete)
        if begun and found in (Flavour.NONE, Flavour.PARTIAL, Flavour.LEFTOVERS, Flavour.SCRIPT):
            yield from self._install(answers, again=True)  # it was ours, and it was cut off
        elif found is Flavour.NONE:
            yield from self._install(answers)
        elif found is Flavour.PARTIAL:
            undone = ", ".join(receipt.unfinished) if receipt else "unknown"
            yield Blocked(
                f"an installation of Nix on this Mac was not finished (not done: {undone}), and it was not builderfleet's",
                "Finish or undo it on that Mac with the installer that began it, and run again",
            )
        elif found is Flavour.SINGLE_USER:
            yield Blocked(
                f"/nix belongs to uid {answers[_NIX].uid}: a single-user Nix, which has no daemon",
                "Replace it by a multi-user installation, and run again",
            )
        elif found is Flavour.LEFTOVERS:
            yield Blocked(
                f"there is no Nix, but something of a former one: {', '.join(_leftovers(answers)) or 'a launchd job'}",
                "An installer would trip over it: remove it, or repair that Nix, and run again",
            )
        elif not answers[NixVersion()]:
            yield _out_of_reach(found, answers)
        elif (old := too_old(answers[NixVersion()])) is not None:
            yield old

    def _install(self, answers: Answers, again: bool = False) -> Iterator[Step]:
        access = answers[Mac()].full_disk_access
        if access is False:
            yield Blocked(
                "installing Nix writes /etc/fstab and makes users, which macOS refuses to a session without Full Disk Access",
                FULL_DISK_ACCESS,
            )
            return
        # An installer that finds a receipt, even of a failure, does nothing and succeeds: it must not find one.
        aside = f"[ ! -e {RECEIPT.path} ] || mv -f {RECEIPT.path} {RECEIPT.path}.unfinished\n" if again else ""
        extra = " ".join(f"--extra-conf {quote(line)}" for line in self.extra_conf)
        yield Change(
            f"install Nix with nix-installer {self.version}" + (", which was cut off before" if again else ""),
            f"{_ENDED}{self._fetch()}{_FUNCTIONAL_PROBE if access is None else ''}"
            f"{prepared(answers)}: > {BEGUN.path}; /bin/sync\n{aside}"
            f"unlistened\n{through(self.proxy)}{self._trusting()}"
            f'limit 2400 "$folder/nix-installer" install macos --no-confirm --logger json {extra} </dev/null'
            " || {\nstatus=$?\n"
            f"[ -d /nix ] || ! /usr/bin/grep -qsx nix {SYNTHETIC.path} || needs_restart {quote('. '.join(AT_THE_NEXT_START))}\n"
            'ended "$status" nix-installer "$folder/nix-installer"\n}\n'
            f"[ -e {RECEIPT.path} ] || fail 'nix-installer succeeded, but left no {RECEIPT.path}'\n"
            f"rm -f {BEGUN.path}\n",
            limit=3000,
            slow=True,
        )

    def _fetch(self) -> str:
        """Shell that leaves a checked installer in "$folder": nothing of it runs before its hash is right."""
        if self.source.startswith("/"):
            # Apple's cp takes the attributes along: what came by a browser is in quarantine, and would not run.
            get = 'cp "$source" "$folder/nix-installer"'
        else:
            get = (
                "/usr/bin/curl --fail --silent --show-error --location --retry 3 --max-time 600"
                ' --output "$folder/nix-installer" "$source"'
            )
        return f"""
fresh_folder
{through(self.proxy)}source={quote(self.source.replace("{version}", self.version))} pinned={quote(self.sha256)}
{get} || fail "cannot get the installer from $source"
is=$(/usr/bin/shasum -a 256 "$folder/nix-installer" | /usr/bin/cut -d ' ' -f 1)
[ "$is" = "$pinned" ] || fail "the installer from $source is not the one that is pinned: its SHA-256 is $is," \
  "and the one that is pinned is $pinned; nothing of it was run"
chmod 0700 "$folder/nix-installer"
/usr/bin/xattr -d {QUARANTINE} "$folder/nix-installer" 2>/dev/null || :
"""

    def _trusting(self) -> str:
        """What `--ssl-cert-file` is to the installer: its download of Nix goes through the proxy, which may intercept."""
        return f"export NIX_INSTALLER_SSL_CERT_FILE={quote(self.certificates)}\n" if self.certificates else ""

    def _remove(self, found: Flavour, answers: Answers) -> Iterator[Step]:
        if found is Flavour.NONE:
            return
        if not (self.after_builder or answers[BUILDER].absent):
            yield Blocked(
                "builderfleet's Linux builder is still on this Mac, and is of no use without Nix",
                "Take it back first: linux_builder_state: absent",
            )
            return
        if answers[_ACTIVATION].job is not None:
            yield Blocked(
                "nix-darwin is on this Mac, and Nix cannot go before it", "Run darwin-uninstaller there first"
            )
        elif answers[INSTALLER].kind is Kind.FILE and found is not Flavour.LEFTOVERS:
            yield Change(
                "uninstall Nix with its store",
                f"{_ENDED}unlistened\nlimit 1800 {INSTALLER.path} uninstall --no-confirm </dev/null"
                f' || ended "$?" "nix-installer uninstall" {INSTALLER.path}\n',
                limit=2400,
                slow=True,
            )
        else:
            yield Blocked(
                f"this Nix ({found.value}) brought no uninstaller of the kind that builderfleet runs",
                "Uninstall it by hand as its manual says, and run again",
            )


def _receipt(answers: Answers) -> Receipt | None:
    content = answers[RECEIPT].content
    return None if content is None else parse(content)


def _out_of_reach(found: Flavour, answers: Answers) -> Blocked:
    """What to do about a Nix whose jobs or receipt are there, but which does not run: it has several causes, told apart by
    what is there of its store.
    """
    if not answers[_STORE].absent:
        return Blocked(
            f"{found.value} is on this Mac with its store, but no Nix runs: neither in {' or '.join(PLACES)}, nor where its"
            " daemon's plist says",
            f"See on that Mac whether `ls -l {NIX}` leads anywhere and what `{NIX}/nix --version` says; the installer"
            " that it came with repairs it",
        )
    try:
        volume = answers[StoreVolume()]
    except Unknown as unknown:
        return _perhaps_not_mounted(found, answers, str(unknown))
    if volume is not None and not volume.there:
        return _left_behind(volume.name, answers)
    if answers[_NIX].absent and _is_declared(answers):
        return Blocked(*AT_THE_NEXT_START, reboot=True)
    if answers[_NIX].absent:
        return Blocked(
            f"{found.value} was installed on this Mac, but {SYNTHETIC.path} does not ask for /nix any more, so there is none",
            f"Put the line `nix` back into {SYNTHETIC.path} on that Mac (updates of macOS may take it away), restart it, and"
            " run again",
        )
    if volume is None:
        return _perhaps_not_mounted(found, answers, "nothing says which volume it should be on")
    where = f"is mounted at {volume.mounted_at}, and not at /nix" if volume.mounted_at else "is not mounted"
    return Blocked(
        f"{found.value} is on this Mac, but the volume of its store ({volume.name}) {where}", _mount(answers)
    )


def _mount(answers: Answers) -> str:
    """How the volume comes to its place, by whose job that is."""
    label = next((each for each in STORE_JOBS if not answers[plist_of(each)].absent), "")
    if label:
        return f"`sudo launchctl kickstart -k system/{label}` on that Mac mounts it: its log says why it does not"
    if not answers[_DETERMINATE].absent:
        return "`sudo determinate-nixd init` on that Mac mounts it"
    return "No job on that Mac mounts it: repair this Nix with the installer that it came with"


def _perhaps_not_mounted(found: Flavour, answers: Answers, why: str) -> Blocked:
    return Blocked(
        f"{found.value} is on this Mac, but not its store, and whether that has a volume here could not be told: {why}",
        f'See `diskutil info "{NAME}"` on that Mac. Where the volume is there: {_mount(answers)}. Where it is not, it did not'
        f" come along when that Mac was moved or restored: remove what is left of that Nix ({_of_former(answers)})",
    )


def _left_behind(volume: str, answers: Answers) -> Blocked:
    """A Mac that was moved has the files of the former one, and the store's volume does not come along."""
    return Blocked(
        f"files of a Nix are on this Mac, but the volume of its store ({volume}) is not: it does not come along when a Mac is"
        " moved or restored (Migration Assistant, Time Machine), or somebody deleted it",
        f"Nothing is left of that Nix that would run: remove {_of_former(answers)} on that Mac, restart it, and run again",
    )


def _of_former(answers: Answers) -> str:
    """What an installer would take for a Nix."""
    paths = [path.path for path in (*map(plist_of, _JOBS), _DETERMINATE, _LIX) if not answers[path].absent]
    return (
        ", ".join([*paths, *(f"its {each.removeprefix('a ')}" for each in _leftovers(answers))]) or "its launchd jobs"
    )


def _is_declared(answers: Answers) -> bool:
    """Whether macOS is asked to make /nix at its start (`facts/drift D06`)."""
    return any(line.split() == [b"nix"] for line in (answers[SYNTHETIC].content or b"").splitlines())


def _leftovers(answers: Answers) -> Iterator[str]:
    fstab = answers[FSTAB].content or b""
    if _is_declared(answers):
        yield "a line in /etc/synthetic.conf"
    if any(line.split()[1:2] == [b"/nix"] for line in fstab.splitlines() if not line.lstrip().startswith(b"#")):
        yield "a line in /etc/fstab"
