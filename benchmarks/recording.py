# SPDX-License-Identifier: GPL-3.0-or-later
"""What a converged Mac answered to the probe, kept so that many hosts can answer the same.

A recording holds the variables that the Mac was converged to and the lines of its records without their token. It fits only the
probe that it was made with: one that no longer yields "converged" is refused, and made anew where that is possible.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builderfleet.plugin_utils.outcome import Outcome
from builderfleet.plugin_utils.resources.linux_builder import desired
from builderfleet.plugin_utils.session import Session, SessionError
from builderfleet.plugin_utils.transcript import END

from tests.simulated_mac.factory import cache

from .macs import BenchmarkError, ConvergedMac, converged_mac
from .table import say

KEPT = "benchmarks/recording.json"
TOKEN = re.compile(r"^' \| /usr/bin/perl - ([0-9a-f]+) ", re.MULTILINE)


@dataclass(frozen=True)
class Recording:
    """The variables of a converged Mac and what it answered: lines of `key field base64`."""

    variables: Mapping[str, Any]
    records: tuple[str, ...]

    def transcript(self, token: str) -> str:
        """What a Mac prints that answers this to a probe with that token."""
        lines = "".join(f"{token} {record}\n" for record in self.records)
        return f"\n{lines}{token} {END} {len(self.records)} {hashlib.sha256(lines.encode()).hexdigest()}\n"

    def check(self) -> None:
        """That a Mac that answers this is converged. Raises BenchmarkError."""
        session, script = _ask(self.variables)
        try:
            session.hear(self.transcript(token_of(script)))
            outcome = session.outcome()
        except SessionError as error:
            raise BenchmarkError(f"the recording is none of this probe's: {error}") from error
        if outcome is not Outcome.CONVERGED:
            raise BenchmarkError(
                f"the recording is of a Mac that is {outcome.word!r}, not 'converged': {session.remark()}. "
                "It may be of an older version: record anew"
            )

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"variables": dict(self.variables), "records": self.records}, indent=1))

    @classmethod
    def load(cls, path: Path) -> Recording:
        try:
            loaded = json.loads(path.read_text())
            return cls(dict(loaded["variables"]), tuple(map(str, loaded["records"])))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BenchmarkError(f"{path}: wanted a recording, saw: {error!r}. Record anew with --record") from error


def token_of(script: str) -> str:
    """The token that a probe's records are to carry."""
    found = TOKEN.findall(script)
    if len(found) != 1:
        raise BenchmarkError(f"wanted one token in the probe's script, saw {len(found)}: has its last line changed?")
    return str(found[0])


def _ask(variables: Mapping[str, Any]) -> tuple[Session, str]:
    resources, wrong = desired(variables)
    if wrong:
        raise BenchmarkError("the recording's variables are refused: " + "; ".join(map(str, wrong)))
    session = Session(resources, "benchmark")
    return session, session.probe()


def probe_script(variables: Mapping[str, Any]) -> str:
    """The probe as a front end would send it."""
    return _ask(variables)[1]


def record(converged: ConvergedMac) -> Recording:
    """Ask a converged Mac over SSH. Raises BenchmarkError when it is not converged after all."""
    script = probe_script(converged.pyinfra.variables)
    mac = converged.mac
    ssh = ["ssh", "-F", str(mac.ssh_config), mac.name, "sudo", "-n", "/bin/sh", "-s"]
    done = subprocess.run(ssh, input=script, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise BenchmarkError(f"the probe ended with status {done.returncode} on {mac}: {done.stderr[-2000:]}")
    token = token_of(script)
    words = [each.split(" ", 1) for each in re.split("[;\n]", done.stdout)]
    records = tuple(each[1] for each in words if each[0] == token and not each[1].startswith(f"{END} "))
    recording = Recording(converged.pyinfra.variables, records)
    recording.check()
    return recording


def kept_or_new(*, anew: bool = False) -> Recording:
    """The recording that is kept in the user's cache, or one made now on a simulated Mac if there is none that fits."""
    path = cache().parent / KEPT
    if path.exists() and not anew:
        try:
            recording = Recording.load(path)
            recording.check()
            return recording
        except BenchmarkError as error:
            say(f"recording anew: {error}")
    with converged_mac() as converged:
        recording = record(converged)
    recording.save(path)
    return recording
