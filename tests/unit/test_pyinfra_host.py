# SPDX-License-Identifier: GPL-3.0-or-later
"""pyinfra's half of a session: what is said of a run that was stopped, and of a connection that ends in a script."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from builderfleet.operations import _host
from builderfleet.plugin_utils.controller import SUDO_SAYS
from builderfleet.plugin_utils.outcome import Outcome
from builderfleet.plugin_utils.report import Result
from builderfleet.plugin_utils.resource import Change
from builderfleet.plugin_utils.session import Session, SessionError

from tests.unit.test_session import Text
from tests.unit.transcripts import printed

ABSENT = b"absent"


def asked(*paths: str) -> Session:
    """A session whose Mac has none of these files."""
    own = Session([Text(path) for path in paths], who="admin@controller")
    own.probe()
    own.hear(printed({(str(number), "kind"): ABSENT for number in range(len(paths))}, own._token))
    return own


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    found: dict[str, Any] = {}
    monkeypatch.setattr(_host, "_SESSIONS", found)
    return found


def keep(sessions: dict[str, Any], name: str, own: Session, *, dry: bool) -> None:
    sessions[name] = {id(own): (own, own.result(), dry)}


def test_a_run_that_is_stopped_says_what_was_made_what_is_under_way_and_what_is_left(sessions: dict[str, Any]) -> None:
    own = asked("/second", "/third")
    own.made.append(Change("write /first", ""))
    own.apply(own.plan().changes[0])
    keep(sessions, "anna", own, dry=False)
    keep(sessions, "bert", asked("/first"), dry=True)
    keep(sessions, "carla", asked(), dry=False)
    assert _host.stopped() == {
        "anna": Result(
            Outcome.FAILED,
            "interrupted: made: write /first\n"
            "under way, and finished by the Mac or not: write /second\n"
            "left: write /third\n"
            "Run it again: it goes on from there",
        ),
        "bert": Result(
            Outcome.FAILED,
            "interrupted: nothing was done on it\nleft: write /first\nRun it again: it goes on from there",
        ),
        "carla": Result(Outcome.CONVERGED),
    }


def test_what_had_failed_before_it_was_stopped_has_failed(sessions: dict[str, Any]) -> None:
    own = asked("/first")
    own.failure = SessionError("locked by somebody", Outcome.LOCKED)
    keep(sessions, "anna", own, dry=False)
    assert _host.stopped() == {"anna": Result(Outcome.LOCKED, "locked by somebody")}


class Wire:
    """A host whose command prints a text and is then gone, or not."""

    def __init__(self, text: str, alive: bool, errors: str = "") -> None:
        self.text, self.errors, self.current_op_global_arguments = text, errors, {"_sudo": True}
        transport = SimpleNamespace(is_active=lambda: alive, join=lambda seconds: None)
        self.connector = SimpleNamespace(client=SimpleNamespace(get_transport=lambda: transport))

    def run_shell_command(self, *_words: Any, **_arguments: Any) -> tuple[bool, Any]:
        return True, SimpleNamespace(stdout=self.text, stderr=self.errors)


@pytest.mark.parametrize(
    ("said", "means"),
    [
        (said, means)
        for means, texts in zip(("Incorrect", "Missing"), SUDO_SAYS.values(), strict=True)
        for said in texts
    ],
)
def test_whom_sudo_does_not_let_is_told_so_and_what_to_do(said: str, means: str) -> None:
    """In Ansible's words, which says the same of it."""
    own = asked("/first")
    own.probe()
    with pytest.raises(SessionError, match=f"^{means} sudo password: sudo on this Mac "):
        _host._carry(Wire("", alive=True, errors=said), own, "", 1)  # type: ignore[arg-type]


def test_what_a_sudo_of_the_script_itself_says_is_not_blamed_on_the_sessions() -> None:
    own = asked("/first")
    own.apply(Change("prove it", ""))
    text = printed({("0", "kind"): ABSENT, ("script", "status"): b"1"}, own._token)
    with pytest.raises(SessionError, match=r"^prove it: it failed\nsudo: a password is required$"):
        _host._carry(Wire(text, alive=True, errors="sudo: a password is required"), own, "", 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "half of a transcr"])
def test_a_connection_that_ends_in_a_script_is_unreachable_whatever_was_printed(text: str) -> None:
    own = asked("/first")
    own.probe()
    with pytest.raises(SessionError, match="the connection was lost") as lost:
        _host._carry(Wire(text, alive=False), own, "", 1)  # type: ignore[arg-type]
    assert lost.value.outcome is Outcome.UNREACHABLE
    own.probe()
    with pytest.raises(SessionError, match="whole of the Mac's answer") as rubbish:
        _host._carry(Wire(text, alive=True), own, "", 1)  # type: ignore[arg-type]
    assert rubbish.value.outcome is Outcome.FAILED
