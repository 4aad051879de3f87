# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `builderfleet`: pyinfra's run of the deploy, with the outcome of each Mac and an exit code that tells them;
and what is done before one, enrolling Macs and pinning versions.

pyinfra itself ends with 0 or 1 only, whether or not a dry run found something to change (`facts/pyinfra §2.3`).
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import shtab

from . import enroll, pin, pyinfra_ssh, pyinfra_words
from .plugin_utils.connection import not_connected
from .plugin_utils.outcome import WORST_FIRST, Outcome, exit_code
from .plugin_utils.report import ReportError, Result, Results, table, write

_ALL = "Linux builders for Nix on Macs."
_ABOUT = "Roll the desired state out with pyinfra, and say how it ended on each Mac."
_DOCTOR = "Say what is wrong with each Mac's builder, with cause and remedy, and make a real build through it."
_WORDS = {code: ", ".join(each.word for each in Outcome if each.code == code) for code in sorted(WORST_FIRST)}
_CODES = "\n".join(
    [
        "exit codes:",
        *(f"  {code}  {words}" for code, words in _WORDS.items()),
        f"Over a fleet the worst counts, in the order {', '.join(map(str, WORST_FIRST))}.",
    ]
)
NOT_ASKED = "interrupted: it was not asked yet, and nothing was done on it. Run it again"
_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Parser(argparse.ArgumentParser):
    """argparse ends with 2, which stands for "would change" here, and would fill the table of codes into lines."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(
            *arguments, **{"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": _CODES, **options}
        )

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(Outcome.FAILED.code, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the return value is its exit code."""
    given, rest = (parser := _parser()).parse_known_args(arguments)
    if given.command == "rollout":
        return rollout(rest)
    if given.command == "doctor":
        if not rest:
            parser.error("doctor wants an inventory, and has none; the project's own is inventory.py")
        return rollout([*rest, str(Path(__file__).with_name("deploys") / "doctor.py")])
    if rest:
        parser.error(f"{given.command} does not know {' '.join(rest)}")
    return int(given.run(given))


def _parser() -> Parser:
    parser = Parser("builderfleet", description=_ALL)
    parser.add_argument("--version", action="version", version=_version())
    _offer_completion(parser)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser(
        "rollout",
        usage="builderfleet rollout INVENTORY DEPLOY [--dry] [--limit GROUP] [pyinfra's options]",
        help=_ABOUT,
        description=f"{_ABOUT} It does not ask before it changes the Macs, and makes no waves: look with --dry first.",
    )
    commands.add_parser(
        "doctor",
        usage="builderfleet doctor INVENTORY [--dry] [--limit GROUP] [pyinfra's options]",
        help=_DOCTOR,
        description=f"{_DOCTOR} With --dry no build is made.",
    )
    for name, module in (("enroll", enroll), ("pin", pin)):
        command = commands.add_parser(name, help=module.ABOUT, description=module.ABOUT)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def _version() -> str:
    parts = ", ".join(f"{name} {metadata.version(name)}" for name in ("pyinfra", "ansible-core"))
    return f"builderfleet {metadata.version('builderfleet')} ({parts}, Python {platform.python_version()})"


def _offer_completion(parser: Parser) -> None:
    shtab.add_argument_to(parser, "--print-completion", help="print a script that completes words in this shell")


class _Interrupted(SystemExit):
    """Somebody, or the machine that shuts down, ended the run."""


def rollout(arguments: Sequence[str]) -> int:
    """Run pyinfra with these arguments (INVENTORY DEPLOY...) in this process, then report.

    Without --dry it does not ask: `--yes` is added.
    """
    import click
    import pyinfra_cli.cli
    import pyinfra_cli.main

    try:
        arguments = pyinfra_words.fitting(arguments)
    except pyinfra_words.WrongWords as problem:
        print(f"failed: {problem}", file=sys.stderr)
        return Outcome.FAILED.code
    _allow_open_files()
    pyinfra_ssh.install()
    dry = "--dry" in arguments
    quiet = [] if dry or {"-y", "--yes"} & set(arguments) else ["--yes"]
    diff = ["--diff"] if dry and "--diff" not in arguments else []
    if dry:  # pyinfra would ask whether to go on without a Mac that sleeps; it has no option for that
        pyinfra_cli.cli._set_fail_prompts = lambda state, config: None
    pyinfra_cli.main.cli = _run_until_stopped
    if os.environ.get("NO_COLOR"):  # no-color.org, of which Ansible knows, and pyinfra 3.10 and its click do not
        click.style = _without_colours
    sys.argv = ["pyinfra", *quiet, *diff, *arguments]
    end = SystemExit(0)
    try:
        pyinfra_cli.main.main()
    except SystemExit as raised:
        end = raised
    if isinstance(end.code, str):  # the inventory's own words
        print(f"failed: {end.code}", file=sys.stderr)
    results = _results(dry, isinstance(end, _Interrupted))
    if not results:
        if end.code == 0 and {"--help", "--version", "--support"} & set(arguments):
            return 0
        if not isinstance(end.code, str):
            print(f"No Mac was asked anything: {_nobody()}", file=sys.stderr)
        return Outcome.FAILED.code  # also where pyinfra says 2, which is drift here
    print("\n" + "\n".join(table(results)))
    paths = {kind: os.environ.get(f"BUILDERFLEET_REPORT_{kind.upper()}") for kind in ("json", "junit")}
    try:
        write(results, paths)
    except ReportError as error:
        print(error, file=sys.stderr)
        return Outcome.FAILED.code
    return exit_code(each.outcome for each in results.values())


def _without_colours(text: object, *_colours: object, **_styles: object) -> str:
    """Stands for `click.style`."""
    return str(text)


def _run_until_stopped() -> None:
    """pyinfra's run; it takes Ctrl-C for an end like any other."""
    from pyinfra_cli.cli import cli

    for number in _STOP:
        signal.signal(number, _stop)
    cli()


def _stop(number: int, frame: object) -> NoReturn:
    for each in _STOP:
        signal.signal(each, signal.SIG_DFL)  # a second one ends it at once
    print(f"\nStopped by {signal.Signals(number).name}: what was done, and what is left:", file=sys.stderr)
    raise _Interrupted(Outcome.FAILED.code)


def _allow_open_files() -> None:
    """Every connection is an open file, and the usual limit (256 on a Mac) would end the run of a fleet."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 10240 if hard == resource.RLIM_INFINITY else min(hard, 10240)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _results(dry: bool, interrupted: bool) -> Results:
    """How it ended on each Mac of the run. Empty when pyinfra did not come to a run."""
    from pyinfra.context import ctx_state

    from .operations._host import collected, stopped

    if not ctx_state.isset() or not ctx_state.get().initialised:
        return {}
    state = ctx_state.get()
    found = stopped() if interrupted and not dry else collected()
    results = {}
    for host in state.inventory:
        if state.is_host_in_limit(host):
            reason = pyinfra_ssh.not_connected.get(host.name)
            results[host.name] = found.get(host.name) or (
                Result(Outcome.FAILED, NOT_ASKED) if interrupted and reason is None else not_connected(reason or "")
            )
    return results


def _nobody() -> str:
    """Why nobody was asked, as far as it can be told."""
    from pyinfra.context import ctx_state

    if not ctx_state.isset() or not ctx_state.get().initialised:
        return "wanted an inventory and a deploy that can be read; see above"
    inventory = ctx_state.get().inventory
    if not len(inventory):
        return (
            "the inventory has no hosts in the group macs. Name them in inventory/fleet.yml, or have `builderfleet "
            "enroll` do it"
        )
    names = ", ".join(sorted(name for name in inventory.groups if name != "inventory"))
    return f"--limit leaves none of the inventory's hosts. Its groups: {names}"


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
