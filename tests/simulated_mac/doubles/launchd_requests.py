# SPDX-License-Identifier: GPL-3.0-or-later
"""What launchctl can ask of launchd, with the texts and statuses of `macos_commands §2.1` and the print of §2.2.

Each verb takes the words after it and gives (status, text). Texts of failures go to standard error.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

from .jobs import DEFAULT_PATH, MINIMUM_RUNTIME, Job
from .launchd import RICHER, Launchd, Refused, Reply, read_definition, read_overrides, write_override
from .shared import EX_USAGE, Unmodelled, use_up

NOT_LOADED = 113
WRONG_DOMAIN = 125


def answer(launchd: Launchd, words: list[str], uid: int) -> Reply:
    """The answer to `launchctl WORDS` from that user."""
    verb, arguments = (words[0], words[1:]) if words else ("help", [])
    known = _VERBS.get(verb)
    if known is None:
        raise Unmodelled(f"verb {verb}")
    if uid != 0 and verb not in _READING:
        # [I]: the texts for an ordinary user are not in the fact sheets
        return (5, RICHER) if verb == "bootstrap" else (1, "Could not modify service: 1: Operation not permitted")
    return known(launchd, arguments)


def _label(target: str) -> str:
    domain, _, label = target.partition("/")
    if domain != "system" or not label or "/" in label:
        raise Unmodelled(f"target {target}: only system/LABEL is")
    return label


def _usage(verb: str, text: str) -> Reply:
    return EX_USAGE, f"Usage: launchctl {verb} {text}"


def _not_found(label: str) -> Reply:
    return NOT_LOADED, f'Bad request.\nCould not find service "{label}" in domain for system'


def _bootstrap(launchd: Launchd, words: list[str]) -> Reply:
    if len(words) < 2 or words[0].startswith("-"):
        return _usage("bootstrap", "<domain-target> [service-path, service-path2, ...]")
    if words[0] != "system":
        raise Unmodelled(f"domain {words[0]}")
    for path in words[1:]:
        launchd.bootstrap(Path(path))
    return 0, ""


def _bootout(launchd: Launchd, words: list[str]) -> Reply:
    usage = "<domain-target> [service-path1, service-path2, ...] | <service-target>"
    if not words or words[0].startswith("-"):  # also --wait before macOS 26
        return _usage("bootout", usage)
    if words[0] == "system":
        if len(words) != 2:
            return _usage("bootout", usage)
        try:
            return launchd.bootout(read_definition(Path(words[1]))["Label"])
        except Refused as refusal:
            text = "Input/output error" if refusal.status == 5 else "No such file or directory"
            return refusal.status, f"Boot-out failed: {refusal.status}: {text}"
    return launchd.bootout(_label(words[0]))


def _override(disabled: bool) -> Callable[[Launchd, list[str]], Reply]:
    def verb(launchd: Launchd, words: list[str]) -> Reply:
        if len(words) != 1:
            return _usage("disable" if disabled else "enable", "<service-target>")
        if words[0].startswith(("user/", "gui/")):
            return WRONG_DOMAIN, "Could not enable service: 125: Domain does not support specified action"
        write_override(_label(words[0]), disabled)
        return 0, ""

    return verb


def _print_disabled(launchd: Launchd, words: list[str]) -> Reply:
    if words != ["system"]:
        raise Unmodelled(f"domain {' '.join(words)}")
    overrides = sorted(read_overrides().items())
    if launchd.version >= 26:
        if not overrides:
            return 0, "\n\tdisabled services = (no disabled services)\n"
        lines = [f'\t\t"{label}" => {"disabled" if off else "enabled"}' for label, off in overrides]
        return 0, "\n".join(["", "\tdisabled services = {", *lines, "\t}"])
    lines = [f'\t"{label}" => {"true" if off else "false"}' for label, off in overrides]
    return 0, "\n".join(["disabled services = {", *lines, "}"])


def _kickstart(launchd: Launchd, words: list[str]) -> Reply:
    flags, targets = [w for w in words if w.startswith("-")], [w for w in words if not w.startswith("-")]
    if len(targets) != 1 or not set("".join(flags)) <= set("-kp"):
        return _usage("kickstart", "[-k] [-p] <service-target>")
    label = _label(targets[0])
    job = launchd.jobs.get(label)
    if job is None:
        return NOT_LOADED, f'Could not find service "{label}" in domain for system'
    if job.leaving:
        return 37, f'Could not kickstart service "{label}": 37: Operation already in progress'
    if use_up("kickstart-5"):
        return 5, f'Could not kickstart service "{label}": 5: Input/output error'
    letters = "".join(flags)
    job.restart() if "k" in letters else job.start()
    return 0, f"service spawned with pid: {job.pid}" if "p" in letters else ""


def _signal(name: str) -> signal.Signals | None:
    if name.isdigit():
        return signal.Signals(int(name))
    return getattr(signal, "SIG" + name.removeprefix("SIG"), None)


def _kill(launchd: Launchd, words: list[str]) -> Reply:
    number = _signal(words[0]) if len(words) == 2 else None
    if number is None:
        return _usage("kill", "<signal-number|signal-name> <service-target>")
    label = _label(words[1])
    job = launchd.jobs.get(label)
    if job is None:
        return NOT_LOADED, f'Could not find service "{label}" in domain for system'
    if job.pid is None:
        return 3, f'Could not kill service "{label}": 3: No such process'
    os.kill(job.pid, number)
    return 0, ""


def last_exit(job: Job) -> str:
    """The line of `print` that says how the last process ended."""
    if job.wait_status is None:
        return "last exit code = (never exited)"
    if os.WIFSIGNALED(job.wait_status):
        number = os.WTERMSIG(job.wait_status)
        return f"last terminating signal = {signal.strsignal(number)}: {number}"
    code = os.WEXITSTATUS(job.wait_status)
    return f"last exit code = {code}" + (": EX_CONFIG" if code == 78 else "")


def _block(name: str, lines: list[str]) -> list[str]:
    return [f"\t{name} = {{", *(f"\t\t{line}" for line in lines), "\t}", ""]


def _coalition(job: Job, kind: str, number: int) -> list[str]:
    # `state =` stands here as well, two tabs deep: who parses has to tell the two apart.
    lines = [f"ID = {number}", f"type = {kind}", f"state = {'active' if job.pid else 'not running'}"]
    return _block(f"{kind} coalition", [*lines, f"active count = {int(bool(job.pid))}", f"name = {job.label}"])


def _print(launchd: Launchd, words: list[str]) -> Reply:
    if len(words) != 1:
        return _usage("print", "<domain-target> | <service-target>")
    label = _label(words[0])
    job = launchd.jobs.get(label)
    if job is None:
        return _not_found(label)
    properties = ["inferred program" if "Program" not in job.definition else "", "managed LWCR", "has LWCR"]
    if job.definition.get("KeepAlive"):
        properties.insert(0, "keepalive")
    if job.definition.get("RunAtLoad"):
        properties.insert(0, "runatload")
    lines = [
        f"system/{label} = {{",
        f"\tactive count = {int(bool(job.pid))}",
        f"\tpath = {job.path}",
        "\ttype = LaunchDaemon",
        f"\tstate = {job.state}",
        "",
        f"\tprogram = {job.program}",
        *_block("arguments", job.arguments),
    ]
    directory = job.definition.get("WorkingDirectory")
    lines += [f"\tworking directory = {directory}", ""] if directory else []
    names = (("stdout path", "StandardOutPath"), ("stderr path", "StandardErrorPath"))
    logs = [f"\t{name} = {job.definition[key]}" for name, key in names if key in job.definition]
    lines += [*logs, ""] if logs else []
    lines += _block("default environment", [f"PATH => {DEFAULT_PATH}"])
    lines += _block("environment", [f"{name} => {value}" for name, value in job.environment.items()])
    lines += [
        "\tdomain = system",
        f"\tminimum runtime = {job.definition.get('ThrottleInterval', MINIMUM_RUNTIME)}",
        f"\texit timeout = {job.exit_timeout:g}",
        f"\truns = {job.runs}",
        *([f"\tpid = {job.pid}"] if job.pid else []),
        "\timmediate reason = speculative",
        f"\t{last_exit(job)}",
        "",
    ]
    lines += _coalition(job, "resource", 397) + _coalition(job, "jetsam", 398)
    lines += [
        "\tspawn type = daemon (3)",
        "\tjetsam priority = 40",
        "",
        f"\tproperties = {' | '.join(filter(None, properties))}",
        "}",
    ]
    return 0, "\n".join(lines)


def _list(launchd: Launchd, words: list[str]) -> Reply:
    if not words:
        lines = [f"{job.pid or '-'}\t{_status(job)}\t{label}" for label, job in sorted(launchd.jobs.items())]
        return 0, "\n".join(["PID\tStatus\tLabel", *lines])
    job = launchd.jobs.get(words[0])
    if job is None:
        return NOT_LOADED, f'Could not find service "{words[0]}" in domain for system'
    on_demand = "false" if job.definition.get("KeepAlive") else "true"
    lines = [
        '"LimitLoadToSessionType" = "System";',
        f'"Label" = "{job.label}";',
        f'"OnDemand" = {on_demand};',
        f'"LastExitStatus" = {job.wait_status or 0};',  # the raw wait status
        *([f'"PID" = {job.pid};'] if job.pid else []),
        f'"Program" = "{job.program}";',
        '"ProgramArguments" = (',
        *(f'\t"{argument}";' for argument in job.arguments),
        ");",
    ]
    return 0, "\n".join(["{", *(f"\t{line}" for line in lines), "};"])


def _status(job: Job) -> int:
    return 0 if job.wait_status is None else os.waitstatus_to_exitcode(job.wait_status)


def _load(launchd: Launchd, words: list[str]) -> Reply:
    """Legacy: says what went wrong and ends with 0 all the same."""
    paths = [word for word in words if word not in ("-w", "-F")]
    texts = []
    for path in paths:
        try:
            if "-w" in words:
                write_override(read_definition(Path(path))["Label"], disabled=False)
            launchd.bootstrap(Path(path))
        except Refused as refusal:
            disabled = refusal.status == 119
            texts.append(
                f"{path}: Service is disabled" if disabled else f"Load failed: {refusal.status}: Input/output error"
            )
    return 0, "\n".join(texts)


def _unload(launchd: Launchd, words: list[str]) -> Reply:
    texts = []
    for path in (word for word in words if word != "-w"):
        try:
            label = read_definition(Path(path))["Label"]
        except Refused as refusal:
            texts.append(f"Unload failed: {refusal.status}: Input/output error")
            continue
        if "-w" in words:
            write_override(label, disabled=True)
        if launchd.bootout(label)[0]:
            texts.append("Unload failed: 5: Input/output error")
    return 0, "\n".join(texts)


def _remove(launchd: Launchd, words: list[str]) -> Reply:
    launchd.bootout(words[0])
    return 0, ""


def _start(launchd: Launchd, words: list[str]) -> Reply:
    job = launchd.jobs.get(words[0])
    if job is None:
        return 3, ""
    job.start()
    return 0, ""


def _stop(launchd: Launchd, words: list[str]) -> Reply:
    job = launchd.jobs.get(words[0])
    if job is None:
        return 3, ""
    if job.pid:
        os.kill(job.pid, signal.SIGTERM)
    return 0, ""


def _shut_down(launchd: Launchd, words: list[str]) -> Reply:
    """Not a verb of launchctl's: how the one who holds the simulated Mac has it shut down in order."""
    launchd.shut_down()
    return 0, json.dumps(sorted(launchd.jobs))


def _jobs(launchd: Launchd, words: list[str]) -> Reply:
    """Not a verb of launchctl's: all jobs, for tests."""
    jobs = [
        {"label": job.label, "state": job.state, "pid": job.pid, "runs": job.runs, "path": str(job.path),
         "program": job.program, "arguments": job.arguments, "environment": job.environment,
         "wait_status": job.wait_status, "keep_alive": job.definition.get("KeepAlive") is True}
        for job in launchd.jobs.values()
    ]  # fmt: skip
    return 0, json.dumps(jobs)


_VERBS: dict[str, Callable[[Launchd, list[str]], Reply]] = {
    "bootstrap": _bootstrap,
    "bootout": _bootout,
    "enable": _override(disabled=False),
    "disable": _override(disabled=True),
    "print": _print,
    "print-disabled": _print_disabled,
    "kickstart": _kickstart,
    "kill": _kill,
    "list": _list,
    "load": _load,
    "unload": _unload,
    "remove": _remove,
    "start": _start,
    "stop": _stop,
    " shut down": _shut_down,
    " jobs": _jobs,
}
_READING = {"print", "print-disabled", "list"}
