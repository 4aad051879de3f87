# SPDX-License-Identifier: GPL-3.0-or-later
"""A session: one probe, changes that are read back, and an outcome in one word and one number."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.asking import Answers, Question
from builderfleet.plugin_utils.files import own_file
from builderfleet.plugin_utils.outcome import WORST_FIRST, Outcome, exit_code
from builderfleet.plugin_utils.questions.file import NOTHING, File, Found, Kind
from builderfleet.plugin_utils.resource import Blocked, Change, Diff, Step
from builderfleet.plugin_utils.session import MOST_STALE, Session, SessionError

from tests.unit.sandbox import Sandbox
from tests.unit.transcripts import printed


@dataclass(frozen=True)
class Text:
    """A file with a text."""

    path: str
    content: str = "wanted\n"
    after: str = ""

    @property
    def title(self) -> str:
        return f"text {self.path}"

    def questions(self) -> Iterator[Question[Any]]:
        yield File(self.path)

    def changes(self, answers: Answers) -> Iterator[Step]:
        data = self.content.encode()
        yield from own_file(f"write {self.path}", self.path, answers[File(self.path)], data, after=self.after)


@dataclass(frozen=True)
class Proof(Text):
    """A text that every change takes away."""

    @property
    def after_changes(self) -> Mapping[Question[Any], Any]:
        return {File(self.path): NOTHING}


@dataclass(frozen=True)
class Says:
    """Whatever a test wants to be said."""

    steps: tuple[Step, ...] = ()
    title: str = "says"

    def questions(self) -> Iterator[Question[Any]]:
        yield from ()

    def changes(self, answers: Answers) -> Iterator[Step]:
        yield from self.steps


CHANGE = Change("change it", "true")
PROOF = Change("prove it", "true", proof=True)
PERSON = Blocked("it is switched off", "Switch it on")
REBOOT = Blocked("a reboot is due", "Reboot it", reboot=True)


def session(*resources: Any, **given: Any) -> Session:
    return Session(resources, who="admin@controller", **given)


def asked(*resources: Any) -> Session:
    """A session whose Mac has answered; it has no file."""
    own = session(*resources)
    own.probe()
    records = {(str(number), "kind"): b"absent" for number in range(len(resources))}
    own.hear(printed(records, own._token))
    return own


def hear(own: Session, sandbox: Sandbox, script: str) -> None:
    ran = sandbox.run(script)
    own.hear(ran.stdout, ran.stderr)


# --- a whole conversation, really run ------------------------------------------------------------------------------


def test_ask_act_and_find_it_done(sandbox: Sandbox) -> None:
    first, second = Text("/etc/first"), Text("/etc/second")
    own = session(first, second)
    hear(own, sandbox, own.probe())
    assert [step.summary for _, step in own.plan().steps] == ["write /etc/first", "write /etc/second"]
    assert own.outcome() is Outcome.WOULD_CHANGE
    assert not (sandbox / shell.LOCK_FILE).exists(), "looking takes no lock"
    for resource in (first, second):
        change = own.next(resource)
        assert change is not None
        hear(own, sandbox, own.apply(change))
        assert own.next(resource) is None
    assert (own.outcome(), own.remark()) == (Outcome.CHANGED, "write /etc/first\nwrite /etc/second")
    assert (sandbox / shell.LOCK_FILE).exists(), "a run keeps its Mac between two of its scripts"
    hear(own, sandbox, own.release())
    assert not (sandbox / shell.LOCK_FILE).exists()

    again = session(first, second)
    before = sandbox.files("/etc")
    hear(again, sandbox, again.probe())
    assert (again.plan().steps, again.outcome(), again.remark()) == ((), Outcome.CONVERGED, "")
    assert sandbox.files("/etc") == before


def test_a_change_that_does_not_stick_is_an_error(dash_sandbox: Sandbox) -> None:
    resource = Text("/etc/it", after="rm /etc/it\n")
    own = session(resource)
    hear(own, dash_sandbox, own.probe())
    with pytest.raises(SessionError, match=r"write /etc/it: it was done, but the Mac still says") as error:
        for _ in range(5):
            change = own.next(resource)
            assert change is not None
            hear(own, dash_sandbox, own.apply(change))
    assert error.value.outcome is Outcome.FAILED
    assert len(own.made) <= 2


def test_a_change_that_fails_is_said_and_the_mac_asked_all_the_same(sandbox: Sandbox) -> None:
    resource = Text("/etc/it", after="echo one >&2; fail 'the reason'\n")
    own = session(resource)
    hear(own, sandbox, own.probe())
    change = own.next(resource)
    assert change is not None
    with pytest.raises(SessionError, match=r"(?s)write /etc/it: it failed.*one.*the reason") as error:
        hear(own, sandbox, own.apply(change))
    assert error.value.outcome is Outcome.FAILED
    assert own.made == []
    assert own.answers[File("/etc/it")].content == b"wanted\n"


def test_a_stale_plan_writes_nothing_and_the_next_one_does(sandbox: Sandbox) -> None:
    resource = Text("/etc/it")
    own = session(resource)
    hear(own, sandbox, own.probe())
    change = own.next(resource)
    assert change is not None
    (sandbox / "/etc/it").write_text("somebody's\n")
    hear(own, sandbox, own.apply(change))
    assert own.made == []
    assert (sandbox / "/etc/it").read_text() == "somebody's\n"
    change = own.next(resource)
    assert change is not None
    hear(own, sandbox, own.apply(change))
    assert own.next(resource) is None


def test_a_mac_that_another_run_changes(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "LOCK_PATIENCE", 0)
    resource = Text("/etc/it")
    first = Session((Text("/etc/other"),), who="ben@laptop")
    hear(first, sandbox, first.apply(CHANGE))
    own = session(resource)
    hear(own, sandbox, own.probe())
    with pytest.raises(SessionError, match="locked by ben@laptop") as error:
        hear(own, sandbox, own.apply(CHANGE))
    assert error.value.outcome is Outcome.LOCKED
    assert own.made == []
    hear(first, sandbox, first.release())
    hear(own, sandbox, own.apply(CHANGE))


def test_what_a_mac_said_is_fit_for_a_terminal(sandbox: Sandbox) -> None:
    own = session(Text("/etc/it"))
    hear(own, sandbox, own.probe())
    script = r"""for i in 1 2; do printf '\033[31;1merror:\033[0m read\007-only\033]0;title\n'; done; echo it ended; exit 3"""
    with pytest.raises(SessionError) as error:
        hear(own, sandbox, own.apply(Change("change it", script)))
    assert str(error.value) == "change it: status 3\nerror: read^G-only^[]0;title\nit ended"


def test_a_change_that_waits_for_the_next_start(sandbox: Sandbox) -> None:
    own = session(Text("/etc/it"))
    hear(own, sandbox, own.probe())
    with pytest.raises(SessionError, match=r"^change it: macOS makes it at its next start$") as error:
        hear(own, sandbox, own.apply(Change("change it", "needs_restart 'macOS makes it at its next start'")))
    assert error.value.outcome is Outcome.REBOOT_NEEDED


# --- what is heard -------------------------------------------------------------------------------------------------


def test_a_transcript_that_was_cut_off_is_an_error_with_what_was_said() -> None:
    own = session(Text("/etc/it"))
    own.probe()
    whole = printed({("0", "kind"): b"absent"}, own._token)
    for cut in range(0, len(whole) - 2, 7):
        with pytest.raises(SessionError, match=r"(?s)^wanted .*it said:\s+sudo: a password is required") as error:
            own.hear(whole[:cut], "sudo: a password is required\n")
        assert error.value.outcome is Outcome.FAILED
    with pytest.raises(SessionError, match="not asked yet"):
        _ = own.answers


def test_the_answer_to_another_script_is_none() -> None:
    own = session(Text("/etc/it"))
    own.probe()
    old = printed({("0", "kind"): b"absent"}, own._token)
    own.probe()
    with pytest.raises(SessionError, match="whole of the Mac's answer"):
        own.hear(old)


@pytest.mark.parametrize(("status", "said"), [(b"1", "it failed"), (b"70", "status 70"), (b"255", "status 255")])
def test_a_status_is_an_error_with_the_last_words(status: bytes, said: str) -> None:
    own = session()
    own.apply(CHANGE)
    with pytest.raises(SessionError, match=rf"(?s)^change it: {said}\n.*the reason$") as error:
        own.hear(printed({("script", "status"): status}, own._token), "\n".join([*map(str, range(99)), "the reason"]))
    assert len(str(error.value).split("\n")) < 20


def test_what_a_script_cannot_do_by_itself_needs_a_person() -> None:
    own = session()
    own.apply(CHANGE)
    with pytest.raises(SessionError, match=r"^change it: its log says why$") as error:
        own.hear(printed({("script", "status"): str(shell.PERSON).encode()}, own._token), "its log says why\n")
    assert error.value.outcome is Outcome.NEEDS_PERSON


def test_every_script_has_another_token() -> None:
    own = session()
    scripts = [own.probe(), own.probe(), own.apply(CHANGE), own.release()]
    assert len(set(scripts)) == 4


def test_no_two_runs_have_the_same_name() -> None:
    assert session().run != session().run


# --- what has to happen --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "outcome"), [(PERSON, Outcome.NEEDS_PERSON), (REBOOT, Outcome.REBOOT_NEEDED)])
def test_where_a_person_is_needed_nothing_goes_on(step: Blocked, outcome: Outcome) -> None:
    resource = Says((step, CHANGE))
    with pytest.raises(SessionError, match=rf"{step.summary}\. {step.remedy}") as error:
        asked(resource).next(resource)
    assert error.value.outcome is outcome


def test_an_unknown_answer_is_an_error_and_no_drift() -> None:
    own = session(Text("/etc/it"))
    own.probe()
    own.hear(printed({("0", "unknown"): b"cannot read /etc/it: Input/output error"}, own._token))
    for attempt in (own.plan, lambda: own.next(own.resources[0])):
        with pytest.raises(SessionError, match=r"text /etc/it: could not tell .*Input/output error") as error:
            attempt()
        assert error.value.outcome is Outcome.FAILED
    assert own.outcome() is Outcome.FAILED
    assert "Input/output error" in own.remark()


def test_a_plan_says_what_changes_of_others_will_bring_about() -> None:
    proof = Proof("/proof")
    own = session(Says((CHANGE,)), proof)
    own.probe()
    fields = {"kind": b"file", "content": b"wanted\n", "mode": b"644", "uid": b"0", "gid": b"0"}
    own.hear(printed({("0", name): value for name, value in fields.items()}, own._token))
    assert [step.summary for _, step in own.plan().steps] == ["change it", "write /proof"]
    alone = session(proof)
    alone._answers = own.answers
    assert alone.plan().steps == ()


def test_a_resource_is_asked_once_until_the_mac_is_heard_again() -> None:
    asked_for: list[str] = []

    class Counts(Says):
        def changes(self, answers: Answers) -> Iterator[Step]:
            asked_for.append(self.title)
            yield from self.steps

    resource = Counts((CHANGE,))
    own = asked(resource)
    assert own.steps(resource) == own.steps(resource) == (CHANGE,)
    assert (own.plan().changes, own.outcome(), own.next(resource)) == ((CHANGE,), Outcome.WOULD_CHANGE, CHANGE)
    assert len(asked_for) == 1
    own.apply(CHANGE)
    own.hear(printed({("script", "status"): b"0"}, own._token))
    own.plan()
    assert len(asked_for) == 2


def test_a_check_that_fails_is_a_finding_with_all_that_was_said() -> None:
    own = session()
    own.apply(replace(PROOF, check="build"))
    said = "error: no builder\nit fails: see above"
    with pytest.raises(SessionError, match=r"^build: error: no builder$") as error:
        own.hear(printed({("script", "status"): b"1"}, own._token), said)
    assert (error.value.outcome, error.value.detail) == (Outcome.NEEDS_PERSON, said)


def test_a_change_is_made_once_it_is_heard_of_and_not_before() -> None:
    own = session()
    own.apply(CHANGE)
    assert own.made == []
    own.hear(printed({("script", "status"): b"0"}, own._token))
    assert own.made == [CHANGE]
    own.apply(PROOF)
    with pytest.raises(SessionError):
        own.hear("nothing of use")
    own.release()
    own.hear(printed({("script", "status"): b"0"}, own._token))
    assert own.made == [CHANGE]


@pytest.mark.parametrize(
    ("steps", "made", "outcome"),
    [
        ((), (), Outcome.CONVERGED),
        ((), (PROOF,), Outcome.CONVERGED),
        ((), (CHANGE,), Outcome.CHANGED),
        ((), (CHANGE, PROOF), Outcome.CHANGED),
        ((CHANGE,), (), Outcome.WOULD_CHANGE),
        ((PERSON,), (), Outcome.NEEDS_PERSON),
        ((PERSON,), (CHANGE,), Outcome.NEEDS_PERSON),
        ((REBOOT,), (), Outcome.REBOOT_NEEDED),
        ((REBOOT, PERSON), (), Outcome.NEEDS_PERSON),
        ((CHANGE, PERSON), (), Outcome.NEEDS_PERSON),
        ((CHANGE, REBOOT), (), Outcome.REBOOT_NEEDED),
        ((PROOF,), (), Outcome.CONVERGED),
    ],
)
def test_the_outcome(steps: tuple[Step, ...], made: tuple[Change, ...], outcome: Outcome) -> None:
    own = asked(Says(steps))
    own.made.extend(made)
    assert own.outcome() is outcome


def test_a_failure_is_the_outcome() -> None:
    own = asked(Says((CHANGE,)))
    own.failure = SessionError("gone", Outcome.UNREACHABLE)
    assert (own.outcome(), own.remark()) == (Outcome.UNREACHABLE, "gone")


def test_a_remark_says_what_would_be_and_what_a_person_can_do() -> None:
    assert asked(Says((CHANGE, PERSON))).remark() == "change it\nit is switched off. Switch it on"


def test_what_stands_behind_what_a_person_has_to_do_is_not_promised() -> None:
    """The real run stops there: with all that this resource needs a person for, and nothing of those that come later."""
    more = Blocked("it is locked", "Unlock it")
    own = asked(Says((CHANGE,)), Says((PROOF, PERSON, CHANGE, more)), Says((CHANGE,)), Says((REBOOT,)))
    assert [step for _resource, step in own.plan().steps] == [CHANGE, PROOF, PERSON, more]
    assert own.shown == (CHANGE, PROOF)
    assert [own.reached(each) for each in own.resources[2:]] == [(), ()]
    dry = own.outcome(), own.remark().splitlines()[-2:]
    with pytest.raises(SessionError) as error:
        own.next(Says((PERSON, CHANGE, more)))
    assert dry == (error.value.outcome, str(error.value).splitlines())


def test_what_cannot_be_told_behind_it_is_no_failure() -> None:
    own = session(Says((PERSON,)), Text("/etc/it"))
    own.probe()
    own.hear(printed({("0", "unknown"): b"cannot read /etc/it: Input/output error"}, own._token))
    assert own.outcome() is Outcome.NEEDS_PERSON


# --- outcomes of a fleet -------------------------------------------------------------------------------------------


def test_every_outcome_has_its_word_and_number() -> None:
    assert {each.word: each.code for each in Outcome} == {
        "converged": 0,
        "changed": 0,
        "failed": 1,
        "would change": 2,
        "reboot needed": 3,
        "needs a person": 4,
        "unreachable": 5,
        "locked": 6,
    }


@pytest.mark.parametrize(("worse", "better"), [*itertools.combinations([1, 6, 4, 3, 5, 2, 0], 2)])
def test_the_worst_counts(worse: int, better: int) -> None:
    by_code = {each.code: each for each in Outcome}
    assert exit_code([by_code[better], by_code[worse], by_code[better]]) == worse
    assert exit_code([by_code[worse], by_code[better]]) == worse


def test_a_fleet_without_macs() -> None:
    assert exit_code([]) == 0
    assert set(WORST_FIRST) == {each.code for each in Outcome}


def test_a_diff_is_unified_and_without_context() -> None:
    assert Diff("/etc/it", "one\ntwo\n", "one\nthree\n").lines == [
        "--- /etc/it (now)",
        "+++ /etc/it (wanted)",
        "@@ -2,1 +2,1 @@",
        "-two",
        "+three",
    ]
    assert Diff("/etc/it", "same", "same").lines == []


def test_a_plan_that_grew_stale_is_made_anew_a_few_times() -> None:
    """The script refused to overwrite what changed since; what is there now came with the same answer."""
    own = session(Says((CHANGE,)))
    for _ in range(MOST_STALE):
        own.apply(CHANGE)
        own.hear(printed({("script", "status"): b"76"}, own._token))
        assert own.made == [] and own.next(own.resources[0]) == CHANGE
    own.apply(CHANGE)
    with pytest.raises(SessionError, match="change it: status 76"):
        own.hear(printed({("script", "status"): b"76"}, own._token))


def test_what_a_change_leaves_is_what_later_resources_plan_with() -> None:
    """So that a dry run lists what the real one does; who comes earlier is not concerned, and a change that is made no more."""
    question = File("/b")
    own = asked(
        Text("/b", "x"),
        Says((Change("restart", "true", leaves=((question, Found(Kind.FILE, 0o644, 0, 0, b"x\n")),)),)),
        Text("/b", "x\n"),
    )
    assert [step.summary for _resource, step in own.plan().steps] == ["write /b", "restart"]


def run_in(sandbox: Sandbox, *resources: Any) -> Session:
    """A whole run in a sandbox."""
    own = session(*resources)
    for script in own.converge():
        ran = sandbox.run(script.text)
        own.take(ran.stdout, ran.stderr)
    return own


def test_what_a_later_change_spoils_is_done_once_more(dash_sandbox: Sandbox) -> None:
    spoils = "[ -e /etc/once ] || { : > /etc/once; rm -f /etc/a; }\n"
    own = run_in(dash_sandbox, Text("/etc/a"), Text("/etc/b", after=spoils))
    assert [change.summary for change in own.made] == ["write /etc/a", "write /etc/b", "write /etc/a"]
    assert own.outcome() is Outcome.CHANGED, own.remark()
    assert not (dash_sandbox / shell.LOCK_FILE).exists()


def test_a_real_run_does_not_end_with_what_would_change(dash_sandbox: Sandbox) -> None:
    own = run_in(dash_sandbox, Text("/etc/a", after="rm -f /etc/b\n"), Text("/etc/b", after="rm -f /etc/a\n"))
    assert own.outcome() is Outcome.FAILED
    assert own.remark() == "all of it was done, and the Mac says that it has to be done again: write /etc/a"


def test_what_was_answered_is_let_go_once_it_is_known_what_has_to_happen() -> None:
    own = asked(Text("/etc/first"), Says((CHANGE,)))
    before = own.plan(), own.outcome(), own.remark()
    own.settle()
    assert (own.plan(), own.outcome(), own.remark()) == before
    assert own.next(own.resources[0]) is own.plan().changes[0]
    with pytest.raises(SessionError, match="not asked"):
        _ = own.answers


def test_what_cannot_be_told_is_not_let_go() -> None:
    own = session(Text("/etc/first"))
    own.probe()
    own.hear(printed({("0", "unknown"): b"it is too long"}, own._token))
    own.settle()
    assert own.answers is not None
