# SPDX-License-Identifier: GPL-3.0-or-later
"""What kind of Mac it is, and what the session on it may do (`facts/macos_commands §1, §7`)."""

from __future__ import annotations

from dataclasses import dataclass

from ..asking import Ran, Replies, Request, Unknown, run

_OIDS = (
    "hw.memsize",
    "hw.ncpu",
    "hw.optional.arm64",
    "kern.hv_support",
    "kern.hv_vmm_present",
    "sysctl.proc_translated",
)
_PRIVACY_DATABASE = "/Library/Application Support/com.apple.TCC/TCC.db"
_SQLITE = "SQLite format 3\0"  # the 16 bytes that every SQLite database begins with (sqlite.org/fileformat.html)


@dataclass(frozen=True, slots=True, kw_only=True)
class MacFacts:
    """What a Mac is. Memory in bytes; `version` as (major, minor, ...); `full_disk_access` is None where it cannot be told."""

    kernel: str
    version: tuple[int, ...]
    apple_silicon: bool
    translated: bool
    memory: int
    cores: int
    can_virtualise: bool
    uid: int
    full_disk_access: bool | None

    @property
    def version_text(self) -> str:
        return ".".join(map(str, self.version))

    @property
    def system(self) -> str:
        """Nix's name for the Mac's own system."""
        return "aarch64-darwin" if self.apple_silicon else "x86_64-darwin"

    @property
    def linux_system(self) -> str:
        """Nix's name for the Linux system that its builder builds for without emulation."""
        return self.system.replace("darwin", "linux")


@dataclass(frozen=True, slots=True)
class Mac:
    """The Mac itself.

    An unknown oid makes sysctl fail but not the others (`sysctl.proc_translated` does not exist on Intel), so the names
    are read from its output. Full Disk Access shows in whether root can read the privacy database (`facts/drift D20`): in
    what is read, as a refused read may come back empty. A macOS that has no such database there tells nothing.
    """

    def __str__(self) -> str:
        return "what it is"

    def requests(self) -> tuple[Request, ...]:
        return (
            run("/usr/bin/uname", "-s"),
            run("/usr/bin/sw_vers", "-productVersion"),
            run("/usr/sbin/sysctl", *_OIDS),
            run("/usr/bin/id", "-u"),
            run("/usr/bin/head", "-c", str(len(_SQLITE)), _PRIVACY_DATABASE),
            run("/usr/bin/uname", "-m"),
        )

    def answer(self, replies: Replies) -> MacFacts:
        kernel = _succeeded(replies.ran(0), "uname -s")
        if kernel != "Darwin":
            return MacFacts(
                kernel=kernel,
                version=(),
                apple_silicon=False,
                translated=False,
                memory=0,
                cores=0,
                can_virtualise=False,
                uid=-1,
                full_disk_access=False,
            )
        oids = dict(line.split(": ", 1) for line in replies.ran(2).output.splitlines() if ": " in line)
        try:
            return MacFacts(
                kernel=kernel,
                version=tuple(int(part) for part in _succeeded(replies.ran(1), "sw_vers").split(".")),
                apple_silicon=oids.get("hw.optional.arm64") == "1" or _succeeded(replies.ran(5), "uname -m") == "arm64",
                translated=oids.get("sysctl.proc_translated") == "1",
                memory=int(oids["hw.memsize"]),
                cores=int(oids["hw.ncpu"]),
                can_virtualise=oids.get("kern.hv_support") == "1",
                uid=int(_succeeded(replies.ran(3), "id -u")),
                full_disk_access=_has_access(replies.ran(4)),
            )
        except (KeyError, ValueError) as error:
            raise Unknown(f"sw_vers, sysctl or id answered what makes no sense: {error!r}") from error


def _has_access(ran: Ran) -> bool | None:
    """What the beginning of the privacy database says. What is there and even root cannot open, macOS keeps from it."""
    if ran.output == _SQLITE:
        return True
    return None if ran.status == 0 or "No such file or directory" in ran.errors else False


def _succeeded(ran: Ran, name: str) -> str:
    if ran.status != 0:
        raise Unknown(f"{name} ended with status {ran.status}: {ran.errors.strip() or 'no message'}")
    return ran.output.strip()
