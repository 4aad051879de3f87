# SPDX-License-Identifier: GPL-3.0-or-later
"""The flavour of a Nix, test by test of nix_installers §5, and the order between them."""

from __future__ import annotations

import pytest
from builderfleet.plugin_utils.flavour import Flavour, Observed, flavour
from builderfleet.plugin_utils.formats.receipt import Receipt

UPSTREAM_JOBS = frozenset({"org.nixos.nix-daemon", "org.nixos.darwin-store"})


def receipt(*settings: str, state: str = "Completed") -> Receipt:
    return Receipt("2.35.1", "macos", (("create_nix_volume", state),), dict.fromkeys(settings, False))


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (Observed(), Flavour.NONE),
        (Observed(nix_owner_uid=0), Flavour.NONE),
        (Observed(receipt=receipt("add_channel"), jobs=UPSTREAM_JOBS, nix_owner_uid=0), Flavour.NIXOS_INSTALLER),
        (Observed(receipt=receipt("add_channel", "enable_flakes")), Flavour.NIXOS_INSTALLER),
        (Observed(receipt=receipt("determinate_nix"), jobs=UPSTREAM_JOBS), Flavour.DETSYS_UPSTREAM),
        (Observed(receipt=receipt("prefer_upstream", "add_channel")), Flavour.DETSYS_UPSTREAM),
        (Observed(receipt=receipt()), Flavour.DETSYS_UPSTREAM),
        (Observed(receipt=receipt("determinate_nix"), determinate_nixd=True), Flavour.DETERMINATE),
        (Observed(jobs=frozenset({"systems.determinate.nix-daemon"})), Flavour.DETERMINATE),
        (Observed(determinate_nixd=True, lix_installer=True), Flavour.DETERMINATE),
        (Observed(nix_version="nix (Lix, like Nix) 2.95.3", jobs=UPSTREAM_JOBS), Flavour.LIX),
        (Observed(receipt=receipt("add_channel"), lix_installer=True), Flavour.LIX),
        (Observed(jobs=frozenset({"systems.lix.nix-installer.nix-hook"})), Flavour.LIX),
        (Observed(jobs=UPSTREAM_JOBS, nix_version="nix (Nix) 2.30.0", nix_owner_uid=0), Flavour.SCRIPT),
        (Observed(nix_version="nix (Nix) 2.30.0", nix_owner_uid=0), Flavour.SCRIPT),
        (Observed(nix_darwin=True, nix_owner_uid=0), Flavour.SCRIPT),
        (Observed(nix_owner_uid=501), Flavour.SINGLE_USER),
        (Observed(nix_owner_uid=501, nix_version="nix (Nix) 2.30.0"), Flavour.SINGLE_USER),
        (Observed(leftovers=("fstab line",)), Flavour.LEFTOVERS),
        (Observed(jobs=frozenset({"org.nixos.darwin-store"})), Flavour.LEFTOVERS),
        (Observed(jobs=frozenset({"com.apple.sshd"})), Flavour.NONE),
        (Observed(receipt=receipt("add_channel", state="Progress"), jobs=UPSTREAM_JOBS), Flavour.PARTIAL),
        (Observed(receipt=receipt(state="Uncompleted"), determinate_nixd=True), Flavour.PARTIAL),
    ],
)
def test_flavour(observed: Observed, expected: Flavour) -> None:
    assert flavour(observed) is expected
