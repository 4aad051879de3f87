# SPDX-License-Identifier: GPL-3.0-or-later
"""A Linux builder for Nix on each Mac: everything, in one round trip where nothing has to be done."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.deploy import deploy
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from ..plugin_utils.resource import Resource
from ..plugin_utils.resources.linux_build import proof
from ..plugin_utils.resources.linux_builder import desired
from ..plugin_utils.session import Session
from ._host import begin, release, replay


@deploy("Linux builder")
def linux_builder() -> None:
    """
    Give this Mac a Linux builder for Nix, or take it back, as its variables say.

    The variables are host data: see inventory/group_vars, where each is explained. Needs root: pass ``_sudo=True``.

    **Example:**

    .. code:: python

        from builderfleet.operations import linux_builder

        linux_builder(_sudo=True)
    """
    session = _prepare()
    if not session.failure and not session.steps_left:
        _say(session)  # nothing to replay, and each operation costs pyinfra 2 ms a host
        session.settle()
        return
    session.settle()
    for resource in session.resources:
        _resource(name=resource.title, session=session, resource=resource)
    _outcome(name="Outcome", session=session)


def _prepare() -> Session:
    """Check the variables, ask the Mac, and refuse what is wrong for it, before anything is touched."""
    session = begin(host, *desired(host.data.dict()))
    if session.failure:
        host.state.fail_hosts({_real(host)})
    return session


def _real(proxy: Host) -> Host:
    """The host itself, not pyinfra's stand-in for the current one."""
    return proxy.state.inventory.get_host(proxy.name)


@operation()
def _resource(session: Session, resource: Resource) -> Generator[PyinfraCommand, None, None]:
    yield from replay(host, session, resource)


@operation()
def _outcome(session: Session) -> Generator[PyinfraCommand, None, None]:
    if session.made and not session.failure:
        yield FunctionCommand(_end, (session,), {})


def _end(state: State, host: Host, session: Session) -> bool:
    release(host, session)
    if session.failure is None:
        _say(session)
    return session.failure is None


def _say(session: Session) -> None:
    proved = proof(session.answers)
    word = session.outcome().word + (f"; proved by a build on {proved}" if proved else "")
    host.log_styled(word, fg="green", log_func=logger.info)
