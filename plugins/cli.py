# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `builderfleet`: pyinfra's run of the deploy, with the outcome of each Mac and an exit code that tells them;
and what is done before one, enrolling Macs and pinning versions.

pyinfra itself ends with 0 or 1 only, whether or not a dry run found something to change (`facts/pyinfra §2.3`).
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import resource
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from . import enroll, pin
from .plugin_utils.outcome import Outcome, exit_code
from .plugin_utils.report import ReportError, Results, not_connected, table, write

_ALL = "Linux builders for Nix on Macs."
_ABOUT = "Roll the desired state out with pyinfra, and say how it ended on each Mac."
_DOCTOR = "Say what is wrong with each Mac's builder, with cause and remedy, and make a real build through it."
_CODES = "exit codes: " + ", ".join(f"{each.code} {each.word}" for each in Outcome)


class ConnectErrors(logging.Handler):
    """Why hosts could not be connected to: pyinfra only logs it. One line a host, by its name."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        text = re.sub(r"\x1b\[[0-9;]*m", "", record.getMessage()).strip()
        if match := re.match(r"\[(.+?)\]\s+(.*)", text):
            self.messages.setdefault(match[1], match[2])


class Parser(argparse.ArgumentParser):
    """argparse ends with 2, which stands for "would change" here."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(Outcome.FAILED.code, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the return value is its exit code."""
    parser = Parser("builderfleet", description=_ALL, epilog=_CODES)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser(
        "rollout",
        usage="builderfleet rollout INVENTORY DEPLOY [--dry] [--limit GROUP] [pyinfra's options]",
        help=_ABOUT,
        description=f"{_ABOUT} It does not ask before it changes the Macs, and makes no waves: look with --dry first.",
        epilog=_CODES,
    )
    commands.add_parser(
        "doctor",
        usage="builderfleet doctor INVENTORY [--dry] [--limit GROUP] [pyinfra's options]",
        help=_DOCTOR,
        description=f"{_DOCTOR} With --dry no build is made.",
        epilog=_CODES,
    )
    for name, module in (("enroll", enroll), ("pin", pin)):
        command = commands.add_parser(name, help=module.ABOUT, description=module.ABOUT, epilog=_CODES)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    given, rest = parser.parse_known_args(arguments)
    if given.command == "rollout":
        return rollout(rest)
    if given.command == "doctor":
        if not rest:
            parser.error("doctor wants an inventory, and has none; the project's own is inventory.py")
        return rollout([*rest, str(Path(__file__).with_name("deploys") / "doctor.py")])
    if rest:
        parser.error(f"{given.command} does not know {' '.join(rest)}")
    return int(given.run(given))


def rollout(arguments: Sequence[str]) -> int:
    """Run pyinfra with these arguments (INVENTORY DEPLOY...) in this process, then report.

    Without --dry it does not ask: `--yes` is added.
    """
    import pyinfra_cli.cli
    from pyinfra import logger
    from pyinfra_cli.main import main as pyinfra_main

    _allow_open_files()
    errors = ConnectErrors()
    logger.addHandler(errors)
    quiet = [] if {"--dry", "-y", "--yes"} & set(arguments) else ["--yes"]
    diff = ["--diff"] if "--dry" in arguments and "--diff" not in arguments else []
    if "--dry" in arguments:  # pyinfra would ask whether to go on without a Mac that sleeps; it has no option for that
        pyinfra_cli.cli._set_fail_prompts = lambda state, config: None
    sys.argv = ["pyinfra", *quiet, *diff, *arguments]
    status = 0
    try:
        pyinfra_main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    results = _results(errors.messages)
    if not results:
        if status == 0 and {"--help", "--version", "--support"} & set(arguments):
            return 0
        print(
            "No Mac was asked anything: wanted a deploy, and hosts in the group macs of the inventory that --limit leaves; "
            "saw none, or see above.",
            file=sys.stderr,
        )
        return Outcome.FAILED.code  # also where pyinfra says 2, which is drift here
    print("\n" + "\n".join(table(results)))
    paths = {kind: os.environ.get(f"BUILDERFLEET_REPORT_{kind.upper()}") for kind in ("json", "junit")}
    try:
        write(results, paths)
    except ReportError as error:
        print(error, file=sys.stderr)
        return Outcome.FAILED.code
    return exit_code(each.outcome for each in results.values())


def _allow_open_files() -> None:
    """Every connection is an open file, and the usual limit (256 on a Mac) would end the run of a fleet."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 10240 if hard == resource.RLIM_INFINITY else min(hard, 10240)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _results(errors: Mapping[str, str]) -> Results:
    """How it ended on each Mac of the run. Empty when pyinfra did not come to a run."""
    from pyinfra.context import ctx_state

    from .operations._host import collected

    if not ctx_state.isset() or not ctx_state.get().initialised:
        return {}
    state, results = ctx_state.get(), collected()
    return {
        host.name: results.get(host.name) or not_connected(errors.get(host.name, "it did not answer"))
        for host in state.inventory
        if state.is_host_in_limit(host)
    }


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
