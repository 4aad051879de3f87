# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where a session's scripts travel over pyinfra, and where what goes wrong stays with its own host.

pyinfra 3.10 ends the whole run when an operation or a fact raises, keeps no answers, and runs every operation's
generator twice (`facts/pyinfra §0`). So the Mac is asked once, while the deploy is prepared; the operations replay
their share of that; and nothing that a Mac answers is raised further than here.
"""

from __future__ import annotations

import socket
import sys
import time
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any

import gevent
from paramiko.ssh_exception import SSHException
from pyinfra import context, logger
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.api.command import FunctionCommand, PyinfraCommand, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State, StateStage

from ..plugin_utils.controller import sudo_refused, sudo_wants_a_password, who
from ..plugin_utils.outcome import Outcome
from ..plugin_utils.parameters import by_itself
from ..plugin_utils.report import Collected, Result, worse
from ..plugin_utils.resource import Blocked, Change, Resource, Step
from ..plugin_utils.session import Session, SessionError
from ..plugin_utils.transcript import TranscriptError

STILL_AT_IT = 5
ASK_PASSWORD = "--use-sudo-password"
_SOCKET_OPTIONS = {
    "TCP_NODELAY": 1,  # Nagle's algorithm costs each command some 40 ms, and paramiko does not switch it off (facts/pyinfra §2.8)
    # A Mac that fell asleep over a change refuses nothing, it is only silent: noticed after some 75 seconds, as with ssh's
    # ServerAliveInterval. TCP_KEEPALIVE is macOS's name for TCP_KEEPIDLE; TCP_USER_TIMEOUT is Linux's, in milliseconds, for
    # a Mac that fell asleep before it had received all.
    "TCP_KEEPIDLE": 15,
    "TCP_KEEPALIVE": 15,
    "TCP_KEEPINTVL": 15,
    "TCP_KEEPCNT": 4,
    "TCP_USER_TIMEOUT": 75_000,
}

_SESSIONS: dict[
    str, dict[int, tuple[Session, Result, bool]]
] = {}  # by host: how it stands with each, and whether only asked


def collected() -> dict[str, Result]:
    """How it stands with each host of this run, all its operations together, for whoever reports on the whole fleet."""
    together = Collected()
    for name, sessions in _SESSIONS.items():
        for session, result, dry in sorted(sessions.values(), key=lambda each: not each[2]):
            together.add(name, result, of=tuple(each.title for each in session.resources), dry=dry)
    return together.results


def stopped() -> dict[str, Result]:
    """The same of a real run that was interrupted: what was done on each Mac, and what is left."""
    return {
        name: reduce(worse, (_stopped(*each) for each in sessions.values())) for name, sessions in _SESSIONS.items()
    }


def _stopped(session: Session, result: Result, dry: bool) -> Result:
    made = [change.summary for change in session.made]
    left = _left(session)
    if session.failure or not (left or session.making or dry):
        return result
    lines = ["interrupted: " + (f"made: {'; '.join(made)}" if made else "nothing was done on it")]
    if session.making:
        lines.append(f"under way, and finished by the Mac or not: {session.making.summary}")
    if left:
        lines.append(f"left: {'; '.join(left)}")
    return Result(Outcome.FAILED, "\n".join((*lines, "Run it again: it goes on from there")))


def _left(session: Session) -> list[str]:
    try:
        steps = session.plan().steps
    except SessionError:
        return ["what was not looked at yet"]
    return [step.summary for _resource, step in steps if step is not session.making]


def begin(host: Host, resources: Sequence[Resource], wrong: Sequence[object]) -> Session:
    """A session that has asked its Mac, in one round trip; or that has failed, and says why."""
    session = Session(resources, who("pyinfra"), wrong)
    with confined(host, session):
        _set_socket_options(host)
        for script in session.converge(dry=True):
            _carry(host, session, script.text, script.limit)
    return session


@contextmanager
def confined(host: Host, session: Session, quiet: bool = False) -> Iterator[None]:
    """Whatever goes wrong inside is this host's failure, and no other's. Keeps what is collected up to date.

    `quiet` where the caller says what failed.
    """
    result = None
    try:
        yield
        result = session.result()
    except SessionError as error:
        session.failure = error
    except Exception as error:
        logger.debug(traceback.format_exc())
        session.failure = SessionError(f"{type(error).__name__}: {error}; run with --debug to see where")
    if session.failure:
        result = session.result()
        for line in () if quiet else f"{session.failure.outcome.word}: {session.failure}".split("\n"):
            host.log_styled(line, fg="red", log_func=logger.error)
    if result:
        dry = host.state.current_stage is not StateStage.Execute
        _SESSIONS.setdefault(host.name, {})[id(session)] = session, result, dry


def replay(host: Host, session: Session, resource: Resource) -> Generator[PyinfraCommand, None, None]:
    """The commands that make a resource as desired: what an operation yields."""
    if session.failure:
        host.noop("nothing is done on this Mac, see above")
    elif host.state.current_stage is StateStage.Execute:
        yield from _changes(host, session, resource)
    else:
        steps = _shown(host, session, resource)
        if steps:
            yield FunctionCommand(_nothing, (), {})


def _nothing() -> None:
    """Stands for the changes of a resource while pyinfra only asks whether there are any."""


def _changes(host: Host, session: Session, resource: Resource) -> Generator[PyinfraCommand, None, None]:
    while True:
        change = None
        with confined(host, session):
            change = session.next(resource)
        if session.failure:
            yield FunctionCommand(_failed, (), {})
            return
        if change is None:
            return
        yield FunctionCommand(make, (session, change), {})


def _failed(state: State, host: Host) -> bool:
    return False


def make(state: State, host: Host, session: Session, change: Change, quiet: bool = False) -> bool:
    """Make one change and ask again. False is pyinfra's word for a failure of this host; `quiet`: the caller says which."""
    began = time.monotonic()
    with confined(host, session, quiet):
        script = session.apply(change)  # from here on it counts as under way, for whoever stops the run
        host.log(f"{change.summary}{' (this can take a while)' if change.slow else ''}")
        _show_diffs(host, change)
        still = gevent.spawn(_still_at_it, host, change.summary)
        try:
            _carry(host, session, script, change.limit)
        finally:
            still.kill()
    if session.failure is None and time.monotonic() - began > STILL_AT_IT:
        host.log(f"{change.summary}: done in {time.monotonic() - began:.0f} s")
    return session.failure is None


def _still_at_it(host: Host, summary: str) -> None:
    """Say that it is still being done; where nobody looks on, in a file or a CI job's log, ever more rarely."""
    began, pause = time.monotonic(), STILL_AT_IT
    while True:
        gevent.sleep(pause)
        if not sys.stderr.isatty():
            pause = min(2 * pause, 300)
        host.log(f"… {summary}: {time.monotonic() - began:.0f} s")


def release(host: Host, session: Session) -> None:
    """Give the Mac's lock back, when changes were made."""
    with confined(host, session):
        if session.made:
            for script in session.closing():
                if script.change:
                    host.log(f"{script.change.summary} (once more)")
                _carry(host, session, script.text, script.limit)


def _shown(host: Host, session: Session, resource: Resource) -> list[Step]:
    """Show what has to happen, while the deploy is prepared."""
    steps: list[Step] = []
    with confined(host, session):
        steps = list(session.reached(resource))
    for step in steps:
        if isinstance(step, Blocked):
            host.log_styled(f"needs a person: {step.summary}. {step.remedy}", fg="yellow", log_func=logger.warning)
        else:
            host.log(f"would {step.summary}")
            _show_diffs(host, step)
    return steps


def _show_diffs(host: Host, change: Change) -> None:
    if host.state.config.DIFF:
        for diff in change.diffs:
            for line in diff.lines:
                host.log(f"    {line}")


def _carry(host: Host, session: Session, script: str, limit: int) -> None:
    """Run a script on the Mac, from standard input, and let the session hear what came back.

    Raises SessionError. A Mac that goes away is owed to the next run; that is no failure of its own.
    """
    try:
        _, output = host.run_shell_command(
            StringCommand("/bin/sh", "-s"),
            print_output=False,
            print_input=False,
            **{**_connector_arguments(host), "_stdin": script, "_timeout": limit},
        )
    except TimeoutError as error:
        raise SessionError(f"no answer within {limit} seconds") from error
    except EOFError as error:
        if _connected(host):  # pyinfra asked for a password, and nobody is there to type one
            raise SessionError(sudo_wants_a_password(ASK_PASSWORD)) from error
        raise SessionError("the connection was lost", Outcome.UNREACHABLE) from error
    except (OSError, SSHException) as error:
        raise SessionError(f"the connection was lost: {error}", Outcome.UNREACHABLE) from error
    try:
        session.hear(output.stdout, output.stderr)
    except SessionError as error:
        if not isinstance(error.__cause__, TranscriptError):
            raise  # the script ran: a sudo of its own may have said the same
        if _lost(host):
            raise SessionError("the connection was lost", Outcome.UNREACHABLE) from error
        if refused := sudo_refused(output.stderr, ASK_PASSWORD):
            raise SessionError(refused) from error
        raise


def _connector_arguments(host: Host) -> dict[str, Any]:
    """sudo and the like, as they hold for the operation or the deploy that is being run."""
    arguments = host.current_op_global_arguments or pop_global_arguments(host.state, host, {})[0]
    return {key: value for key, value in arguments.items() if key in CONNECTOR_ARGUMENT_KEYS}


def _transport(host: Host) -> Any:
    client = getattr(host.connector, "client", None)
    return client.get_transport() if client is not None else None


def _connected(host: Host) -> bool:
    transport = _transport(host)
    return transport is None or transport.is_active()


def _lost(host: Host) -> bool:
    """Whether the connection is gone; it may end a moment after the command's part of it."""
    transport = _transport(host)
    if transport is not None:
        transport.join(1)
    return not _connected(host)


def _set_socket_options(host: Host) -> None:
    """Those that the controller's system has, where the connection is a socket of its own (not through a proxy)."""
    transport = _transport(host)
    if transport is not None and isinstance(transport.sock, socket.socket) and transport.sock.family != socket.AF_UNIX:
        transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _SOCKET_OPTIONS.items():
            if hasattr(socket, name):
                transport.sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def converge(kind: type[Resource], **parameters: Any) -> Generator[PyinfraCommand, None, None]:
    """One resource by itself: ask, compare, make the changes, and read back. What a single operation yields."""
    host = context.host
    session = begin(host, *by_itself(kind, parameters))
    if session.failure:
        yield FunctionCommand(_failed, (), {})
        return
    yield from replay(host, session, session.resources[-1])
    if session.made and not session.failure:
        yield FunctionCommand(_release, (session,), {})


def _release(state: State, host: Host, session: Session) -> bool:
    release(host, session)
    return session.failure is None
