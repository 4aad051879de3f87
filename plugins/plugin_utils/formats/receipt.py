# SPDX-License-Identifier: GPL-3.0-or-later
"""/nix/receipt.json: what the installers of the Rust family did, and how far they came.

An installer that finds a receipt does nothing and exits 0, also if it is the receipt of a run that failed
(nix_installers §2.6): whether an installation is whole is in the states of its actions and nowhere else (§2.8).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FINISHED = frozenset({"Completed", "Skipped"})
STATES = FINISHED | {"Progress", "Uncompleted"}
_KINDS: dict[type[Any], str] = {dict: "an object", list: "a list", str: "a text"}
_REMEDY = "look at /nix/receipt.json; the installer that wrote it can say more"


class ReceiptError(ValueError):
    """The file is no receipt; the text says what was wanted, what was seen, and where in the file."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """`version` is the installer's, `planner` its kind (`macos`), `actions` (name, state) in their order.

    `settings` are the planner's, as JSON gave them; which ones there are tells the installers apart (`flavour`).
    """

    version: str
    planner: str
    actions: tuple[tuple[str, str], ...]
    settings: Mapping[str, Any]

    @property
    def unfinished(self) -> tuple[str, ...]:
        """The names of the actions that are neither completed nor skipped, in their order."""
        return tuple(name for name, state in self.actions if state not in FINISHED)

    @property
    def complete(self) -> bool:
        """Whether the installation was finished. A plan without any action installed nothing."""
        return bool(self.actions) and not self.unfinished


def parse(data: bytes) -> Receipt:
    """Reads a receipt. Raises ReceiptError if it is none, so that half a file is never taken for an installation."""
    try:
        root = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ReceiptError(
            f"receipt: wanted JSON, saw {len(data)} bytes beginning with {data[:40]!r}: {error}; {_REMEDY}"
        ) from error
    planner = _member(root, "planner", dict, "the receipt")
    actions = _member(root, "actions", list, "the receipt")
    return Receipt(
        version=_member(root, "version", str, "the receipt"),
        planner=_member(planner, "planner", str, ".planner"),
        actions=tuple(_action(action, f".actions[{index}]") for index, action in enumerate(actions)),
        settings=_member(planner, "settings", dict, ".planner") if "settings" in planner else {},
    )


def _action(value: Any, where: str) -> tuple[str, str]:
    state = _member(value, "state", str, where)
    if state not in STATES:
        raise ReceiptError(
            f"receipt: wanted one of {', '.join(sorted(STATES))} in {where}.state, saw {state!r}; {_REMEDY}"
        )
    action = _member(value, "action", dict, where)
    # Older releases of the family call the member `action`, newer ones `action_name`.
    name = "action_name" if "action_name" in action else "action"
    return _member(action, name, str, f"{where}.action"), state


def _member(value: Any, name: str, wanted: type[Any], where: str) -> Any:
    seen = value.get(name) if isinstance(value, dict) else value
    if not isinstance(value, dict) or not isinstance(seen, wanted):
        kind = _KINDS[wanted]
        raise ReceiptError(f"receipt: wanted {kind} as {name!r} in {where}, saw {seen!r:.80}; {_REMEDY}")
    return seen
