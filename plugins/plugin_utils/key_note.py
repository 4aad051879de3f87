# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Mac remembers of its client key: for which word of `linux_builder_key_rotation` it was made.

The note names the key beside the word, so it is written before the key gets its place: wherever a run is cut off in
between, it does not speak of the key that is there, and is as good as none.
"""

from __future__ import annotations

from .asking import Answers
from .questions.file import File
from .shell import STATE_DIRECTORY, quote

NOTE = File(f"{STATE_DIRECTORY}/key_rotation")


def made_for(answers: Answers, key: str) -> str:
    """The word that a public key (type and base64) was made for; empty when none is noted for this one."""
    word, _separator, noted = (answers[NOTE].content or b"").decode("utf-8", "replace").strip().partition(" ")
    return word if noted == key else ""


def noted(word: str, public: str) -> str:
    """The script that notes the word for the key whose public half is in the file `public`, a word of shell."""
    return (
        f'key=$(/usr/bin/cut -d " " -f 1,2 {public})\n'
        f"printf '%s %s\\n' {quote(word)} \"$key\" | /usr/bin/base64 | stage {NOTE.path} any 0644 0 0\n"
        f"commit {NOTE.path} any\n"
    )
