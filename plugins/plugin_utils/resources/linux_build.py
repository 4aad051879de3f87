# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof: a tiny Linux build that goes the whole way, asked for as an ordinary user asks for one.

That it succeeded is written down on the Mac, and every change takes that note away; so a build is due after changes,
also after those of a run that was cut off before it could prove anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..asking import Answers, Question, Unknown
from ..ledger import LEDGER, PARENT, prepared
from ..questions.file import NOTHING, File
from ..questions.mac import Mac
from ..questions.nix import NIX
from ..resource import Change, Step
from ..shell import PROOF_FILE, here, quote

PROOF = File(PROOF_FILE)

# Built by the guest's own /bin/sh, which NixOS has in its sandbox, with nothing but builtins: no nixpkgs is needed.
# The kernel's name says where it ran; the host's name is the sandbox's own where there is one.
_EXPRESSION = """{ system, stamp }: derivation {
  name = "builderfleet-proof";
  inherit system stamp;
  builder = "/bin/sh";
  args = [ "-c" ''
    read -r host < /proc/sys/kernel/hostname
    read -r type < /proc/sys/kernel/ostype
    read -r release < /proc/sys/kernel/osrelease
    echo "$type $release on $host for $system, $stamp" > "$out"
  '' ];
}
"""


def proof(answers: Answers) -> str:
    """What the last proof said: the kernel and the host of the build; empty when there is none, or it was not asked."""
    try:
        return (answers[PROOF].content or b"").decode("utf-8", "replace").partition("\n")[0]
    except Unknown:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinuxBuild:
    """A build for `system` (by default the Linux that the Mac's processor runs) through the Nix daemon, as nobody.

    It is due when nothing has proved the builder since the last change, and when the last proof is not the one with
    this `stamp` (a word of the caller's; none means that any proof will do).
    """

    system: str = ""
    stamp: str = ""

    @property
    def title(self) -> str:
        return "Linux build"

    @property
    def after_changes(self) -> Mapping[Question[Any], Any]:
        """What a change of another resource does to the answers: nothing is proved any more."""
        return {PROOF: NOTHING}

    def questions(self) -> Iterator[Question[Any]]:
        yield from (PROOF, Mac(), LEDGER, PARENT)

    def changes(self, answers: Answers) -> Iterator[Step]:
        proved = (answers[PROOF].content or b"").decode("utf-8", "replace").split("\n")
        if answers[PROOF].absent or (self.stamp and self.stamp not in proved):
            system = self.system or answers[Mac()].linux_system
            script = self._script(system, answers)
            yield Change(f"prove it with a Linux build for {system}", script, limit=900, slow=True, proof=True)

    def _script(self, system: str, answers: Answers) -> str:
        return f"""
fresh_folder
decoded > "$folder/proof.nix" {here(_EXPRESSION.encode())}
chmod 0755 "$folder"; chmod 0644 "$folder/proof.nix"
mkdir "$folder/home"; chown nobody "$folder/home"
stamp=$(date +%s).$$
built=$(limit 600 /usr/bin/sudo -n -u nobody /usr/bin/env -i HOME="$folder/home" TMPDIR="$folder/home" \
  PATH={NIX}:/usr/bin:/bin NIX_REMOTE=daemon {NIX}/nix-build --no-out-link --timeout 540 \
  "$folder/proof.nix" --argstr system {quote(system)} --argstr stamp "$stamp") ||
  fail "the builder is set up, but a Linux build through it fails: see above"
said=$(cat "$built")
case $said in
  "Linux "*"$stamp") ;;
  *) fail "the build made something else than was asked for: $said" ;;
esac
{prepared(answers)}
printf '%s\n' "${{said%, *}}" {quote(self.stamp)} | /usr/bin/base64 | stage {PROOF_FILE} any 0644 0 0
commit {PROOF_FILE} any
"""
