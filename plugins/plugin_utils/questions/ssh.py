# SPDX-License-Identifier: GPL-3.0-or-later
"""What root's ssh has in effect for a host, and which file and line made it so (`facts/field_reports VM 6`).

It is asked as the Nix daemon's ssh reads it: as root, from root's own file first, in a bare environment. What ssh would
make of the wanted options alone is asked in the same breath, of the same ssh: so both come in the words of its version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..asking import Replies, Request, run
from ..formats import ssh_config
from ..formats.ssh_config import Complaint, Setting

_BARE = ("/usr/bin/env", "-i", "HOME=/var/root", "PATH=/usr/bin:/bin:/usr/sbin:/sbin", "/usr/bin/ssh")

# The files that ssh reads, and of each line its keyword: values may be secrets, and what is in effect ssh tells itself.
_KEYWORDS = r"""
/usr/bin/env -i HOME=/var/root PATH=/usr/bin:/bin:/usr/sbin:/sbin /usr/bin/ssh -G -v "$1" 2>&1 >/dev/null |
/usr/bin/tr -d "\r" | /usr/bin/sed -n "s/^debug1: Reading configuration data //p" | /usr/bin/sort -u |
while IFS= read -r file; do
/usr/bin/awk "{ sub(/^[ \t]+/, \"\"); sub(/^\"/, \"\") } /^[A-Za-z]/ { match(\$0, /^[A-Za-z0-9]+/);
print NR \" \" tolower(substr(\$0, 1, RLENGTH)) \" \" file }" file="$file" "$file";
done
"""


@dataclass(frozen=True, slots=True)
class SshConfiguration:
    """What ssh has in effect for a host: keyword in lower case → its values, in ssh's own words; `wanted` is the same of
    the wanted options alone.

    `settings` are the lines that apply, in the order in which ssh reads them: of each keyword the first counts.
    `complaint` is why ssh reads nothing at all, `refused` why it refuses the wanted options.
    """

    effective: Mapping[str, list[str]] = field(default_factory=dict)
    wanted: Mapping[str, list[str]] = field(default_factory=dict)
    settings: tuple[Setting, ...] = ()
    complaint: Complaint | None = None
    refused: Complaint | None = None


@dataclass(frozen=True, slots=True)
class EffectiveSshConfig:
    """What ssh makes of all files for the host `alias`, and of `options` alone."""

    alias: str
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"what root's ssh has in effect for {self.alias}"

    def requests(self) -> tuple[Request, ...]:
        given = (word for option in self.options for word in ("-o", ssh_config.argument(*option)))
        return (
            run(*_BARE, "-G", "-vvv", self.alias),
            run(*_BARE, "-F", "none", "-G", *given, self.alias),
            run("/bin/sh", "-c", " ".join(_KEYWORDS.strip().splitlines()), "sh", self.alias),
        )

    def answer(self, replies: Replies) -> SshConfiguration:
        ran, alone, keywords = map(replies.ran, range(3))
        return SshConfiguration(
            effective=ssh_config.effective(ran.output),
            wanted=ssh_config.effective(alone.output),
            settings=() if ran.status else tuple(ssh_config.settings(ran.errors, keywords.output)),
            complaint=ssh_config.complaint(ran.errors) if ran.status else None,
            refused=ssh_config.complaint(alone.errors) if alone.status else None,
        )
