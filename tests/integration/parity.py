# SPDX-License-Identifier: GPL-3.0-or-later
"""That both front ends do the same: the outcome in a word, the changes shown, and the Mac as it is afterwards."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.simulated_mac import SimulatedMac

from .harness import Run

LABEL = "org.builderfleet.linux-builder"

# Of what differs between two Macs by right: keys that were made on them.
_KEY = re.compile(rb"AAAA[0-9A-Za-z+/=]{40,}")
_OURS = (
    "/etc/nix/machines",
    "/etc/nix/nix.conf",
    "/etc/nix/nix.custom.conf",
    "/etc/nix/builderfleet_ed25519",
    "/etc/nix/builderfleet_ed25519.pub",
    "/etc/ssh/ssh_config",
    "/etc/ssh/ssh_config.d/150-builderfleet.conf",
    f"/Library/LaunchDaemons/{LABEL}.plist",
    "/var/lib/builderfleet/ledger.json",
    "/var/lib/builderfleet/proved",
    "/var/lib/builderfleet/linux-builder/run",
    "/var/lib/builderfleet/linux-builder/known_hosts",
    "/var/lib/builderfleet/linux-builder/keys/builder_ed25519.pub",
)


Alike = Callable[[str, object], None]
"""The fixture `alike`."""


@dataclass(frozen=True)
class End:
    """How a run ended, and what it left on the Mac."""

    outcome: str
    code: int
    changes: frozenset[str]
    state: Mapping[str, Any]


def end(run: Run, mac: SimulatedMac) -> End:
    """What came of a run on its only Mac.

    Waits are no part of it: one that is planned is not made where the VM is up by then, through whichever front end. That
    both plan it is shown by their dry runs (test_drift.py).
    """
    made = frozenset(change for change in run.changes if not change.startswith("wait until "))
    return End(run.outcome, run.code, made, state(mac))


def state(mac: SimulatedMac) -> dict[str, Any]:
    """What is builderfleet's on a Mac, or might be: files with their owners and modes, the job, GC roots."""
    found: dict[str, Any] = {path: _file(mac, path) for path in _OURS if mac.exists(path)}
    job = mac.job(LABEL)
    found["job"] = job is not None and bool(job.get("pid"))
    found["names"] = mac.run(
        "ls -A /var/lib/builderfleet /var/lib/builderfleet/linux-builder /nix/var/nix/gcroots/builderfleet /etc/nix"
        " 2>/dev/null || :"
    ).stdout
    found["disabled"] = mac.run(f"launchctl print-disabled system | grep {LABEL} || :").stdout
    return found


def _file(mac: SimulatedMac, path: str) -> tuple[int, int, int, bytes]:
    file = mac.host_path(path)
    status = file.lstat()
    if path.endswith("_ed25519"):
        content = b""
    elif stat.S_ISLNK(status.st_mode):
        content = os.fsencode(file.readlink())
    else:
        content = _KEY.sub(b"A KEY", file.read_bytes())
    return status.st_mode, status.st_uid, status.st_gid, content
