# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof: a tiny Linux build that goes the whole way, in a builder that is named, for every system that it is for.

It is made twice: as root with that builder as the only one, so that no other's success is taken for its own, and with all
the features that it is registered with; and as an ordinary user asks for one. That it succeeded is written down on the
Mac, and every change takes that note away; so a build is due after changes, also after those of a run that was cut off
before it could prove anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..asking import Answers, Question, Unknown
from ..ledger import LEDGER, PARENT, prepared
from ..questions.file import NOTHING, File
from ..questions.mac import Mac
from ..questions.nix import FIND, NixConfiguration
from ..readers import linux_systems, maybe, reads, store_uri
from ..resource import Change, Step
from ..shell import PROOF_FILE, STATE_DIRECTORY, here, quote
from .nix_setting import RESTART_DUE

PROOF = File(PROOF_FILE)

# Built by the guest's own /bin/sh, which NixOS has in its sandbox, with nothing but builtins: no nixpkgs is needed.
# The kernel's name says where it ran; the host's name is the sandbox's own where there is one.
_EXPRESSION = """{ system, stamp, features ? "" }: derivation {
  name = "builderfleet-proof";
  inherit system stamp;
  requiredSystemFeatures = builtins.filter (each: each != "" && builtins.isString each) (builtins.split "," features);
  builder = "/bin/sh";
  args = [ "-c" ''
    read -r host < /proc/sys/kernel/hostname
    read -r type < /proc/sys/kernel/ostype
    read -r release < /proc/sys/kernel/osrelease
    echo "$type $release on $host for $system, $stamp" > "$out"
  '' ];
}
"""

# What of Nix's words is read, as basic regular expressions, each with what was said by the versions that it was seen in.

BUILDING = r"^building .* on '\([^']*\)'"
"""Who builds. It is only held against a proof: a Nix that says nothing of the kind was told of no other builder."""

CANNOT_BUILD = "^cannot build on '"

# Beside the point: of settings that are not this project's.
NOISE = (
    "^warning: unknown setting ",
    "^warning: unknown experimental feature ",
    "^warning: ignoring the client-specified setting ",
    "^warning: ignoring untrusted ",
)

_ON = "building '/nix/store/9b69528a7xy5z926zhf6pxs7jyqh6f0s-x.drv' on 'ssh-ng://builder@builderfleet'..."
_NOT_ON = (
    "cannot build on 'ssh-ng://builder@builderfleet': error: cannot open connection to remote store"
    " 'ssh-ng://builder@builderfleet': error: unexpected end-of-file"
)
SEEN: Mapping[str, Mapping[str, str]] = {
    BUILDING: {"2.8.0": _ON, "2.26.3": _ON, "2.34.8": _ON},
    CANNOT_BUILD: {"2.8.0": _NOT_ON, "2.34.8": _NOT_ON},
    NOISE[0]: dict.fromkeys(("2.8.0", "2.26.3", "2.34.8"), "warning: unknown setting 'frob'"),
    NOISE[1]: dict.fromkeys(("2.8.0", "2.26.3", "2.34.8"), "warning: unknown experimental feature 'frobnicate'"),
}

_FUNCTIONS = (
    r"""
FIND
[ -x "$N/nix-build" ] || fail "this Mac has no Nix that could build: $N/nix-build is not there"

# heard: what Nix said, without what is beside the point, and each line once
heard() { /usr/bin/grep -v NOISE "$folder/errors" | /usr/bin/awk '!seen[$0]++'; }

# attempt [OPTION...]: what nix-build made for $user and $system
attempt() {
  limit 600 /usr/bin/sudo -n -u "$user" /usr/bin/env -i HOME="$folder/home" TMPDIR="$folder/home" \
    PATH="$N:/usr/bin:/bin" NIX_REMOTE=daemon "$N/nix-build" --no-out-link --timeout 540 "$@" "$folder/proof.nix" \
    --argstr system "$system" --argstr stamp "$stamp.$user" 2>"$folder/errors"
}

# once_more [OPTION...]: a guest that has just started lets somebody in before its own Nix daemon answers
once_more() {
  /usr/bin/grep -q "CANNOT_BUILD" "$folder/errors" || return 1
  sleep 5
  attempt "$@"
}

# build USER SYSTEM ELSE [OPTION...]: `said` is what the build wrote; ELSE is what it means that there is none
build() {
  user=$1 system=$2 otherwise=$3; shift 3
  chown "$user" "$folder/home"
  built=$(attempt "$@") || built=$(once_more "$@") || { heard; : > "$due"; fail "$otherwise: see above"; }
  said=$(cat "$built")
  case $said in
    "Linux "*" for $system, $stamp.$user") ;;
    *) fail "the build for $system made something else than was asked for: $said" ;;
  esac
}

# registered URI: the line of the machines file that has the builder
registered() {
  [ ! -f /etc/nix/machines ] || /usr/bin/tr ';\r' '\n' </etc/nix/machines |
    /usr/bin/awk -v uri="$1" '{ sub(/#.*/, "") } $1 == uri { $1 = $1; print; exit }'
}

# forced URI SYSTEM: a build that this builder alone may make
forced() {
  line=$(registered "$1")
  [ -n "$line" ] || fail "$1 is not registered in /etc/nix/machines, so nothing can be proved of it"
  features=$(printf '%s\n' "$line" | /usr/bin/awk '{ print $6 "," $7 }' | /usr/bin/sed 's/^-,/,/; s/,-$/,/')
  build root "$2" "the builder is set up, but no Linux build for $2 in $1 comes through" \
    --option builders "$line" --option max-jobs 0 --argstr features "$features"
  case $(cat "$folder/errors") in
    *" on '$1"*) ;;
    *" on '"*)
      heard
      fail "the build for $2 was asked of $1, and another builder made it: see above. Does Nix's trusted-users have root?" ;;
  esac
}

# member GROUP...: whom the run logged in as, where that is in one of these groups
member() {
  [ -n "${SUDO_USER:-}" ] || return 0
  for group in "$@"; do
    case " $(id -Gn "$SUDO_USER" 2>/dev/null) " in *" $group "*) printf '%s\n' "$SUDO_USER"; return 0 ;; esac
  done
}

# prove URI SYSTEM WORD: a row of what was proved; without a URI any builder will do
prove() {
  means="no Linux build for $2 comes through" builder=$1 due=/dev/null
  if [ -n "$1" ]; then
    forced "$1" "$2"
    # Of a file that was changed in the moment of the daemon's start nobody can tell which of its texts the daemon holds.
    [ ! -d STATE_DIRECTORY ] || due=RESTART_DUE
    means="$means as $ordinary asks for it, though $1 builds when root asks it alone; the next run restarts Nix's daemon"
  fi
  if [ "$ordinary" != root ] || [ -z "$1" ]; then build "$ordinary" "$2" "$means"; fi
  [ -n "$builder" ] || builder=$(/usr/bin/sed -n "s/BUILDING.*/\1/p" "$folder/errors")
  printf '%s\t%s\t%s\t%s\t%s\n' "${said%, *}" "$2" "$builder" "$3" "$ordinary" >> "$folder/rows"
}
""".replace("FIND", FIND)
    .replace("NOISE", " ".join(f"-e {quote(each)}" for each in NOISE))
    .replace("RESTART_DUE", RESTART_DUE.path)
    .replace("STATE_DIRECTORY", STATE_DIRECTORY)
    .replace("CANNOT_BUILD", CANNOT_BUILD)
    .replace("BUILDING", BUILDING)
)


@dataclass(frozen=True, slots=True)
class Proof:
    """What a build said, for which system, in which builder (a store's URI), the stamp of who asked, and as whom it
    was made at last: root, where no ordinary user was found that may build.
    """

    said: str
    system: str
    builder: str
    stamp: str = ""
    user: str = "nobody"

    def proves(self, system: str, builder: str, stamp: str) -> bool:
        """Whether it holds for a system, a builder (any, if empty) and a stamp (any, if empty)."""
        return self.system == system and builder in ("", self.builder) and stamp in ("", self.stamp)

    def row(self) -> str:
        return "\t".join((self.said, self.system, self.builder, self.stamp, self.user)) + "\n"

    def __str__(self) -> str:
        name = self.builder.rpartition("://")[2].rpartition("@")[2]
        alone = " (as root alone: allowed-users shuts out whom it could try)" if self.user == "root" else ""
        return f"{self.said.partition(' on ')[0]} in {name}{alone}"


def proofs(answers: Answers) -> tuple[Proof, ...]:
    """The last proofs. What is no proof is left out: the notes of former versions name no builder."""
    rows = (line.split("\t") for line in (answers[PROOF].content or b"").decode("utf-8", "replace").splitlines())
    return tuple(Proof(*row) for row in rows if len(row) == 5)


def proof(answers: Answers) -> str:
    """What was proved last, such as "Linux 6.12.9 in builderfleet"; empty when nothing is, or it was not asked."""
    try:
        return "; ".join(dict.fromkeys(map(str, proofs(answers))))
    except Unknown:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinuxBuild:
    """A build for each of `systems` (by default the Linux that the Mac's processor runs) through the Nix daemon.

    With a `uri` it is that builder's, and no other's. It is due when nothing has proved this since the last change, and
    when the last proof is not the one with this `stamp` (a word of the caller's; none means that any proof will do).
    """

    systems: tuple[str, ...] = field(default=(), metadata=reads(linux_systems))
    uri: str = field(default="", metadata=reads(maybe(store_uri)))
    stamp: str = ""

    @property
    def title(self) -> str:
        return "Linux build"

    @property
    def after_changes(self) -> Mapping[Question[Any], Any]:
        """What a change of another resource does to the answers: nothing is proved any more."""
        return {PROOF: NOTHING}

    def questions(self) -> Iterator[Question[Any]]:
        yield from (PROOF, Mac(), NixConfiguration(), LEDGER, PARENT)

    def proved(self, answers: Answers) -> bool:
        """Whether all of it is proved already."""
        known = proofs(answers)
        return all(
            any(each.proves(system, self.uri, self.stamp) for each in known) for system in self._systems(answers)
        )

    def changes(self, answers: Answers) -> Iterator[Step]:
        if not self.proved(answers):
            systems = self._systems(answers)
            yield Change(
                f"prove it with a Linux build for {' and '.join(systems)}",
                self._script(systems, answers),
                limit=1300 * len(systems),
                slow=True,
                proof=True,
                evidence=proof,
            )

    def _systems(self, answers: Answers) -> tuple[str, ...]:
        return self.systems or (answers[Mac()].linux_system,)

    def _script(self, systems: tuple[str, ...], answers: Answers) -> str:
        others = [each for each in proofs(answers) if each.system not in systems or self.uri not in ("", each.builder)]
        proved = "".join(f"prove {quote(self.uri)} {quote(system)} {quote(self.stamp)}\n" for system in systems)
        return f"""
fresh_folder
decoded > "$folder/rows" {here("".join(each.row() for each in others).encode())}
decoded > "$folder/proof.nix" {here(_EXPRESSION.encode())}
chmod 0755 "$folder"; chmod 0644 "$folder/proof.nix"
mkdir "$folder/home"
stamp=$(date +%s).$$
{_FUNCTIONS.strip()}
{_ordinary(answers)}
[ -n "$ordinary" ] || ordinary=root
{proved}{prepared(answers)}
/usr/bin/base64 < "$folder/rows" | stage {PROOF_FILE} any 0644 0 0
commit {PROOF_FILE} any
"""


def _ordinary(answers: Answers) -> str:
    """Shell that says as whom to build: as nobody, or else as somebody whom Nix's allowed-users let in."""
    settings = answers[NixConfiguration()].settings
    allowed = f"{settings.get('allowed-users', '*')} {settings.get('trusted-users', '')}".split()
    if {"*", "nobody"} & set(allowed):
        return "ordinary=nobody"
    users = [each for each in allowed if each != "root" and not each.startswith("@")]
    if users:
        return f"ordinary={quote(users[0])}"
    groups = " ".join(quote(each[1:]) for each in allowed if each.startswith("@"))
    return f"ordinary=$(member {groups})"
