# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a Mac's builder: every check in order, causes and remedies in words, then a real build.

A front end converges the resources of `doctor()` as it does those of any desired state, and shows `findings()`.
Nothing is put right: what is wrong needs a person, who most often will run the rollout.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ..asking import Answers, Question, Unknown
from ..checks import guest, nix, ssh, trust, vm
from ..checks.examination import Builder, Examination, NotReached
from ..finding import Finding, State, broken, fine, not_reached
from ..outcome import Outcome
from ..questions.clock import Clock
from ..questions.free_space import MAC_SPACE
from ..questions.guest import Guest
from ..resource import Blocked, Change, Resource, Step
from ..session import Session
from ..variables import WrongVariable
from .builder_vm import BuilderVm
from .launchd_daemon import LaunchdDaemon
from .linux_build import LinuxBuild, proof
from .linux_builder import desired
from .local_systems import LocalSystems
from .mac_requirements import MacRequirements, RootOnMac
from .memory import Memory
from .nix_installation import NixInstallation
from .nix_machine import NixMachine
from .nix_setting import NixSetting
from .ssh_host import SshHost
from .ssh_keypair import SshKeypair
from .trusted_files import TrustedFiles

PartT = TypeVar("PartT")

CHECKS: Mapping[str, Callable[[Examination], Finding]] = {
    "nix": nix.nix,
    "daemon": nix.daemon,
    "job": vm.job,
    "port": vm.port,
    "host key": ssh.host_key,
    "key": ssh.key,
    "ssh": ssh.ssh,
    "disk": guest.disk,
    "clock": guest.clock,
    "dns": guest.dns,
    "cache": guest.cache,
    "machine": nix.machine,
    "files": trust.files,
    "ledger": trust.ledger,
}
"""The checks in their order: what a check stands on comes before it."""

_BUILD_NEEDS = ("nix", "daemon", "host key", "machine", "ledger")


@dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    """The examination of a builder. Each thing that is wrong needs a person."""

    builder: Builder

    @property
    def title(self) -> str:
        return "Doctor"

    def questions(self) -> Iterator[Question[Any]]:
        yield from self.builder.questions()
        yield from nix.QUESTIONS
        yield from vm.questions(self.builder)
        yield from (Guest(self.builder.vm.alias), Clock(), MAC_SPACE)

    def examine(self, answers: Answers) -> Examination:
        """Every check, each on what those before it found."""
        examination = Examination(self.builder, answers)
        for name, check in CHECKS.items():
            try:
                finding = check(examination)
            except Unknown as unknown:
                finding = Finding(name, State.UNKNOWN, f"could not be told: {unknown}")
            except NotReached as other:
                finding = not_reached(name, str(other))
            examination.found[name] = finding
        examination.found.update(_resolved(examination.found))
        return examination

    def prevents_build(self, answers: Answers) -> str:
        """The check that has to be put right before a build can be made; empty when there is none."""
        examination = self.examine(answers)
        try:
            examination.needs(*_BUILD_NEEDS)
            examination.guest()
        except NotReached as check:
            return str(check)
        except Unknown:
            return "ssh"
        return ""

    def changes(self, answers: Answers) -> Iterator[Step]:
        found = self.examine(answers).found.values()
        for finding in found:
            if finding.state is State.BROKEN:
                yield Blocked(f"{finding.check}: {finding.cause.splitlines()[0]}", finding.remedy)
        unknown = [f"{each.check} {each.cause}" for each in found if each.state is State.UNKNOWN]
        if unknown and not any(each.state is State.BROKEN for each in found):
            raise Unknown("\n".join(unknown))


def _resolved(found: Mapping[str, Finding]) -> Mapping[str, Finding]:
    """What was not reached, with the check that really comes first. Where that is none, nobody can tell: it is no health."""
    resolved: dict[str, Finding] = {}
    for name, finding in found.items():
        if finding.state is not State.NOT_REACHED:
            continue
        on_the_way, first = {name}, finding.waits_for
        while found[first].state is State.NOT_REACHED and first not in on_the_way:
            on_the_way.add(first)
            first = found[first].waits_for
        if found[first].state in (State.BROKEN, State.UNKNOWN):
            resolved[name] = not_reached(name, first)
        else:
            cause = f"could not be told: it waits for {first}, where nothing was found wrong"
            resolved[name] = Finding(name, State.UNKNOWN, cause)
    return resolved


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorsBuild:
    """A real build through the builder, made once, unless something stands in its way that was found already."""

    doctor: Doctor

    @property
    def title(self) -> str:
        return "Build"

    def questions(self) -> Iterator[Question[Any]]:
        yield from self.doctor.questions()

    def changes(self, answers: Answers) -> Iterator[Step]:
        if not self.doctor.prevents_build(answers):
            for step in self.doctor.builder.build.changes(answers):
                yield replace(step, check="build") if isinstance(step, Change) else step


def doctor(given: Mapping[str, Any], controller_time: float) -> tuple[tuple[Resource, ...], tuple[WrongVariable, ...]]:
    """The resources of an examination, from a host's variables; or what is wrong with the variables.

    The build comes first, because it is the only one to do something. `controller_time` is in seconds since 1970. On a Mac
    that is meant to have no builder there is nothing to examine.
    """
    resources, wrong = desired({**given, "linux_builder_build": "never"})
    if wrong or given.get("linux_builder_state") == "absent":
        return (), wrong

    def the(kind: type[PartT]) -> PartT:
        return next(each for each in resources if isinstance(each, kind))

    machine = the(NixMachine)
    examined = Doctor(
        builder=Builder(
            mac=the(MacRequirements),
            nix=the(NixInstallation),
            setting=the(NixSetting),
            key=the(SshKeypair),
            vm=the(BuilderVm),
            job=the(LaunchdDaemon),
            ssh=the(SshHost),
            machine=machine,
            systems=the(LocalSystems),
            build=LinuxBuild(systems=machine.systems, uri=machine.uri, stamp=secrets.token_hex(8)),
            files=the(TrustedFiles),
            memory=the(Memory),
            controller_time=int(controller_time),
        )
    )
    return (RootOnMac(), DoctorsBuild(doctor=examined), examined), ()


def findings(session: Session) -> tuple[Finding, ...]:
    """What was found on the Mac of a session of `doctor()`, from what it answered last; the build is the last of it,
    unless it is still to be made.

    Raises SessionError when the Mac has not answered.
    """
    examined = next((each for each in session.resources if isinstance(each, Doctor)), None)
    if examined is None:
        return (fine("builder", "none is wanted on this Mac (linux_builder_state is absent): nothing was examined"),)
    build = _build(session, examined)
    return (*examined.examine(session.answers).found.values(), *([build] if build else []))


def _build(session: Session, examined: Doctor) -> Finding | None:
    if examined.examine(session.answers).built:
        return fine("build", proof(session.answers))
    prevents = examined.prevents_build(session.answers)
    if prevents:
        return not_reached("build", prevents)
    failure = session.failure
    if failure is None:
        return None
    if failure.outcome is not Outcome.NEEDS_PERSON or not failure.detail:
        return Finding("build", State.UNKNOWN, f"could not be made: {failure}")
    first = str(failure).partition("build: ")[2]
    more = (f"  {line}" for line in failure.detail.splitlines() if line != first)
    return broken("build", "\n".join((first, *more)), "The lines above are Nix's own: what they name is where to look")
