# SPDX-License-Identifier: GPL-3.0-or-later
"""newsyslog -n: what would be rotated. Says which files it has read, and refuses lines that it does not understand."""

from __future__ import annotations

from pathlib import Path

from . import shared


def main(arguments: list[str]) -> int:
    letters = "".join(word.removeprefix("-") for word in arguments if word.startswith("-"))
    if "n" not in letters or not set(letters) <= set("nvr") or any(not word.startswith("-") for word in arguments):
        raise shared.Unmodelled("only -n is")
    for path in [Path("/etc/newsyslog.conf"), *sorted(Path("/etc/newsyslog.d").glob("*.conf"))]:
        for line in path.read_text().splitlines():
            words = line.split("#")[0].split()
            if not words:
                continue
            # logfile [owner:group] mode count size when flags
            fields = [word for word in words if ":" not in word]
            if len(fields) < 5 or not fields[1].isdigit():
                shared.fail(1, f"newsyslog: malformed line (missing fields):\n{line}")
            print(f"{fields[0]} <{fields[2]}>: size (Kb): 0 [{fields[3]}] --> skipping")
    return 0
