# SPDX-License-Identifier: GPL-3.0-or-later
"""See modules/ssh_keypair.py."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

from ansible_collections.builderfleet.macos.plugins.action import ResourceAction
from ansible_collections.builderfleet.macos.plugins.plugin_utils.asking import Unknown
from ansible_collections.builderfleet.macos.plugins.plugin_utils.questions.key_pair import KeyPair
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resources.ssh_keypair import SshKeypair
from ansible_collections.builderfleet.macos.plugins.plugin_utils.session import Session, SessionError


class ActionModule(ResourceAction):
    """SshKeypair by itself; its result holds what another machine has to know of the key."""

    resource = SshKeypair

    def report(self, session: Session) -> dict[str, Any]:
        key = _public_key(session)
        return super().report(session) | {"public_key": key, "fingerprint": _fingerprint(key)}


def _public_key(session: Session) -> str:
    """The type and the base64 of the key that is there; empty where there is none, or it cannot be told."""
    try:
        return "".join(
            session.answers[KeyPair(each.path)].expected for each in session.resources if isinstance(each, SshKeypair)
        )
    except (SessionError, Unknown):
        return ""


def _fingerprint(key: str) -> str:
    """As `ssh-keygen -l` prints it."""
    try:
        blob = base64.b64decode(key.split()[1], validate=True)
    except (IndexError, binascii.Error):
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
