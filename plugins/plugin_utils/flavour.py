# SPDX-License-Identifier: GPL-3.0-or-later
"""Which installer put Nix on this Mac, from what can be seen on it (nix_installers §5).

The flavour decides where settings go, what the daemon's job is called, and who may take Nix off again. The tests are
made in the fact sheet's order, the first that fits wins; only a half-finished installation comes before all of them,
because none of the others may be adopted while it is one.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .formats.receipt import Receipt

DETERMINATE_DAEMON = "systems.determinate.nix-daemon"
LIX_HOOK = "systems.lix.nix-installer.nix-hook"
UPSTREAM_DAEMON = "org.nixos.nix-daemon"
# Settings that only the DetSys installer ever had, of releases that could still install upstream Nix.
_DETSYS_SETTINGS = frozenset({"determinate_nix", "prefer_upstream", "prefer_upstream_nix"})
_NIXOS_INSTALLER_SETTING = "add_channel"


class Flavour(enum.Enum):
    """Whose installation this is; the value is how it is called in reports."""

    NONE = "no Nix"
    NIXOS_INSTALLER = "NixOS nix-installer"
    DETERMINATE = "Determinate Nix"
    DETSYS_UPSTREAM = "Determinate Systems' installer with upstream Nix"
    LIX = "Lix"
    SCRIPT = "script installer"
    SINGLE_USER = "single-user Nix"
    LEFTOVERS = "leftovers of a former Nix"
    PARTIAL = "unfinished installation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What was seen. Unknown answers do not belong here: ask again before the flavour is told.

    `nix_version`: the output of the default profile's `nix --version`, None if there is none. `jobs`: labels that are
    loaded or have a plist in /Library/LaunchDaemons. `nix_owner_uid`: of /nix, None if there is none. `leftovers`: what
    else of a Nix is there, in words (synthetic.conf line, fstab line, volume, keychain item, users).
    """

    receipt: Receipt | None = None
    determinate_nixd: bool = False
    lix_installer: bool = False
    nix_version: str | None = None
    jobs: frozenset[str] = frozenset()
    nix_owner_uid: int | None = None
    nix_darwin: bool = False
    leftovers: tuple[str, ...] = ()


def flavour(observed: Observed) -> Flavour:
    """The flavour of the Nix that was seen.

    nix-darwin sits on top of a flavour and is none: its own sign is `Observed.nix_darwin`.
    """
    if observed.receipt is not None and not observed.receipt.complete:
        return Flavour.PARTIAL
    if observed.determinate_nixd or DETERMINATE_DAEMON in observed.jobs:
        return Flavour.DETERMINATE
    if "(Lix" in (observed.nix_version or "") or observed.lix_installer or LIX_HOOK in observed.jobs:
        return Flavour.LIX
    if observed.receipt is not None:
        return _flavour_of_receipt(observed.receipt)
    return _flavour_without_receipt(observed)


def _flavour_of_receipt(receipt: Receipt) -> Flavour:
    settings = receipt.settings.keys()
    if _NIXOS_INSTALLER_SETTING in settings and not _DETSYS_SETTINGS & settings:
        return Flavour.NIXOS_INSTALLER
    return Flavour.DETSYS_UPSTREAM  # also the releases before 1.0, whose receipts have neither


def _flavour_without_receipt(observed: Observed) -> Flavour:
    if UPSTREAM_DAEMON in observed.jobs:
        return Flavour.SCRIPT
    if observed.nix_owner_uid not in (None, 0):
        return Flavour.SINGLE_USER
    if observed.nix_version is not None or observed.nix_darwin:
        return Flavour.SCRIPT  # root's store and a Nix that answers: only its job has gone, and that is drift
    # An empty /nix alone is nothing: after an uninstallation it stays until the next boot.
    if observed.leftovers or any(job.startswith(("org.nixos.", "systems.determinate.")) for job in observed.jobs):
        return Flavour.LEFTOVERS
    return Flavour.NONE
