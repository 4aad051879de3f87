# SPDX-License-Identifier: GPL-3.0-or-later
"""What all checks have in hand: the builder that is wanted, what the Mac answered, and what was found so far.

What the desired state says by itself is not said here a second time: a check asks its resource for the changes, gives
what it sees a cause, and names the change as the remedy.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..asking import Answers, Question, Unknown
from ..finding import Finding, State
from ..questions.guest import Guest, GuestState
from ..resource import Blocked, Step
from ..resources.builder_vm import BuilderVm
from ..resources.launchd_daemon import LaunchdDaemon
from ..resources.linux_build import LinuxBuild
from ..resources.local_systems import LocalSystems
from ..resources.mac_requirements import MacRequirements
from ..resources.memory import Memory
from ..resources.nix_installation import NixInstallation
from ..resources.nix_machine import NixMachine
from ..resources.nix_setting import NixSetting
from ..resources.ssh_host import SshHost
from ..resources.ssh_keypair import SshKeypair
from ..resources.trusted_files import TrustedFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """The builder that a Mac is meant to have, and the controller's time (seconds since 1970) when it is asked."""

    mac: MacRequirements
    nix: NixInstallation
    setting: NixSetting
    key: SshKeypair
    vm: BuilderVm
    job: LaunchdDaemon
    ssh: SshHost
    machine: NixMachine
    systems: LocalSystems
    build: LinuxBuild
    files: TrustedFiles
    memory: Memory
    controller_time: int

    def questions(self) -> Iterator[Question[Any]]:
        """What its parts ask of a Mac."""
        for part in (
            self.mac,
            self.nix,
            self.setting,
            self.key,
            self.vm,
            self.job,
            self.ssh,
            self.machine,
            self.systems,
            self.build,
            self.files,
            self.memory,
        ):
            yield from part.questions()


class NotReached(Exception):
    """A check cannot say anything before another is put right; the text is that check's name."""


@dataclass(slots=True)
class Examination:
    """One Mac's examination. The checks run in their order, each on what those before it found."""

    builder: Builder
    answers: Answers
    found: dict[str, Finding] = field(default_factory=dict)

    def needs(self, *checks: str) -> None:
        """Raises NotReached when one of these checks found something wrong, or was not reached itself."""
        for name in checks:
            before = self.found[name]
            if before.state in (State.BROKEN, State.NOT_REACHED):
                raise NotReached(before.waits_for or name)

    def guest(self) -> GuestState:
        """What the guest says. Raises NotReached where it cannot be got at, whatever the state of the rest."""
        guest = self.answers[Guest(self.builder.vm.alias)]
        if not guest.reached:
            self.needs("ssh")
            raise NotReached("ssh")
        return guest

    @property
    def built(self) -> bool:
        """Whether this examination's own build has been made."""
        try:
            return self.builder.build.proved(self.answers)
        except Unknown:
            return False

    @property
    def restart_vm(self) -> str:
        """What a person runs on the Mac to start the VM again; its start script asks the guest to shut down first."""
        return f"`sudo launchctl kill SIGTERM system/{self.builder.job.label}` on that Mac starts the VM again"


def remedy(steps: Iterable[Step]) -> str:
    """What to do about steps of the desired state."""
    steps = list(steps)
    blocked = [step.remedy for step in steps if isinstance(step, Blocked)]
    return blocked[0] if blocked else f"Run the rollout: it will {', '.join(step.summary for step in steps)}"


def fingerprint(public_key: str) -> str:
    """The fingerprint of a public key's line, as ssh writes it; empty when the line is none."""
    words = public_key.split()
    try:
        digest = hashlib.sha256(base64.b64decode(words[1], validate=True)).digest()
    except (IndexError, binascii.Error):
        return ""
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
