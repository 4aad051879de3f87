# SPDX-License-Identifier: GPL-3.0-or-later
"""pyinfra's facts: what would have to happen on a Mac."""

from __future__ import annotations

from typing import TypedDict

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase
from pyinfra.context import host
from typing_extensions import override

from ..plugin_utils.controller import who
from ..plugin_utils.resources.linux_builder import desired
from ..plugin_utils.session import Session, SessionError


class BuilderState(TypedDict):
    """`outcome` is the word of the outcome that a dry run would have, `steps` says what would have to happen."""

    outcome: str
    steps: list[str]


class LinuxBuilder(FactBase[BuilderState | None]):
    """
    Returns how a Mac differs from what its variables ask for, or None when that could not be told, or a run would be refused
    there: it says why.

    .. code:: json

        {"outcome": "would change", "steps": ["register ssh-ng://builder@builderfleet in /etc/nix/machines"]}
    """

    @staticmethod
    @override
    def default() -> None:
        return None

    @override
    def command(self) -> StringCommand:
        resources, wrong = desired(host.data.dict())
        if wrong:
            # A fact that raises ends the run for every host (facts/pyinfra §0): a command that fails is this host's.
            return StringCommand("printf", QuoteString("%s\n"), *map(QuoteString, map(str, wrong)), ">&2;", "false")
        self._session = Session(resources, who("pyinfra"))
        return StringCommand("/bin/sh", "-c", QuoteString(self._session.probe()))

    @override
    def process(self, output: list[str]) -> BuilderState:
        try:
            self._session.hear("\n".join(output))
            self._session.refuse()  # as a run is
        except SessionError as error:
            raise FactProcessError(str(error)) from error
        return BuilderState(outcome=self._session.outcome().word, steps=self._session.remark().splitlines())
