# SPDX-License-Identifier: GPL-3.0-or-later
"""What Nix on a Mac says of itself (`facts/nix_configuration §1, §6`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..asking import Replies, Request, Unknown, run

NIX = "/nix/var/nix/profiles/default/bin"

# What is asked in any case. All settings would be others' secrets too, such as access-tokens: those never leave the Mac.
SETTINGS = (
    "allowed-users",
    "builders",
    "builders-use-substitutes",
    "experimental-features",
    "extra-platforms",
    "max-jobs",
    "system-features",
    "trusted-users",
)

# `nix config show` since 2.20, `nix show-config` before; a Nix too old for the first fails at once. The environment is
# bare so that it is the system's configuration that is shown, not some user's (facts/drift D32).
_SHOW = f"""
N={NIX}/nix
[ -x "$N" ] || exit 127
show() {{ /usr/bin/env -i PATH=/usr/bin:/bin HOME=/var/empty "$N" --extra-experimental-features nix-command "$@"; }}
all=$(show config show 2>/dev/null) || all=$(show show-config) || exit $?
printf "%s\\n" "$all" |
/usr/bin/awk -v names="$*" 'BEGIN {{ for (i = split(names, all, " "); i; i--) wanted[all[i]] = 1 }} $2 == "=" && $1 in wanted'
"""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings in effect, or why there are none to be seen: no Nix, or a configuration that Nix does not read."""

    installed: bool
    settings: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class NixConfiguration:
    """Settings that Nix reads from its files: those of SETTINGS, and one `more` where that is named; no others."""

    more: str = ""

    @classmethod
    def of(cls, setting: str) -> NixConfiguration:
        """The question that asks for a setting."""
        return cls() if setting in SETTINGS else cls(setting)

    def __str__(self) -> str:
        return "the configuration of Nix"

    def requests(self) -> tuple[Request, ...]:
        script = "; ".join(_SHOW.strip().splitlines()).replace("|; ", "| ")
        return (run("/bin/sh", "-c", script, "sh", *SETTINGS, *filter(None, (self.more,)), limit=30),)

    def answer(self, replies: Replies) -> Configuration:
        ran = replies.ran(0)
        if ran.status == 127:
            return Configuration(installed=False)
        if ran.status != 0:
            return Configuration(installed=True, error=ran.errors.strip())
        pairs = (line.split(" =", 1) for line in ran.output.splitlines() if " =" in line)
        return Configuration(installed=True, settings={name: value.strip() for name, value in pairs})


@dataclass(frozen=True, slots=True)
class NixVersion:
    """What `nix --version` prints, e.g. ``nix (Nix) 2.35.2``; empty when there is no Nix that runs.

    It is asked without configuration: with a line in nix.conf that it does not read, Nix does not even say its version.
    """

    def __str__(self) -> str:
        return "the version of Nix"

    def requests(self) -> tuple[Request, ...]:
        bare = ("PATH=/usr/bin:/bin", "HOME=/var/empty", "NIX_CONF_DIR=/var/empty", "NIX_USER_CONF_FILES=")
        return (run("/usr/bin/env", "-i", *bare, f"{NIX}/nix", "--version", limit=20),)

    def answer(self, replies: Replies) -> str:
        ran = replies.ran(0)
        return ran.output.strip() if ran.status == 0 else ""


@dataclass(frozen=True, slots=True)
class DaemonReply:
    """Whether the Nix daemon answers, and if not, its client's last word."""

    answers: bool
    error: str = ""


# With `--query --hash` and no path, Nix opens no connection, and succeeds whatever the daemon does.
ASK_DAEMON = (
    f"{NIX}/nix-store",
    "--store",
    "daemon",
    "--check-validity",
    "--print-invalid",
    f"/nix/store/{'0' * 32}-x",
)
"""A command that succeeds when the Nix daemon answers."""


@dataclass(frozen=True, slots=True)
class NixDaemonReply:
    """What a client of the Nix daemon sees. That it has to wait for ever is an answer as well: the daemon hangs."""

    def __str__(self) -> str:
        return "the Nix daemon"

    def requests(self) -> tuple[Request, ...]:
        return (run(*ASK_DAEMON, limit=20),)

    def answer(self, replies: Replies) -> DaemonReply:
        try:
            ran = replies.ran(0)
        except Unknown as reason:
            if "took longer" in str(reason):
                return DaemonReply(False, str(reason))
            raise
        lines = ran.errors.strip().splitlines()
        return DaemonReply(ran.status == 0, lines[-1].strip() if lines else f"status {ran.status}")
