# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Mac must be before anything on it is changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..asking import Answers, Question
from ..questions.launchd import LaunchdJob
from ..questions.mac import Mac, MacFacts
from ..questions.network import Listeners
from ..resource import Blocked, Refused, Step
from ..size import Size

OLDEST_MACOS = (14,)  # the least that every current installer takes (facts/macos_commands)
LAST_INTEL_RELEASE = "26.05"  # nixpkgs 26.11 has no x86_64-darwin any more (facts/linux_builder §0)

# nixpkgs starts QEMU with `-machine virt,gic-version=2` on Apple silicon (nixos/lib/qemu-common.nix), and an interrupt
# controller of that version serves 8 processors: with more QEMU ends at once. Intel's q35 has no such limit.
MOST_CORES = 8
_FEW_ON_APPLE_SILICON = (
    f"QEMU's machine on Apple silicon (virt with gic-version=2, which nixpkgs asks for) has at most {MOST_CORES} processors, "
    "and does not start with more"
)

# Whose port it is, where another builder is known to use it (facts/linux_builder §2.4).
_PEERS = {
    31022: "the stock darwin.linux-builder, nix-darwin's or Determinate's",
    31122: "nix-rosetta-builder",
    31222: "virby",
    2222: "nix-hex-box",
}


@dataclass(frozen=True, slots=True)
class RootOnMac:
    """What every resource needs: that it is a Mac, and that the session is root's. It changes nothing."""

    @property
    def title(self) -> str:
        return "Mac"

    def questions(self) -> Iterator[Question[Any]]:
        yield Mac()

    def refusals(self, answers: Answers) -> Iterator[Refused]:
        """What is wrong with the host or the session. Raises Unknown."""
        mac = answers[Mac()]
        if mac.kernel != "Darwin":
            yield Refused(
                "host",
                f"this is no Mac: its kernel is {mac.kernel}",
                "Run `./rollout` to try builderfleet against a simulated Mac, or name Macs in the inventory",
            )
        elif mac.uid != 0:
            yield Refused(
                "become",
                f"the session has uid {mac.uid}, not root",
                "Use sudo (pyinfra: _sudo=True, Ansible: become: true)",
            )

    def changes(self, answers: Answers) -> Iterator[Step]:
        yield from ()


@dataclass(frozen=True, slots=True)
class RoomForVm:
    """What a builder VM by itself needs: root on a Mac that is big enough for it. It changes nothing."""

    cores: int
    memory: Size

    @property
    def title(self) -> str:
        return "Mac"

    def questions(self) -> Iterator[Question[Any]]:
        yield Mac()

    def refusals(self, answers: Answers) -> Iterator[Refused]:
        """What is wrong. Raises Unknown."""
        yield from RootOnMac().refusals(answers)
        if answers[Mac()].kernel == "Darwin":
            yield from _too_big(answers[Mac()], self.cores, self.memory)

    def changes(self, answers: Answers) -> Iterator[Step]:
        yield from ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MacRequirements:
    """A Mac that can run the builder that is asked for. It changes nothing: it refuses, or needs a person.

    To take a builder back (not `present`), it need only be a Mac, and the session root's.
    """

    label: str
    port: int
    cores: int = 1
    memory: Size | None = None
    systems: tuple[str, ...] = ()
    nixpkgs_release: str = ""
    present: bool = True

    @property
    def title(self) -> str:
        return "Mac"

    def questions(self) -> Iterator[Question[Any]]:
        yield from (Mac(), LaunchdJob(self.label), Listeners(self.port))

    def refusals(self, answers: Answers) -> Iterator[Refused]:
        """What is wrong with the desired state for this Mac. Raises Unknown."""
        mac = answers[Mac()]
        yield from RootOnMac().refusals(answers)
        if mac.kernel != "Darwin" or not self.present:
            return
        yield from self._of_the_mac(mac)
        yield from _too_big(mac, self.cores, self.memory, "linux_builder_")
        yield from self._of_the_systems(mac)

    def _of_the_mac(self, mac: MacFacts) -> Iterator[Refused]:
        if mac.version < OLDEST_MACOS:
            yield Refused(
                "macOS",
                f"it has {mac.version_text}, and {OLDEST_MACOS[0]} is the oldest that is supported",
                "Update that Mac",
            )
        if mac.translated:
            yield Refused(
                "host",
                "the session runs under Rosetta, so everything would be set up for Intel",
                "Connect with a native shell (`arch -arm64`)",
            )
        if not mac.can_virtualise:
            yield Refused(
                "host",
                "this Mac cannot run virtual machines (kern.hv_support is 0; it may be one itself)",
                "Take it out of the group, or set linux_builder_state: absent for it",
            )
        if not mac.apple_silicon and not (self.nixpkgs_release and self.nixpkgs_release <= LAST_INTEL_RELEASE):
            yield Refused(
                "linux_builder_nixpkgs_release",
                f"this Mac has an Intel processor, which nixpkgs dropped after {LAST_INTEL_RELEASE}",
                f"Pin a nixpkgs of {LAST_INTEL_RELEASE} or earlier for it, and say so in this variable",
            )

    def _of_the_systems(self, mac: MacFacts) -> Iterator[Refused]:
        """The stock guest runs on the Mac's own processor, and builds for no other."""
        other = [system for system in self.systems if system != mac.linux_system]
        if other:
            yield Refused(
                "linux_builder_systems",
                f"the builder on this Mac builds for {mac.linux_system}, and not for {', '.join(other)}: Nix would send it "
                "builds that it cannot make",
                f"Leave {' and '.join(other)} out, or register a machine that builds for it",
            )

    def changes(self, answers: Answers) -> Iterator[Step]:
        if not self.present:
            return
        loaded = answers[LaunchdJob(self.label)].job
        ours = loaded.pid if loaded else None
        for process in answers[Listeners(self.port)]:
            if ours is None or ours not in (process.pid, process.group, process.parent):
                whose = f" (it is the port of {_PEERS[self.port]})" if self.port in _PEERS else ""
                yield Blocked(
                    f"port {self.port} is taken by {process.command} (pid {process.pid}){whose}",
                    "End that process, or give the builder another port in linux_builder_port",
                )
                return


def _too_big(mac: MacFacts, cores: int, memory: Size | None, prefix: str = "") -> Iterator[Refused]:
    """What a VM would take that the Mac does not have; `prefix` makes variables of parameters."""
    if memory is not None and memory.bytes > mac.memory // 2:
        yield Refused(
            f"{prefix}memory",
            f"this Mac has {mac.memory / 2**30:.0f}GiB of memory, and the VM would take more than half of it",
            f"Take at most {mac.memory // 2**31}GiB",
        )
    most = min(mac.cores, MOST_CORES) if mac.apple_silicon else mac.cores
    if cores > most:
        few = f"this Mac has {mac.cores} cores" if cores > mac.cores else ""
        gic = _FEW_ON_APPLE_SILICON if mac.apple_silicon and cores > MOST_CORES else ""
        yield Refused(f"{prefix}cores", "; and ".join(filter(None, (few, gic))), f"Take at most {most}")
