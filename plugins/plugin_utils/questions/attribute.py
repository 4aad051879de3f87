# SPDX-License-Identifier: GPL-3.0-or-later
"""An extended attribute of a file: what macOS notes beside its content."""

from __future__ import annotations

import plistlib
from dataclasses import dataclass

from ..asking import Replies, Request, run

QUARANTINE = "com.apple.quarantine"
"""On what came from elsewhere (a browser, AirDrop): launchd and Gatekeeper refuse it (`facts/macos_commands §2.1`, 155)."""

NO_BACKUP = "com.apple.metadata:com_apple_backup_excludeItem"
"""On what Time Machine leaves out, for as long as the file is there: what `tmutil addexclusion` sets without `-p`."""
NO_BACKUP_VALUE = plistlib.dumps("com.apple.backupd", fmt=plistlib.FMT_BINARY).hex()


@dataclass(frozen=True, slots=True)
class Attribute:
    """The value of an attribute, as hexadecimal digits; empty when the file has none, or is not there."""

    path: str
    name: str

    def __str__(self) -> str:
        return f"the attribute {self.name} of {self.path}"

    def requests(self) -> tuple[Request, ...]:
        return (run("/usr/bin/xattr", "-px", self.name, self.path),)

    def answer(self, replies: Replies) -> str:
        ran = replies.ran(0)
        return "".join(ran.output.split()).lower() if ran.status == 0 else ""
