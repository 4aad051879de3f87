# SPDX-License-Identifier: GPL-3.0-or-later
"""Text of a Mac or of a variable, fit for people, files and terminals: no secrets, no control characters.

What is shown goes into CI logs, reports and other people's screens. So whatever looks like a secret is hidden, by its
name (`access-tokens = …`, `password …` of a netrc), its place (`https://user:password@host`, a private key's block) or its
form (`ghp_…`). Lines stay lines: a masked text has as many as it had.
"""

from __future__ import annotations

import re

MASK = "***"

_NAME = r"[\w.-]*(?:token|passw(?:or)?d|passphrase|secret|credential|api[_-]?key|private[_-]?key)\w*"
# To the end of the line, or of the quotes that it stands in; a quote in the middle of it ends nothing.
_VALUE = r"(?:'[^'\n]*|\"[^\"\n]*|[^'\"\s](?:[^\n]*?(?=['\"](?:[\s,.:;)]|$))|[^\n]*))"
_FLAGS = re.IGNORECASE | re.MULTILINE

_BLOCK = re.compile(r"(-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----)(.*?)(-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL)
# What is between the two groups of each is hidden.
_SECRETS = (
    # user:password@ of any URL, and of http also a token that stands for the user; a port is no password
    re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://)[^\s/@:'\"]*:(?!\d*(?:[/?#\s'\"]|$))[^\s'\"]*(@)", _FLAGS),
    re.compile(r"(\bhttps?://)[^\s/'\"]+(@)", _FLAGS),
    re.compile(r"([?&][\w.-]*(?:token|password|secret|signature|sig|(?:api|access)[_-]?key)=)[^&\s'\"]+()", _FLAGS),
    # nix.conf, shells, YAML's flow and Python's dicts, property lists, HTTP
    re.compile(rf"((?<![\w.?&-]){_NAME}[\"']?[ \t]*=[ \t]*){_VALUE}()", _FLAGS),
    re.compile(rf"(--option[ \t]+{_NAME}[ \t]+){_VALUE}()", _FLAGS),
    re.compile(rf"([\"']{_NAME}[\"'][ \t]*:[ \t]*)(?:'[^'\n]*'|\"[^\"\n]*\"|[^\s'\",}}]+)()", _FLAGS),
    re.compile(rf"(<key>{_NAME}</key>\s*<string>)[^<]*(</string>)", _FLAGS),
    re.compile(r"(\b(?:proxy-)?authorization[ \t]*:[ \t]*)(?:(?:basic|bearer|token)[ \t]+)?[^\s'\"]+()", _FLAGS),
    re.compile(r"(\bbearer[ \t]+)(?=\S*\d)[\w+/=.~-]{12,}()", _FLAGS),
    # a netrc, on one line or on several
    re.compile(r"(\b(?:machine|login|account)\s+\S+\s+password\s+)\S+()"),
    re.compile(r"(^[ \t]*password[ \t]+)\S+([ \t]*$)", re.MULTILINE),
    # A line that Nix does not read may be anything: how it begins is enough to find it (2.8: illegal; 2.26: syntax error)
    re.compile(r"(configuration line '[ \t]*[\w.-]+(?=[^\w.\n-]))[^\n]+(' in )"),
    # what says by itself what it is: GitHub's, GitLab's, Slack's, AWS's and npm's tokens, JSON web tokens, age's keys
    re.compile(
        r"(\b)(?:gh[oprsu]_[A-Za-z0-9]{8,}|github_pat_\w{8,}|glpat-[\w-]{8,}|xox[abeprs]-[\w-]{8,}|AKIA[A-Z0-9]{16}|"
        r"npm_[A-Za-z0-9]{16,}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?|AGE-SECRET-KEY-1[A-Z0-9]+)()"
    ),
)
_STRANGE = re.compile(r"[^\n\t -~]")
_HIDDEN = rf"\g<1>{MASK}\g<2>"


def masked(text: str) -> str:
    """The text without what looks like a secret, and with its control characters visible; once more changes nothing."""
    text = _BLOCK.sub(lambda block: block[1] + re.sub(r"[^\n]+", MASK, block[2]) + block[3], text)
    for pattern in _SECRETS:
        text = pattern.sub(_HIDDEN, text)
    return _STRANGE.sub(_written, text)


def beginning(line: str) -> str:
    """How somebody else's line is named in a message: by its first word, which is no value."""
    words = line.split(maxsplit=1) or [""]
    name, equals, _value = words[0].partition("=")
    return masked(f"{name} …" if equals or len(words) > 1 else name)


def only_masked(record: object, *names: str) -> None:
    """Mask fields of a frozen dataclass as it is made (in its `__post_init__`), so that none gets out unmasked."""
    for name in names:
        object.__setattr__(record, name, masked(getattr(record, name)))


def _written(found: re.Match[str]) -> str:
    character = found[0]
    number = ord(character)
    if character.isprintable():
        return character
    if number < 0x20 or number == 0x7F:
        return f"^{chr(number ^ 0x40)}"
    if 0xDC80 <= number <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{number - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
