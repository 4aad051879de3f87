# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `builderfleet`: pyinfra's run of the deploy, with the outcome of each Mac and an exit code that tells them.

pyinfra itself ends with 0 or 1 only, whether or not a dry run found something to change (`facts/pyinfra §2.3`).
"""

from __future__ import annotations

import argparse
import logging
import re
import resource
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from .plugin_utils.outcome import Outcome, exit_code

_ABOUT = "Roll the desired state out with pyinfra, and say how it ended on each Mac."
_CODES = "exit codes: " + ", ".join(f"{each.code} {each.word}" for each in Outcome)
_NOT_ASLEEP = re.compile(r"authentication|host key|private key|permission denied", re.IGNORECASE)


class ConnectErrors(logging.Handler):
    """Why hosts could not be connected to: pyinfra only logs it. One line a host, by its name."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        text = re.sub(r"\x1b\[[0-9;]*m", "", record.getMessage()).strip()
        if match := re.match(r"\[(.+?)\]\s+(.*)", text):
            self.messages.setdefault(match[1], match[2])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the return value is its exit code."""
    parser = argparse.ArgumentParser("builderfleet", description=_ABOUT, epilog=_CODES, add_help=True)
    parser.add_argument("command", choices=["rollout"])
    _, rest = parser.parse_known_args(arguments)
    return rollout(rest)


def rollout(arguments: Sequence[str]) -> int:
    """Run pyinfra with these arguments (INVENTORY DEPLOY...) in this process, then report.

    Without --dry it does not ask: `--yes` is added.
    """
    from pyinfra import logger
    from pyinfra_cli.main import main as pyinfra_main

    _allow_open_files()
    errors = ConnectErrors()
    logger.addHandler(errors)
    quiet = [] if {"--dry", "-y", "--yes"} & set(arguments) else ["--yes"]
    diff = ["--diff"] if "--dry" in arguments and "--diff" not in arguments else []
    sys.argv = ["pyinfra", *quiet, *diff, *arguments]
    status = 0
    try:
        pyinfra_main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    outcomes = _outcomes(errors.messages)
    _summarise(outcomes)
    if not outcomes:
        return status or 1
    return exit_code(outcome for outcome, _ in outcomes.values())


def _allow_open_files() -> None:
    """Every connection is an open file, and the usual limit (256 on a Mac) would end the run of a fleet."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 10240 if hard == resource.RLIM_INFINITY else min(hard, 10240)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _outcomes(errors: Mapping[str, str]) -> dict[str, tuple[Outcome, str]]:
    """How it ended on each Mac of the run, with a remark. Empty when pyinfra did not come to a run."""
    from pyinfra.context import ctx_state

    from .operations._host import RESULTS

    if not ctx_state.isset() or not ctx_state.get().initialised:
        return {}
    state = ctx_state.get()
    found: dict[str, tuple[Outcome, str]] = {}
    for host in state.inventory:
        if not state.is_host_in_limit(host):
            continue
        if host.name in RESULTS:
            found[host.name] = RESULTS[host.name]
        else:
            reason = errors.get(host.name, "it did not answer")
            found[host.name] = Outcome.FAILED if _NOT_ASLEEP.search(reason) else Outcome.UNREACHABLE, reason
    return found


def _summarise(outcomes: Mapping[str, tuple[Outcome, str]]) -> None:
    if not outcomes:
        return
    print("\nOutcome")
    names, words = max(map(len, outcomes)), max(len(outcome.word) for outcome, _ in outcomes.values())
    for name, (outcome, remark) in outcomes.items():
        if outcome is Outcome.CONVERGED:
            remark = "; ".join(["no changes", *remark.splitlines()])
        first, *more = remark.split("\n")
        print(f"  {name:<{names}}  {outcome.word:<{words}}  {first}".rstrip())
        for line in more:
            print(f"  {'':<{names}}  {'':<{words}}  {line}")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
