# SPDX-License-Identifier: GPL-3.0-or-later
"""What Nix says of a build that fails, each cause once: its words change with its versions (`SEEN`)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .asking import Answers, Unknown
from .questions.nix import NixSources, Source

SEEN = {
    "2.8.0": """error: builder for '/nix/store/1-a.drv' failed with exit code 1
error: 1 dependencies of derivation '/nix/store/2-b.drv' failed to build
error: 1 dependencies of derivation '/nix/store/3-c.drv' failed to build
""",
    "2.26.3": """error: builder for '/nix/store/1-a.drv' failed with exit code 1
error: 1 dependencies of derivation '/nix/store/2-b.drv' failed to build
error: 1 dependencies of derivation '/nix/store/3-c.drv' failed to build
""",
    "2.34.8": """error: Cannot build '/nix/store/1-a.drv'.
       Reason: builder failed with exit code 1.
       Output paths:
         /nix/store/4-a
error: Cannot build '/nix/store/2-b.drv'.
       Reason: 1 dependency failed.
       Output paths:
         /nix/store/5-b
error: Cannot build '/nix/store/3-c.drv'.
       Reason: 1 dependency failed.
       Output paths:
         /nix/store/6-c
""",
}
"""A chain of three derivations, of which the first fails, as each version says it."""

_CANNOT = re.compile(r"^(.*error: Cannot build '.*')\.$")
_REASON = "Reason: "
_FOLLOWS = re.compile(
    r"error: \d+ dependenc(?:y|ies) of derivation '.*' failed to build$|^.*error: .*: \d+ dependenc(?:y|ies) failed\.?$"
)
_OUTPUTS = re.compile(r"Output paths:$")


def once(lines: Iterable[str]) -> list[str]:
    """The lines without blanks around them, a cause on the line of what it is the cause of; of what only follows from
    another failure, and of the paths that there are not, nothing is said.
    """
    said: list[str] = []
    outputs = False
    for line in map(str.strip, lines):
        if outputs and line.startswith("/"):
            continue
        outputs = _OUTPUTS.search(line) is not None
        if outputs:
            continue
        if said and line.startswith(_REASON) and (cannot := _CANNOT.search(said[-1])):
            said[-1] = f"{cannot[1]}: {line.removeprefix(_REASON)}"
        else:
            said.append(line)
    own = [line for line in said if not _FOLLOWS.search(line)]
    return own if any("error: " in line for line in own) else said


_REFUSED = re.compile(r"error: unable to download 'https?://(?:[^/'@]*@)?([^/':]+)[^']*': HTTP error (401|403|407)\b")
_FORGES = ("github.com", "githubusercontent.com", "gitlab.com")
_SENT_TO = {
    "api.github.com": "github.com",
    "gitlab.com": "gitlab.com",
}  # where Nix sends whose token (libfetchers/github.cc)

REFUSED = {
    "2.8.0": "error: unable to download 'https://HOST/x.tar.gz': HTTP error 403 ('Forbidden')",
    "2.26.3": "error: Failed to open archive (Source threw exception: error: unable to download 'https://HOST/x': HTTP error 403",
    "2.34.8": "error: Failed to open archive (Source threw exception: error: unable to download 'https://HOST/x': HTTP error 403",
}
"""How each says that a download is refused. Of a cache it only warns, and goes on without it."""


def refused(said: str, answers: Answers) -> str:
    """What it means that a download was refused: by whom, and what Nix had to show there; empty where none was."""
    found = _REFUSED.search(said)
    if found is None:
        return ""
    host, status = found[1], found[2]
    if status == "407":
        return f"The proxy on the way to {host} wants a login (HTTP 407)."
    if any(host == each or host.endswith(f".{each}") for each in _FORGES):
        return f"It is {host} that refuses (HTTP {status}), and no binary cache. {_by_forge(host, status, answers)}"
    return f"It is {host} that refuses (HTTP {status}): what it wants a login for needs a line in Nix's netrc-file."


def _by_forge(host: str, status: str, answers: Answers) -> str:
    """A forge refuses a token that is no good even for what is public, and limits the requests of those who have none."""
    try:
        token = _token(host, answers[NixSources()])
    except Unknown:
        return (
            "A token in Nix's access-tokens or netrc-file may be refused there even for what is public: renew it, or take it"
            " out. Without one: wait an hour, it limits requests."
        )
    if token is not None and status == "401":
        return f"`{token.name}` in {token.where}, is what Nix sent: renew it, or take it out."
    if token is not None:
        return (
            f"`{token.name}` in {token.where}, is what Nix sent: it may not do that, or its requests are used up. Renew it, take"
            " it out, or wait an hour."
        )
    if status == "401":
        return "No `access-tokens` were sent there: if there is a line for it in Nix's netrc-file, renew that, or take it out."
    return (
        "No `access-tokens` were sent there, and without a login it limits requests: wait an hour. If there is a line for it in"
        " Nix's netrc-file, renew that, or take it out."
    )


def _token(host: str, sources: Iterable[Source]) -> Source | None:
    """The line with the token that Nix sends to a host: each `access-tokens` replaces those before it, `extra-` adds to them."""
    token = None
    for each in sources:
        has_one = _SENT_TO.get(host) in each.other.split()
        if each.name == "access-tokens":
            token = each if has_one else None
        elif each.name == "extra-access-tokens" and has_one:
            token = each
    return token
