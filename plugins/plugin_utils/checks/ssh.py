# SPDX-License-Identifier: GPL-3.0-or-later
"""The way in: the guest's host key, the Mac's own key, and ssh with both."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..finding import Finding, State, broken, fine
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
    if seen and _elsewhere(examination):
        raise NotReached("ssh")  # it is not the builder's port that answered
    if seen and seen != wanted:
        # A key is to be adopted only from what is known to be the builder.
        adopt = (
            "If that is your builder's key, set linux_builder_host_key to its line and run the rollout. If not, whoever"
        )
        whose = adopt if examination.found["port"].state is State.FINE else "Whoever"
        return broken(
            "host key",
            f"the guest presents another host key than the one wanted: {seen}, not {wanted}",
            f"{whose} listens on port {builder.vm.port} is not your builder: see who it is before anything is built there",
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


def _elsewhere(examination: Examination) -> str:
    """Where ssh went to, when that is known not to be the builder's port."""
    vm = examination.builder.vm
    went_to = examination.answers[Guest(vm.alias)].went_to
    return "" if went_to in ("", f"127.0.0.1 port {vm.port}") else went_to


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
    error = guest.error or f"status {guest.status} and no message"
    if went_to := _elsewhere(examination):
        return broken(
            "ssh",
            f"`ssh {alias}` goes to {went_to}, not to 127.0.0.1 port {builder.vm.port}: {error}",
            f"Another configuration overrides it: `sudo -H ssh -G -vvv {alias}` on that Mac names what it reads",
        )
    examination.needs("port", "key")
    if examination.found["host key"].state is State.BROKEN:  # where it was not reached, it waits for this
        raise NotReached("host key")
    known = next((each for each in LAST_WORDS if each.pattern.search(error)), _OTHER)
    return broken(
        "ssh",
        known.cause.format(error=error, alias=alias),
        known.remedy.format(alias=alias, restart=examination.restart_vm, log=builder.job.log),
    )


@dataclass(frozen=True, slots=True)
class LastWord:
    """What ssh says last, what that means, and what to do. `seen` is ssh's own text, of the versions named."""

    pattern: re.Pattern[str]
    cause: str
    remedy: str
    seen: str = ""


LAST_WORDS = (
    LastWord(
        re.compile("Permission denied"),
        "the guest refuses this Mac's key, though it was handed it: {error}",
        "It may have read its keys before: {restart}",
        "builder@127.0.0.1: Permission denied (publickey).",  # 8.7 to 10.0
    ),
    LastWord(
        re.compile("timed out|[Tt]imeout"),
        "the guest does not answer in time: {error}",
        "It hangs: {restart}",
        "Connection timed out during banner exchange",  # 9.2; "Connection to ... port ... timed out" since 8.7
    ),
    LastWord(
        re.compile("Unable to negotiate|no matching .* found"),
        "ssh on this Mac and sshd in the guest have no algorithm in common: {error}",
        "One of them is limited: by a baseline on this Mac (`sudo -H ssh -G {alias}` says which algorithms it offers), or"
        " by the pinned nixpkgs",
        "Unable to negotiate with 127.0.0.1 port 31422: no matching host key type found. Their offer: ssh-rsa",  # 9.2
    ),
    LastWord(
        re.compile("command-line and remote command|RemoteCommand"),
        "ssh is told to run another command: {error}",
        "A RemoteCommand is in effect: `sudo -H ssh -G -vvv {alias}` on that Mac names what it reads",
        "Cannot execute command-line and remote command.",  # 7.6 to 10.0
    ),
    LastWord(
        re.compile("UNKNOWN port"),
        "what ssh is told to connect through ends at once: {error}",
        "A ProxyCommand or ProxyJump is in effect: `sudo -H ssh -G -vvv {alias}` on that Mac names what it reads",
        "Connection closed by UNKNOWN port 65535",  # 8.0 to 10.0
    ),
    LastWord(
        re.compile("[Hh]ost key verification failed|Host key .* changed"),
        "ssh does not take the guest's host key for the one that is pinned: {error}",
        "Another file of known hosts is in effect: `sudo -H ssh -G {alias}` on that Mac says which",
        "Host key verification failed.",  # all
    ),
    LastWord(
        re.compile("refused"),
        "nobody takes the connection: {error}",
        "The VM may have stopped just now: look again in a minute; {log} says why",
        "ssh: connect to host 127.0.0.1 port 31422: Connection refused",  # all
    ),
    LastWord(
        re.compile("closed|reset|banner|Not allowed at this time"),
        "the guest ends the connection: {error}",
        "Its sshd turns away who comes too often (all of the Mac has one address to it): look again in a minute;"
        " else {restart}",
        "Connection closed by 127.0.0.1 port 31422",  # all; since 9.8 "Not allowed at this time" may come before it
    ),
)
"""ssh's last words, the first that fits counts."""

_OTHER = LastWord(re.compile(""), "`ssh {alias}` fails: {error}", "See `sudo -H ssh -v {alias}` on that Mac")
