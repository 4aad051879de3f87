# SPDX-License-Identifier: GPL-3.0-or-later
"""What Macs answer: the words that the tests of the resources are written in.

A `Case` is one state of a Mac and what a resource says to it. What a case does not mention is answered as a stock Mac
answers it (`stock`); a question that the resource does not ask has no answer, so it cannot be used by accident.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from builderfleet.plugin_utils.asking import Answers, Question
from builderfleet.plugin_utils.formats.launchctl import Job
from builderfleet.plugin_utils.ledger import LEDGER, STATE, Entry, Ledger
from builderfleet.plugin_utils.questions.attribute import Attribute
from builderfleet.plugin_utils.questions.certificates import Bundle, Certificates
from builderfleet.plugin_utils.questions.clock import Clock
from builderfleet.plugin_utils.questions.file import NOTHING, File, Found, Kind, Metadata, Pointed
from builderfleet.plugin_utils.questions.free_space import FreeSpace, Space
from builderfleet.plugin_utils.questions.guest import Guest, GuestState
from builderfleet.plugin_utils.questions.key_pair import KeyPair, Pair
from builderfleet.plugin_utils.questions.launchd import LaunchdJob, Loaded
from builderfleet.plugin_utils.questions.log_tail import LogTail
from builderfleet.plugin_utils.questions.login_items import LoginItemsOff
from builderfleet.plugin_utils.questions.mac import Mac, MacFacts
from builderfleet.plugin_utils.questions.names import Names
from builderfleet.plugin_utils.questions.network import Greeting, Listeners
from builderfleet.plugin_utils.questions.nix import (
    Configuration,
    DaemonReply,
    NixBuildHook,
    NixConfiguration,
    NixDaemonReply,
    NixDaemonStart,
    NixSources,
    NixVersion,
)
from builderfleet.plugin_utils.questions.ssh import EffectiveSshConfig, SshConfiguration
from builderfleet.plugin_utils.questions.store_volume import StoreVolume
from builderfleet.plugin_utils.resource import Blocked, Change, Resource, Step
from builderfleet.plugin_utils.resources.builder_vm import RootNames
from builderfleet.plugin_utils.resources.ssh_host import SSH_CONFIG
from builderfleet.plugin_utils.resources.trusted_files import LooseFiles

World = dict[Question[Any], Any]

REVISION = "0123456789abcdef0123456789abcdef01234567"
GIVEN = {
    "linux_builder_nixpkgs": f"github:NixOS/nixpkgs/{REVISION}",
    "linux_builder_nixpkgs_release": "25.11",
    "nix_installer_sha256": "5e" * 32,
}
"""Variables of a host, the least that is needed."""

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKnownToAllAsThisIsOnlyATestNothingElse00"
OTHER_PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAnotherOneThatIsOnlyATestAsWell00000000"
NOW = 1_760_000_000
SSHD = b"SSH-2.0-OpenSSH_9.9\r\n"
STOCK_SSH_CONFIG = (
    "# This is the ssh client system-wide configuration file.\nInclude /etc/ssh/ssh_config.d/*\n\nHost *\n"
)


# --- things at a path ----------------------------------------------------------------------------------------------


def file(content: str | bytes | None, mode: int = 0o644, uid: int = 0, gid: int = 0) -> Found:
    return Found(Kind.FILE, mode, uid, gid, content.encode() if isinstance(content, str) else content)


def directory(mode: int = 0o755, uid: int = 0, gid: int = 0) -> Found:
    return Found(Kind.DIRECTORY, mode, uid, gid)


def link(target: str, resolves: bool = True) -> Found:
    return Found(Kind.LINK, 0o777, 0, 0, target=target, resolves=resolves)


FIFO = Found(Kind.OTHER, 0o644)
THERE = file(None)
"""A file that was only looked at."""
PRIVATE = file(None, 0o600)


# --- what programs say ---------------------------------------------------------------------------------------------

APPLE_SILICON = MacFacts(
    kernel="Darwin",
    version=(15, 5),
    apple_silicon=True,
    translated=False,
    memory=16 * 2**30,
    cores=8,
    can_virtualise=True,
    uid=0,
    full_disk_access=True,
)
INTEL = replace(APPLE_SILICON, apple_silicon=False)

NOT_LOADED = Loaded(None, disabled=False)


def loaded(label: str, *, pid: int | None = 411, disabled: bool = False, **fields: Any) -> Loaded:
    path = f"/Library/LaunchDaemons/{label}.plist"
    job = Job(label=label, **{"path": path, "state": "running" if pid else "not running", "pid": pid, **fields})
    return Loaded(job, disabled)


def nix(error: str = "", **settings: str) -> Configuration:
    """The configuration of a Nix that is there; `_` stands for `-` in names."""
    return Configuration(
        installed=True, settings={name.replace("_", "-"): value for name, value in settings.items()}, error=error
    )


def pair(private: Found, public: Found, derived: str = PUBLIC) -> Pair:
    return Pair(private=private, public=public, derived=derived)


def receipt(state: str = "Completed") -> Found:
    """The receipt of the NixOS nix-installer."""
    action = {"action": {"action_name": "create_apfs_volume"}, "state": state}
    planner = {"planner": "macos", "settings": {"add_channel": False}}
    return file(json.dumps({"version": "2.35.2", "planner": planner, "actions": [action]}))


# --- the ledger ----------------------------------------------------------------------------------------------------


def hashed(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def remembered(path: str, before: str | bytes | None, after: str | bytes, **fields: Any) -> tuple[str, Entry]:
    """The ledger's entry of a file that was `before` (None: absent) and became `after`."""
    if before is None:
        return path, Entry(existed=False, after=hashed(after), **fields)
    backup = f"{path.rsplit('/', 1)[1]}.{hashed(before)[:16]}"
    return path, Entry(existed=True, after=hashed(after), backup=backup, **fields)


def ledger_of(*entries: tuple[str, Entry], made: tuple[str, ...] = ()) -> Found:
    return file(Ledger(dict(entries), made).dump(), mode=0o600)


# --- cases ---------------------------------------------------------------------------------------------------------

_STOCK: Mapping[type[Any], Any] = {
    File: NOTHING,
    Metadata: NOTHING,
    KeyPair: Pair(NOTHING, NOTHING, ""),
    LaunchdJob: NOT_LOADED,
    Mac: APPLE_SILICON,
    Listeners: (),
    Greeting: b"",
    NixConfiguration: Configuration(installed=False),
    NixDaemonStart: None,
    NixSources: (),
    NixVersion: "",
    NixBuildHook: "",
    Pointed: None,
    RootNames: (),
    StoreVolume: None,
    Names: frozenset(),
    Attribute: "",
    Certificates: Bundle(None, copied=False),
    EffectiveSshConfig: SshConfiguration(),
    Clock: NOW,
    FreeSpace: Space(500 * 2**30, 200 * 2**30),
    Guest: GuestState(status=255, error="ssh: Could not resolve hostname builderfleet", before=NOW, after=NOW),
    LogTail: (),
    LooseFiles: (),
    LoginItemsOff: frozenset(),
    NixDaemonReply: DaemonReply(False, "status 127"),
}


def stock(questions: Iterable[Question[Any]]) -> World:
    """What a Mac answers that never had Nix."""
    return {each: _STOCK[type(each)] for each in questions} | {SSH_CONFIG: file(STOCK_SSH_CONFIG)}


def answers(resource: Resource, world: Mapping[Question[Any], Any]) -> Answers:
    """The answers to what a resource asks."""
    asked = set(resource.questions())
    every = stock(asked) | {STATE: directory() if LEDGER in world else NOTHING} | dict(world)
    return Answers.given({question: answer for question, answer in every.items() if question in asked})


@dataclass(frozen=True)
class Person:
    """That a person is needed: what the summary and the remedy have to say (regular expressions)."""

    summary: str
    remedy: str
    reboot: bool = False


@dataclass(frozen=True)
class Case:
    """A state of a Mac, what is wanted of it, and what has to happen: summaries of changes, or persons."""

    name: str
    resource: Resource
    world: Mapping[Question[Any], Any] = field(default_factory=dict)
    expected: tuple[str | Person, ...] = ()

    def __str__(self) -> str:
        return self.name.replace(" ", "-")

    def steps(self) -> list[Step]:
        return list(self.resource.changes(answers(self.resource, self.world)))

    def changes(self) -> list[Change]:
        return [step for step in self.steps() if isinstance(step, Change)]

    def check(self) -> None:
        """That the resource says exactly what is expected."""
        steps = self.steps()
        assert [_short(step) for step in steps] == [
            each if isinstance(each, str) else _short(step) for each, step in zip(self.expected, steps, strict=False)
        ] + [str(each) for each in self.expected[len(steps) :]]
        assert len(steps) == len(self.expected)
        for each, step in zip(self.expected, steps, strict=True):
            if isinstance(each, Person):
                assert isinstance(step, Blocked), step
                assert re.search(each.summary, step.summary), step.summary
                assert re.search(each.remedy, step.remedy), step.remedy
                assert step.reboot == each.reboot
            else:
                assert isinstance(step, Change), step


def _short(step: Step) -> str:
    return step.summary


def carried(script: str) -> dict[str, bytes]:
    """The files that a script carries: path -> content."""
    found = re.findall(r"^stage (\S+) .*<<'BYTES'\n((?:.*\n)*?)BYTES$", script, re.MULTILINE)
    return {path: base64.b64decode(text) for path, text in found}
