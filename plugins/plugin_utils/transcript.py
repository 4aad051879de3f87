# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes back from a Mac: records that survive any byte, between any noise.

A record is ``TOKEN key field base64``; they stand in one line with ';' between them, because pyinfra takes each line through
queues of its own. The token is new for each script, so that a login banner, a message of
the day or what a profile prints is never taken for an answer; the last record counts the others, so that a transcript
that was cut off is recognised and refused as a whole, and holds their SHA-256, so that a damaged one is as well.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

END = "end"
_BETWEEN = re.compile("[;\n]")

_NONE: Mapping[str, bytes] = MappingProxyType({})


class TranscriptError(Exception):
    """What was read from a Mac is not a whole transcript. The text says what was wanted and what was seen."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """The records of one script: key -> field -> value."""

    records: Mapping[str, Mapping[str, bytes]]

    def fields(self, key: str) -> Mapping[str, bytes]:
        """The fields recorded under a key; empty when there are none."""
        return self.records.get(key, _NONE)

    @classmethod
    def parse(cls, text: str, token: str) -> Transcript:
        """Read the records that carry the token.

        Raises TranscriptError when the end mark is missing, when its count is not that of the records, or when a
        record is damaged.
        """
        records: dict[str, dict[str, bytes]] = {}
        count = 0
        digest = hashlib.sha256()
        for line in _BETWEEN.split(text):
            words = line.rstrip("\r").split(" ")
            if words[0] != token:
                continue
            if words[1:2] == [END]:
                if words[2:] != [str(count), digest.hexdigest()]:
                    raise TranscriptError(f"wanted {' '.join(words[2:3])} whole answers, saw {count}: {_sample(text)}")
                return cls(MappingProxyType(records))
            digest.update(f"{' '.join(words)}\n".encode())
            try:
                _token, key, field, value = words
                records.setdefault(key, {})[field] = base64.b64decode(value, validate=True)
                count += 1
            except (ValueError, binascii.Error) as error:
                raise TranscriptError(f"wanted a record, saw {line[:80]!r} ({error})") from error
        raise TranscriptError(f"wanted the whole of the Mac's answer, saw {_sample(text)}")


def _sample(text: str) -> str:
    """The last words of what was read, short enough for a message."""
    words = " ".join(text.split())
    if not words:
        return "nothing at all"
    return f"{len(text)} characters ending in {words[-120:]!r}"
