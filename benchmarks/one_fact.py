# SPDX-License-Identifier: GPL-3.0-or-later
"""A deploy for pyinfra that does as little as one can: one fact, which is one `echo`. What builderfleet is measured against."""

from pyinfra.api.facts import FactBase
from pyinfra.context import host


class Echo(FactBase[str]):
    """Whatever `echo` says."""

    def command(self) -> str:
        return "echo ready"

    def process(self, output: list[str]) -> str:
        return output[0]


host.get_fact(Echo, _sudo=True)
