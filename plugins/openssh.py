# SPDX-License-Identifier: GPL-3.0-or-later
"""What OpenSSH has in effect for a host, as `ssh -G` tells it: for pyinfra, which reads ssh's configuration in its own way.

A question costs some milliseconds. Where no line of the configuration depends on the host, one answer is everybody's.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

AT_ONCE = 16
LIMIT = 60  # seconds; a `Match exec` runs a program


class SshProblem(Exception):
    """ssh does not read its configuration, or what it was given. The text is its own."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A host as ssh is given it: its name or address, and the words that come before."""

    name: str
    words: tuple[str, ...] = ()

    @property
    def config_file(self) -> tuple[str, ...]:
        """`-F file`, where it is among the words."""
        for number, word in enumerate(self.words):
            if word.startswith("-F"):
                return ("-F", word[2:] or "".join(self.words[number + 1 : number + 2]))
        return ()


@dataclass(frozen=True, slots=True)
class InEffect:
    """ssh's options for a destination, by their names in small letters, each with its values in their order."""

    destination: Destination
    options: Mapping[str, tuple[str, ...]]

    def one(self, name: str, default: str = "") -> str:
        """The value of an option; `none` is ssh's word for nothing."""
        value = next(iter(self.options.get(name, ())), default)
        return default if value == "none" else value

    @property
    def hostname(self) -> str:
        return self.one("hostname", self.destination.name)

    @property
    def port(self) -> int:
        return int(self.one("port", "22"))

    def paths(self, name: str) -> tuple[str, ...]:
        """Files that an option names, with ssh's `~` and % filled in."""
        words = (word for value in self.options.get(name, ()) for word in shlex.split(value) if word != "none")
        return tuple(str(Path(self.filled(word)).expanduser()) for word in words)

    @property
    def identity_files(self) -> tuple[str, ...]:
        """One a line, and blanks are part of it."""
        values = (value for value in self.options.get("identityfile", ()) if value != "none")
        return tuple(str(Path(self.filled(value.strip('"'))).expanduser()) for value in values)

    @property
    def proxy(self) -> tuple[str, ...]:
        """The command through which the host is reached; ProxyJump as ssh itself does it. Nothing where it is direct."""
        if command := self.one("proxycommand"):
            return ("/bin/sh", "-c", f"exec {self.filled(command)}")
        if not (jumps := self.one("proxyjump")):
            return ()
        *before, last = jumps.split(",")
        way = ["-J", ",".join(before)] if before else []
        options = ["-o", "BatchMode=yes", "-o", "ServerAliveInterval=15", "-o", "ConnectTimeout=10"]
        last = last if last.startswith("ssh://") else f"ssh://{last}"
        return ("ssh", *self.destination.config_file, *options, *way, "-W", f"[{self.hostname}]:{self.port}", last)

    def filled(self, text: str) -> str:
        """The text with what ssh puts in place of its % (ssh_config(5), TOKENS)."""
        tokens = {
            "%": "%",
            "d": str(Path.home()),
            "h": self.hostname,
            "k": self.one("hostkeyalias", self.hostname),
            "n": self.destination.name,
            "p": str(self.port),
            "r": self.one("user"),
            "u": self.one("user") if "USER" not in os.environ else os.environ["USER"],
        }
        return re.sub(r"%(.)", lambda match: tokens.get(match[1], match[0]), text)


def in_effect(destinations: Sequence[Destination]) -> dict[Destination, InEffect | SshProblem]:
    """What holds for each. The problem of one is its own. Raises FileNotFoundError where there is no ssh."""
    alike = defaultdict(list)
    for each in dict.fromkeys(destinations):
        kept, options = _shared(each.words)
        alike[kept, *options].append(each)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        groups = list(pool.map(_ask_of_group, alike.values()))
        found = {key: value for group in groups for key, value in group.items()}
        asked = [each for each in dict.fromkeys(destinations) if each not in found]
        return found | dict(zip(asked, pool.map(_ask, asked), strict=True))


_PLAIN = re.compile(r'(Port|User|UserKnownHostsFile)="?([^"%~\s]+)"?', re.IGNORECASE)


def _shared(words: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """The words without `-o Port=2200` and the like, and those options: on the command line they hold as they stand."""
    kept: list[str] = []
    options: dict[str, tuple[str, ...]] = {}
    given = iter(words)
    for word in given:
        value = next(given, "") if word == "-o" else ""
        if match := _PLAIN.fullmatch(value):
            options.setdefault(match[1].lower(), (match[2],))
        else:
            kept += [word, value] if word == "-o" else [word]
    if any(word.startswith(("-p", "-l")) or re.match("(-o)?(port|user)", word.lower()) for word in kept):
        return words, {}
    return tuple(kept), options


def _ask_of_group(group: Sequence[Destination]) -> dict[Destination, InEffect | SshProblem]:
    """The answers for destinations with the same words, as far as the first one's tells them."""
    first, *others = group
    answer = _ask(first)
    if not others or isinstance(answer, SshProblem) or _depends_on_host(first):
        return {first: answer}
    found: dict[Destination, InEffect | SshProblem] = {first: answer}
    for each in others:
        options = {**answer.options, **_shared(each.words)[1], **_named(each)}
        found[each] = replace(answer, destination=each, options=options)
    return found


def _named(destination: Destination) -> dict[str, tuple[str, ...]]:
    return {"host": (destination.name,), "hostname": (destination.name.lower(),)}


def _ask(destination: Destination) -> InEffect | SshProblem:
    done = _ssh(destination)
    if done.returncode != 0:
        return SshProblem(done.stderr.strip() or f"ssh -G ended with status {done.returncode}")
    options: dict[str, tuple[str, ...]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        options[name.lower()] = (*options.get(name.lower(), ()), value)
    return InEffect(destination, options)


def _ssh(destination: Destination, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["ssh", "-G", *words, *destination.words, "--", destination.name]
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"ssh -G gave no answer within {LIMIT} seconds")


def _depends_on_host(destination: Destination) -> bool:
    """Whether what ssh reads for this host may be something else for another one."""
    read = re.findall(r"Reading configuration data (.*)", _ssh(destination, "-v").stderr)
    try:
        texts = [Path(name.strip()).read_text(encoding="utf-8", errors="replace") for name in read]
    except OSError:
        return True
    words = "\n".join(word.replace("=", " ", 1) for word in destination.words)
    return any(map(_names_hosts, (*texts, words)))


def _names_hosts(text: str) -> bool:
    return any(
        "%" in value
        or keyword in ("hostname", "canonicalizehostname", "tag")
        or (keyword in ("host", "match") and value.strip('"') not in ("*", "all"))
        for keyword, value in _lines(text)
    )


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if match := re.match(r"\s*(?:-o\s*)?(\w+)\s*[=\s]\s*(.*?)\s*$", line):
            yield match[1].lower(), match[2]
