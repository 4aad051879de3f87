# SPDX-License-Identifier: GPL-3.0-or-later
"""Nix on the Mac: is it there, does its daemon answer, does it know the builder."""

from __future__ import annotations

from typing import Any

from .. import login_items
from ..asking import Question
from ..finding import Finding, broken, fine
from ..formats import machines
from ..formats.receipt import ReceiptError
from ..questions.file import Metadata
from ..questions.launchd import LaunchdJob
from ..questions.nix import DAEMONS, NixConfiguration, NixDaemonReply, NixVersion
from ..resource import Blocked
from ..resources.nix_daemon import NixDaemon
from ..resources.nix_installation import BEGUN, plist_of
from ..resources.nix_machine import MACHINES
from .examination import Examination, remedy
from .jobs import ended

_SOCKET = Metadata("/nix/var/nix/daemon-socket/socket")
QUESTIONS: tuple[Question[Any], ...] = (
    NixConfiguration(),
    NixVersion(),
    MACHINES,
    _SOCKET,
    *NixDaemon().questions(),
)


def nix(examination: Examination) -> Finding:
    """Whether Nix is there as a whole, runs, and reads its configuration."""
    answers, wanted = examination.answers, examination.builder.nix
    steps = list(wanted.changes(answers))
    if steps and isinstance(steps[0], Blocked):
        return broken("nix", steps[0].summary, steps[0].remedy)
    if steps:
        cut_off = "" if answers[BEGUN].absent else ": its installation was cut off"
        return broken("nix", f"there is no Nix on this Mac{cut_off}", remedy(steps))
    try:
        flavour = wanted.flavour(answers).value
    except ReceiptError as damaged:  # `changes` has said so already
        return broken("nix", str(damaged), "See what happened to the installation on that Mac")
    version = answers[NixVersion()].removeprefix("nix (").replace(")", "", 1)
    error = answers[NixConfiguration()].error
    if error:
        steps = list(examination.builder.setting.changes(answers))
        if steps and isinstance(steps[0], Blocked):
            return broken("nix", steps[0].summary, steps[0].remedy)
        what = remedy(steps) if steps else "Put the line right that it names, in /etc/nix"
        return broken("nix", f"Nix does not read its configuration: {error}", what)
    return fine("nix", f"{version}, {flavour}")


def daemon(examination: Examination) -> Finding:
    """Whether the Nix daemon answers a client; if not, what launchd says of its job."""
    examination.needs("nix")
    answers = examination.answers
    label = next((each for each in DAEMONS if not answers[plist_of(each)].absent), DAEMONS[-1])
    reply = answers[NixDaemonReply()]
    if reply.answers:
        steps = list(NixDaemon().changes(answers))
        if not steps:
            return fine("daemon", f"{label} answers")
        return broken("daemon", steps[0].summary, remedy(steps))
    plist, loaded = plist_of(label).path, answers[LaunchdJob(label)]
    load = f"`sudo launchctl bootstrap system {plist}` on that Mac loads it"
    restart = f"`sudo launchctl kickstart -k system/{label}` on that Mac starts it again"
    job = loaded.job
    if job is None and answers[plist_of(label)].absent:
        return broken(
            "daemon",
            f"the Nix daemon has no job: {plist} is gone",
            "Repair this Nix with the installer that it came with",
        )
    if job is None and login_items.is_off(answers, plist):
        return broken("daemon", f"{label} is switched off in this Mac's login items", login_items.remedy(label))
    if job is None and loaded.disabled:
        return broken(
            "daemon",
            f"{label} is switched off by an override of launchctl (`disable`)",
            f"`sudo launchctl enable system/{label}` takes that back, and {load}",
        )
    if job is None:
        return broken("daemon", f"{label} is not loaded", load)
    if job.pid is None:
        return broken("daemon", f"{label} does not keep running: {ended(job)}", f"{restart}; its log says why it ends")
    if answers[_SOCKET].absent:
        return broken("daemon", f"{label} runs (pid {job.pid}), but its socket {_SOCKET.path} is gone", restart)
    return broken("daemon", f"{label} runs (pid {job.pid}), but does not answer: {reply.error}", restart)


def machine(examination: Examination) -> Finding:
    """Whether Nix knows the builder, as it is wanted, and can read what it knows it from."""
    examination.needs("nix")
    answers, wanted = examination.answers, examination.builder.machine
    steps = list(wanted.changes(answers))
    content = answers[MACHINES].content or b""
    if steps:
        step = steps[0]
        if isinstance(step, Blocked):
            return broken("machine", step.summary, step.remedy)
        return broken("machine", _difference(step.summary, wanted.uri, content), remedy(steps))
    steps = list(examination.builder.setting.changes(answers))
    if steps:
        step = steps[0]
        cause = step.summary if isinstance(step, Blocked) else f"Nix is not set up as wanted: {step.summary}"
        return broken("machine", cause, remedy(steps))
    for step in examination.builder.systems.changes(answers):
        return broken("machine", step.summary, remedy([step]))
    return fine("machine", f"{wanted.uri} is registered for {', '.join(wanted.wanted(answers).systems)}")


def _difference(summary: str, uri: str, content: bytes) -> str:
    if not summary.startswith("register"):
        return f"an inline `builders =` in Nix's configuration hides {MACHINES.path}, so Nix does not know {uri}"
    if any(each.uri == uri for _line, each in machines.machines(content)):
        return f"{uri} is registered in {MACHINES.path}, but not as wanted"
    return f"Nix does not know the builder: {uri} is not in {MACHINES.path}"


def pinned_in_machines(content: bytes, uri: str) -> str | None:
    """The host key that the machines file pins for the builder; None where the builder is not in it."""
    if machines.is_toml(content):
        return None
    return next((each.host_key for _line, each in machines.machines(content) if each.uri == uri), None)
