# SPDX-License-Identifier: GPL-3.0-or-later
"""The way in: the guest's host key, the Mac's own key, and ssh with both."""

from __future__ import annotations

from ..finding import Finding, broken, fine
from ..questions.file import File, Kind
from ..questions.guest import Guest
from ..questions.key_pair import KeyPair
from ..resource import Blocked
from ..resources.builder_vm import KNOWN_HOSTS, PUBLIC_KEY, accepted
from ..resources.nix_machine import MACHINES
from ..resources.ssh_host import SSH_CONFIG
from .examination import Examination, NotReached, fingerprint, remedy
from .nix import pinned_in_machines
from .vm import HAND_KEY, PIN_HOST_KEY


def host_key(examination: Examination) -> Finding:
    """Whether the guest has the host key that is wanted, and ssh and Nix are told so."""
    answers, builder = examination.answers, examination.builder
    wanted, seen = fingerprint(builder.vm.host_key), answers[Guest(builder.vm.alias)].host_key
    if seen and seen != wanted:
        return broken(
            "host key",
            f"the guest presents another host key than the one wanted: {seen}, not {wanted}",
            "If that is your builder's key, set linux_builder_host_key to its line and run the rollout. If not, whoever"
            f" listens on port {builder.vm.port} is not your builder: see who it is before anything is built there",
        )
    steps = [step for step in builder.vm.changes(answers) if step.summary.startswith(PIN_HOST_KEY)]
    if steps:
        pinned = _known_key(answers[KNOWN_HOSTS].content or b"", builder.vm.alias)
        return broken(
            "host key", f"{KNOWN_HOSTS.path} pins {pinned or 'no key'}, but the builder's is {wanted}", remedy(steps)
        )
    in_machines = pinned_in_machines(answers[MACHINES].content or b"", builder.machine.uri)
    if in_machines is not None and fingerprint(in_machines) != wanted:
        cause = f"{MACHINES.path} pins {fingerprint(in_machines) or 'no key'}, but the builder's is {wanted}"
        return broken("host key", cause, remedy(builder.machine.changes(answers)))
    if not seen:
        examination.needs("port")
        raise NotReached("ssh")
    return fine("host key", seen)


def _known_key(content: bytes, alias: str) -> str:
    for line in content.decode("utf-8", "replace").splitlines():
        name, _separator, key = line.partition(" ")
        if name == alias:
            return fingerprint(key)
    return ""


def key(examination: Examination) -> Finding:
    """Whether the Mac's key pair can be used, and the guest is handed its public half."""
    answers, wanted = examination.answers, examination.builder.key
    pair = answers[KeyPair(wanted.path)]
    steps = list(wanted.changes(answers))
    if steps:
        step = steps[0]
        if isinstance(step, Blocked):
            return broken("key", step.summary, step.remedy)
        if pair.private.absent:
            cause = f"this Mac has no key: {wanted.path} is not there"
        elif not pair.private.has(0o600, 0, 0):
            cause = f"{wanted.path} is not root's alone, so ssh refuses it: {pair.private.metadata}"
        elif not pair.usable:
            cause = f"{wanted.path} cannot be used: it is damaged, or has a passphrase"
        elif pair.public.absent:
            cause = f"{wanted.path}.pub is not there"
        else:
            cause = f"{wanted.path}.pub is not as wanted, or belongs to another private half: {pair.public.metadata}"
        return broken("key", cause, remedy(steps))
    steps = [step for step in examination.builder.vm.changes(answers) if step.summary.startswith(HAND_KEY)]
    if steps:
        found = answers[PUBLIC_KEY]
        handed = accepted(found)
        if pair.expected in handed:
            cause = f"sshd in the guest does not trust {PUBLIC_KEY.path}: {found.metadata}, not file 0444 0:0"
        elif found.kind is Kind.FILE:
            other = fingerprint(handed[0]) if handed else ""
            cause = f"the guest is handed another public key ({other or 'rubbish'}) than this Mac's"
        else:
            cause = f"the guest is handed no public key: {PUBLIC_KEY.path} is {found.metadata}"
        return broken("key", cause, remedy(steps))
    return fine("key", fingerprint(pair.expected))


def ssh(examination: Examination) -> Finding:
    """Whether ssh knows the builder, and the guest lets it in."""
    answers, builder = examination.answers, examination.builder
    wanted, alias = builder.ssh, builder.vm.alias
    steps = list(wanted.changes(answers))
    if steps:
        step = steps[0]
        if isinstance(step, Blocked):
            return broken("ssh", step.summary, step.remedy)
        if answers[File(wanted.path)].absent:
            cause = f"ssh does not know the builder: {wanted.path} is not there"
        elif step.summary.startswith("write"):
            cause = f"{wanted.path} is not as wanted"
        else:
            cause = f"ssh does not read {wanted.path}: {SSH_CONFIG.path} does not include it"
        return broken("ssh", cause, remedy(steps))
    guest = answers[Guest(alias)]
    if guest.reached:
        return fine("ssh", f"root's `ssh {alias}` is let in")
    examination.needs("port", "host key", "key")
    error = guest.error or f"status {guest.status} and no message"
    if "Permission denied" in error:
        return broken(
            "ssh",
            f"the guest refuses this Mac's key, though it was handed it: {error}",
            f"It may have read its keys before: {examination.restart_vm}",
        )
    if "timed out" in error or "Timeout" in error:
        return broken("ssh", f"the guest does not answer in time: {error}", f"It hangs: {examination.restart_vm}")
    if "closed" in error or "reset" in error:
        return broken(
            "ssh",
            f"the guest ends the connection: {error}",
            "Its sshd turns away who comes too often (all of the Mac has one address to it): look again in a minute;"
            f" else {examination.restart_vm}",
        )
    return broken("ssh", f"`ssh {alias}` fails: {error}", f"See `sudo ssh -v {alias}` on that Mac")
