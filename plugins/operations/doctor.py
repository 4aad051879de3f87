# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with each Mac's builder: cause and remedy in words, then a real build."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable

from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.deploy import deploy
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from ..plugin_utils.finding import Finding, rendered
from ..plugin_utils.finding import State as FindingState
from ..plugin_utils.resource import Change
from ..plugin_utils.resources.doctor import DoctorsBuild, findings
from ..plugin_utils.resources.doctor import doctor as examination
from ..plugin_utils.session import Session
from ._host import begin, confined, make, release


@deploy("Doctor")
def doctor() -> None:
    """
    Say what is wrong with this Mac's builder, and make a real Linux build through it, unless that cannot work.

    It puts nothing right. The variables are those of ``linux_builder``. Needs root: pass ``_sudo=True``.

    **Example:**

    .. code:: python

        from builderfleet.operations import doctor

        doctor(_sudo=True)
    """
    session = begin(host, *examination(host.data.dict(), time.time()))
    if session.failure:
        host.state.fail_hosts({host.state.inventory.get_host(host.name)})
        return
    change = None
    with confined(host, session):
        change = next((session.next(each) for each in session.resources if isinstance(each, DoctorsBuild)), None)
        _show(host, findings(session))
    if change:
        _build(name="Build", session=session, change=change)


@operation()
def _build(session: Session, change: Change) -> Generator[PyinfraCommand, None, None]:
    yield FunctionCommand(_built, (session, change), {})


def _built(state: State, host: Host, session: Session, change: Change) -> bool:
    made = make(state, host, session, change, quiet=True)
    with confined(host, session, quiet=True):
        _show(host, (each for each in findings(session) if each.check == "build"))
    if made:
        release(host, session)
    return made


def _show(host: Host, found: Iterable[Finding]) -> None:
    for finding in found:
        fine = finding.state in (FindingState.FINE, FindingState.NOT_REACHED)
        for line in rendered((finding,)):
            host.log_styled(line, fg="white" if fine else "yellow", log_func=logger.info if fine else logger.warning)
