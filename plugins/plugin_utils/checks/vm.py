# SPDX-License-Identifier: GPL-3.0-or-later
"""The builder VM from outside: does launchd keep it running, and who answers on its port."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import login_items
from ..asking import Question
from ..endings import Ending, known, starts
from ..finding import Finding, broken, fine
from ..formats.launchctl import Job
from ..questions.file import Kind, Metadata
from ..questions.launchd import LaunchdJob
from ..questions.log_tail import LogTail
from ..questions.network import Greeting, Listeners
from ..resource import Blocked, Change
from ..resources.builder_vm import EXCLUDE
from .examination import Builder, Examination, remedy
from .jobs import ended, has_failed

HAND_KEY, PIN_HOST_KEY = "hand the client's public key", "pin the builder VM's host key"
"""How those of the VM's changes begin that are about keys."""

# Where the log says nothing that is known (facts/linux_builder §4 #3).
_EXIT_CODES = {134: "QEMU stopped itself, as some of its versions do on some versions of macOS: pin another nixpkgs"}

_SHOWN = 4
"""How many lines of a log are shown."""


def questions(builder: Builder) -> Iterator[Question[Any]]:
    port = builder.vm.port
    yield from (Metadata(builder.vm.root), LaunchdJob(builder.job.label), LogTail(builder.job.log))
    yield from (Greeting(port), Listeners(port))


def job(examination: Examination) -> Finding:
    """Whether launchd has the VM's job, as it is wanted, and keeps it running."""
    answers, wanted = examination.answers, examination.builder.job
    label, loaded = wanted.label, answers[LaunchdJob(wanted.label)]
    steps = [step for step in wanted.changes(answers) if not step.summary.startswith("wait until")]
    if login_items.is_off(answers, wanted.path):
        now = "is not loaded" if loaded.job is None else "runs, but will not be loaded at the next boot"
        return broken("job", f"{label} {now}: it is switched off in the login items", login_items.remedy(label))
    if loaded.disabled:
        now = "is not loaded" if loaded.job is None else "runs, but will not be loaded at the next boot"
        cause = f"{label} {now}: it is switched off by an override of launchctl (`disable`)"
        return broken("job", cause, remedy(steps))
    root = answers[Metadata(examination.builder.vm.root)]
    if root.kind is not Kind.LINK or not root.resolves:
        return broken(
            "job",
            f"the program of {label} is gone: its GC root {examination.builder.vm.root} "
            + ("is not there" if root.absent else "leads nowhere"),
            remedy(_vm_steps(examination)),
        )
    if loaded.job is None:
        return broken("job", f"{label} is not loaded", remedy(steps))
    if loaded.job.is_leaving:
        return broken("job", f"{label} is on its way out: launchd was told to unload it", remedy(steps))
    changed = _vm_steps(examination)
    if changed:
        return broken("job", f"what {label} runs from is not as it was left", remedy(changed))
    if not answers[Greeting(examination.builder.vm.port)] and (loaded.job.pid is None or has_failed(loaded.job)):
        return _crash(examination, loaded.job)
    if steps:
        return broken("job", f"launchd has another {label} than the one wanted", remedy(steps))
    return fine("job", f"{label} runs" + (f" (pid {loaded.job.pid})" if loaded.job.pid else ""))


def _vm_steps(examination: Examination) -> list[Change | Blocked]:
    steps = examination.builder.vm.changes(examination.answers)
    return [step for step in steps if not step.summary.startswith((HAND_KEY, PIN_HOST_KEY, EXCLUDE))]


def _crash(examination: Examination, job: Job) -> Finding:
    wanted = examination.builder.job
    ending, said = _said(
        examination, back=2
    )  # launchd starts it again and again: the last start may not have ended yet
    cause = [f"{wanted.label} does not keep running: {ended(job)}"]
    if ending:
        return broken("job", "\n".join([f"{cause[0]}: {_cause(ending)}", *said]), ending.remedy)
    known = _EXIT_CODES.get(job.last_exit_code or 0)
    return broken("job", "\n".join(cause + said), known or f"See {wanted.log} on that Mac")


def _said(examination: Examination, back: int = 1) -> tuple[Ending | None, list[str]]:
    """What the VM's log says of the last of its starts that says why it ended, among that many; else, of the last that says
    anything: the known text in it, and its end, marked as others' words.
    """
    log, table = examination.builder.job.log, examination.builder.job.endings
    told = [each for each in starts(examination.answers[LogTail(log)])[-back:] if each]
    lines = next((each for each in reversed(told) if known(table, each)), told[-1] if told else [])
    ending = known(table, lines)
    whose = f"{log} ends with (the words of QEMU and of the guest):"
    return ending, [whose, *(f"  {line}" for line in lines[-_SHOWN:])] if lines else []


def _cause(ending: Ending) -> str:
    return f"{ending.cause} ({ending.who} says: {ending.text})"


KEPT_OUT = ("Not allowed at this time", "Exceeded MaxStartups")
"""What sshd says instead of its greeting: for PerSourcePenalties (seen in OpenSSH 9.8 to 10.6), and for MaxStartups."""


def port(examination: Examination) -> Finding:
    """Whether it is our VM that listens on the port, and its guest that answers: QEMU accepts before its guest does."""
    answers, builder = examination.answers, examination.builder
    number = builder.vm.port
    taken = next((step for step in builder.mac.changes(answers) if isinstance(step, Blocked)), None)
    if taken is not None:
        return broken("port", taken.summary, taken.remedy)
    greeting = answers[Greeting(number)].decode("utf-8", "replace").strip()
    if greeting.startswith("SSH-"):
        return fine("port", f"{number} answers: {greeting}")
    if greeting in KEPT_OUT:
        return fine(
            "port", f"{number} answers: {greeting!r}, sshd's word for a while after connections without a login"
        )
    if greeting:
        return broken(
            "port",
            f"what answers on port {number} is no SSH server: {greeting[:60]!r}",
            f"{examination.restart_vm}; see also who listens: `sudo lsof -nP -iTCP:{number}`",
        )
    examination.needs("job")
    if not answers[Listeners(number)]:
        return broken(
            "port",
            f"nobody listens on port {number}, though the VM's job runs",
            f"It may be starting: look again in a minute; else {examination.restart_vm}, and {builder.job.log} says why",
        )
    ending, said = _said(examination)
    if ending:
        cause = f"port {number} is open, but the guest behind it is silent: {_cause(ending)}"
        return broken("port", "\n".join([cause, *said]), ending.remedy)
    return broken(
        "port",
        f"port {number} is open, but the guest behind it is silent",
        f"It may be starting: look again in a minute; else it hangs: {examination.restart_vm}",
    )
