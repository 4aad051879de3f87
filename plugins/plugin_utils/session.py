# SPDX-License-Identifier: GPL-3.0-or-later
"""One conversation with one Mac: ask once, decide purely, act atomically, and ask again only after something changed.

A session does no I/O. A front end carries its scripts to the Mac and what came back to the session:

    session = Session(resources, who="admin@controller")
    for script in session.converge():  # ask, then act and ask again: one round trip each; a converged Mac needs one
        session.take(*run(script))
    session.outcome(), session.remark()

"""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import nix_errors, shell
from .asking import Answers, Probe, Unknown, probe_of
from .masked import masked
from .outcome import Outcome
from .report import Result
from .resource import Blocked, Change, Demanding, Plan, Proving, Resource, Step
from .transcript import Transcript, TranscriptError

PROBE_LIMIT = 120
"""Seconds after which a front end gives up on a script that only asks."""

MOST_STALE = 3
"""How often a run looks again when a file changed under its hands (a script of a run that died was still at it, say)."""

_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # colours and the like (ECMA-48)


class SessionError(Exception):
    """A run on a Mac cannot go on. The text is for people, and masked; `outcome` says what it means for the fleet.

    `detail` is all that was said of it, where the text is but a part of that.
    """

    def __init__(self, message: str, outcome: Outcome = Outcome.FAILED, detail: str = "") -> None:
        super().__init__(masked(message))
        self.outcome = outcome
        self.detail = masked(detail)


@dataclass(frozen=True, slots=True)
class Script:
    """What a front end carries to a Mac: the text for `/bin/sh -s`, its limit in seconds, and the change that it makes."""

    text: str
    limit: int
    change: Change | None = None


@dataclass(slots=True)
class Session:
    """What was asked of a Mac, what it answered, and what was done to it."""

    resources: Sequence[Resource]
    who: str
    wrong: Sequence[object] = ()  # what is wrong with the variables or parameters: nothing is asked then
    run: str = field(default_factory=lambda: secrets.token_hex(8))
    made: list[Change] = field(default_factory=list)
    failure: SessionError | None = None
    _answers: Answers | None = None
    _token: str = ""
    _making: Change | None = None
    _stale: int = 0
    _steps: dict[int, tuple[Step, ...]] = field(default_factory=dict)  # by resource, until the Mac is heard again

    @property
    def answered(self) -> bool:
        """Whether anything came back from this Mac, in this run."""
        return self._answers is not None or bool(self.made)

    @property
    def answers(self) -> Answers:
        if self._answers is None:
            raise SessionError("this Mac was not asked yet")
        return self._answers

    @property
    def making(self) -> Change | None:
        """The change whose script is on its way, until the Mac is heard."""
        return self._making

    def _probe(self) -> Probe[Any]:
        return probe_of(question for resource in self.resources for question in resource.questions())

    def probe(self) -> str:
        """The script that asks everything. It only looks."""
        self._token = secrets.token_hex(8)
        return shell.wrap(self._probe().script(self._token))

    def apply(self, change: Change) -> str:
        """The script that makes a change under the Mac's lock and, whatever came of it, asks everything again."""
        self._making = change
        self._token = secrets.token_hex(8)
        change_script = shell.guarded(change.script, run=self.run, who=self.who, what=change.summary, slow=change.slow)
        return shell.wrap(f"(\n{change_script})\nstatus=$?\n" + self._probe().script(self._token, '"$status"'))

    def release(self) -> str:
        """The script that gives the Mac's lock back, and asks everything again."""
        self._token = secrets.token_hex(8)
        return shell.wrap(shell.released(self.run) + self._probe().script(self._token))

    def hear(self, text: str, errors: str = "") -> None:
        """Take in what a script printed.

        Raises SessionError when it is no whole transcript, when the Mac is locked, or when the change failed.
        """
        change, self._making = self._making, None
        what = f"{change.summary}: " if change else ""
        try:
            transcript = Transcript.parse(text, self._token)
        except TranscriptError as error:
            hint = _last_lines(errors)
            raise SessionError(f"{what}{error}" + (f"; it said:\n{hint}" if hint else "")) from error
        self._answers, self._steps = self._probe().answers(transcript), {}
        status = int(transcript.fields("script").get("status", b"0"))
        if status == shell.LOCKED:
            raise SessionError(_last_lines(errors) or "locked by another run", Outcome.LOCKED)
        if status == shell.STALE and self._stale < MOST_STALE:
            self._stale += 1  # refused before it wrote anything; what is there now was asked in the same breath
            return
        if status == shell.RESTART:
            raise SessionError(f"{what}{_last_lines(errors, 1)}", Outcome.REBOOT_NEEDED)
        if status == shell.PERSON:
            raise SessionError(f"{what}{_last_lines(errors)}", Outcome.NEEDS_PERSON)
        if status != 0 and change and change.check:
            said = _last_lines(errors) or f"status {status} and no message"
            means = nix_errors.refused(errors, self.answers)
            detail = "\n".join(filter(None, (said, means)))
            raise SessionError(f"{change.check}: {_error(said)}", Outcome.NEEDS_PERSON, detail)
        if status != 0:
            means = nix_errors.refused(errors, self.answers)
            said = "\n".join(filter(None, (_last_lines(errors) or f"status {status} and no message", means)))
            how = "it failed" if status == 1 else f"status {status}"  # 1 is that of our own scripts, and says nothing
            raise SessionError(f"{what}{how}\n{said}")
        if change:
            self.made.append(change)

    def refuse(self) -> None:
        """Raises SessionError when desired state is wrong for the Mac that answered, or when that cannot be told."""
        try:
            refused = [
                str(each)
                for resource in self.resources
                if isinstance(resource, Demanding)
                for each in resource.refusals(self.answers)
            ]
        except Unknown as unknown:
            raise SessionError(
                f"whether this Mac is fit for it could not be told, and nothing was changed: {unknown}. Run it again; if it "
                "stays so, look at that Mac"
            ) from unknown
        if refused:
            raise SessionError("\n".join(refused))

    def converge(self, dry: bool = False) -> Iterator[Script]:
        """The whole conversation: scripts to carry to the Mac, each answered by `take`, until nothing is left to do.

        Where it goes wrong it ends, and `failure` says why. A `dry` one asks and refuses, and changes nothing.
        """
        try:
            if self.wrong:
                raise SessionError("\n".join(map(str, self.wrong)))
            yield Script(self.probe(), PROBE_LIMIT)
            if not self.failure:
                self.refuse()
            for resource in () if dry else self.resources:
                while not self.failure and (change := self.next(resource)):
                    yield Script(self.apply(change), change.limit, change)
            if self.made and not self.failure:
                yield from self.closing()
        except SessionError as error:
            self.failure = error

    def closing(self) -> Iterator[Script]:
        """What ends a run that changed something: the Mac's lock goes back; and where something is called for all the same,
        because it was spoilt meanwhile or did not answer in time, it is done once more. A real run does not end with what
        "would change" (`design §4.10`). Raises SessionError.
        """
        yield Script(self.release(), PROBE_LIMIT)
        if not self._left():
            return
        for resource in self.resources:
            while not self.failure and (change := self.next(resource)):
                yield Script(self.apply(change), change.limit, change)
        if not self.failure:
            yield Script(self.release(), PROBE_LIMIT)
        if left := self._left():
            raise SessionError(f"all of it was done, and the Mac says that it has to be done again: {', '.join(left)}")

    def _left(self) -> list[str]:
        """What is called for, but for proofs, and for what a person has to do; nothing where that cannot be told."""
        if self.failure:
            return []
        try:
            plan = self.plan()
        except SessionError:
            return []
        return [] if plan.blocked else [change.summary for change in plan.changes if not change.proof]

    def take(self, text: str, errors: str = "") -> None:
        """Hear what a script of the conversation printed; where that is a failure, it is kept."""
        try:
            self.hear(text, errors)
        except SessionError as error:
            self.failure = error

    def steps(self, resource: Resource) -> tuple[Step, ...]:
        """What has to happen for one resource, as things are now. Raises SessionError when that cannot be told."""
        if id(resource) not in self._steps:
            try:
                self._steps[id(resource)] = tuple(resource.changes(self._supposing(resource)))
            except Unknown as unknown:
                text = f"{resource.title}: could not tell whether it is as desired: {unknown}"
                raise SessionError(text) from unknown
        return self._steps[id(resource)]

    def plan(self) -> Plan:
        """Everything that has to happen, as far as it shows from here and a run comes by itself."""
        return Plan(tuple((resource, step) for resource in self.resources for step in self.reached(resource)))

    def reached(self, resource: Resource) -> tuple[Step, ...]:
        """The steps of a resource to which a run comes. Where a person is needed it stops, and says all that this resource
        needs one for. Raises SessionError.
        """
        earlier = itertools.takewhile(lambda each: each is not resource, self.resources)
        if any(isinstance(step, Blocked) for each in earlier for step in self.steps(each)):
            return ()
        before = tuple(itertools.takewhile(lambda step: isinstance(step, Change), self.steps(resource)))
        return before + tuple(step for step in self.steps(resource) if isinstance(step, Blocked))

    def settle(self) -> None:
        """Keep what has to happen, and let go of the answers that tell it: in a large fleet they are most of the memory."""
        if self.failure is None and self._told():
            self._answers = None

    def _told(self) -> bool:
        try:
            return self.plan() is not None
        except SessionError:
            return False

    @property
    def steps_left(self) -> bool:
        """Whether anything has to happen; also when that cannot be told."""
        try:
            return bool(self.plan().steps)
        except SessionError:
            return True

    def _supposing(self, resource: Resource) -> Answers:
        """The answers as a resource will find them when its turn comes, as far as other changes touch what it asks."""
        earlier = itertools.takewhile(lambda each: each is not resource, self.resources)
        left = dict(pair for change in self._changes_of(earlier) for pair in change.leaves)
        if isinstance(resource, Proving) and any(self._changes_of(self.resources)):
            left = {**resource.after_changes, **left}
        return self.answers.supposing(left) if left else self.answers

    def _changes_of(self, resources: Iterable[Resource]) -> Iterator[Change]:
        """The changes of those that do not only prove."""
        for each in resources:
            if not isinstance(each, Proving):
                yield from (step for step in self.steps(each) if isinstance(step, Change))

    def next(self, resource: Resource) -> Change | None:
        """The next change of a resource, None when it is as desired.

        Raises SessionError when a person is needed, or when a change that was just made is still called for: exit
        status 0 is no proof, the state is read back (`design §4.8`).
        """
        step = next(iter(self.steps(resource)), None)
        if isinstance(step, Blocked):
            blocked = [each for each in self.steps(resource) if isinstance(each, Blocked)]
            reboot = all(each.reboot for each in blocked)
            raise SessionError(
                "\n".join(dict.fromkeys(f"{each.summary}. {each.remedy}" for each in blocked)),
                Outcome.REBOOT_NEEDED if reboot else Outcome.NEEDS_PERSON,
            )
        if step is not None and [change.summary for change in self.made].count(step.summary) > 1:
            raise SessionError(f"{step.summary}: it was done, but the Mac still says that it has to be done")
        return step

    def outcome(self) -> Outcome:
        """How the run ended, from what the Mac said last."""
        if self.failure:
            return self.failure.outcome
        try:
            plan = self.plan()
        except SessionError as error:
            return error.outcome
        if plan.blocked:
            return Outcome.REBOOT_NEEDED if all(each.reboot for each in plan.blocked) else Outcome.NEEDS_PERSON
        if not all(change.proof for change in plan.changes):
            return Outcome.WOULD_CHANGE
        return Outcome.CONVERGED if all(change.proof for change in self.made) else Outcome.CHANGED

    def remark(self) -> str:
        """What a report says beside the outcome: why it failed, what was made, or what would be; a line each."""
        if self.failure:
            return str(self.failure)
        if self.made:
            return "\n".join(map(self._shown_made, self.made))
        try:
            steps = [step for _resource, step in self.plan().steps]
        except SessionError as error:
            return str(error)
        if all(isinstance(step, Change) and step.proof for step in steps):  # nothing else says that it was not done
            return "\n".join(f"would {step.summary}" for step in steps)
        lines = (step.summary if isinstance(step, Change) else f"{step.summary}. {step.remedy}" for step in steps)
        return "\n".join(dict.fromkeys(lines))  # what stands in the way of several is said once

    def _shown_made(self, change: Change) -> str:
        evidence = change.evidence(self.answers) if change.evidence else ""
        return change.summary + (f": built on {evidence}" if evidence else "")

    @property
    def shown(self) -> tuple[Change, ...]:
        """The changes that a report shows: those that were made, or else those that would be."""
        if self.made or self.failure:
            return tuple(self.made)
        try:
            return self.plan().changes
        except SessionError:
            return ()

    def result(self) -> Result:
        """How it stands with this Mac."""
        return Result(self.outcome(), self.remark())


def _last_lines(text: str, count: int = 12) -> str:
    """The end of what a Mac said: masked as a whole, without colours, and what it says over and over is said once."""
    lines = nix_errors.once(masked(_ESCAPE.sub("", text).replace("\r", "\n")).split("\n"))
    return "\n".join([line for line, _same in itertools.groupby(filter(None, lines))][-count:])


def _error(said: str) -> str:
    """The line that says most: the last one that a program calls its error, or else the last."""
    lines = said.splitlines()
    return next((line for line in reversed(lines) if re.search(r"\berror: \S", line)), lines[-1])
