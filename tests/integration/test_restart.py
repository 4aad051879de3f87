# SPDX-License-Identifier: GPL-3.0-or-later
"""What waits for a Mac's next start is said to be that, in a dry run too; and once it was started, it is no more."""

from __future__ import annotations

from tests.simulated_mac import Lab, SimulatedMac

from .harness import FrontEnd
from .parity import Alike, end

RESTART = "macOS has not made /nix, though /etc/synthetic.conf asks for it, and will when it starts. Restart this Mac"


def test_an_installation_that_macos_finishes_at_its_next_start(lab: Lab, door: FrontEnd, alike: Alike) -> None:
    mac = lab.start("restart")
    mac.break_("synthetic-needs-reboot")
    run = door.run(mac)
    assert (run.outcome, run.code) == ("reboot needed", 3), run.output
    assert f"install Nix with nix-installer 2.35.2: {RESTART}" in run.output
    alike("installing", end(run, mac))
    mac.reboot()
    run = door.run(mac, dry=True)
    assert (run.outcome, run.code) == ("would change", 2), run.output
    assert "install Nix with nix-installer 2.35.2, which was cut off before" in run.changes
    mac.stop()


def test_a_nix_directory_that_an_update_of_macos_took_away(
    converged: SimulatedMac, door: FrontEnd, alike: Alike
) -> None:
    converged.run("cp -p /etc/synthetic.conf /etc/kept; : > /etc/synthetic.conf")
    converged.reboot()
    run = door.run(converged)
    assert (run.outcome, run.code) == ("needs a person", 4), run.output
    assert "Put the line `nix` back into /etc/synthetic.conf" in run.output
    alike("lost", end(run, converged))
    converged.run("mv /etc/kept /etc/synthetic.conf")
    for dry in (True, False):
        run = door.run(converged, dry=dry)
        assert (run.outcome, run.code) == ("reboot needed", 3), run.output
        assert RESTART in run.output
        alike(f"put back, {dry}", end(run, converged))
    converged.reboot()
    run = door.run(converged)
    assert run.code == 0, run.output
