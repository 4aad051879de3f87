# SPDX-License-Identifier: GPL-3.0-or-later
"""What others set up on a Mac is adopted, worked around or reported; never overwritten."""

from __future__ import annotations

from typing import Any

from builderfleet.plugin_utils.resources.nix_daemon import SAME_MOMENT

from tests.simulated_mac import SimulatedMac

from .harness import FrontEnd, writes_since
from .parity import Alike, end

LABEL = "org.builderfleet.linux-builder"


def test_a_line_that_nix_does_not_read_is_reported_and_left(
    converged: SimulatedMac, door: FrontEnd, alike: Alike
) -> None:
    before = converged.read("/etc/nix/nix.custom.conf")
    converged.write("/etc/nix/nix.custom.conf", b"# mine\nmax-jobs=4\n" + before)
    mark = converged.mark()
    run = door.run(converged)
    assert (run.outcome, run.code) == ("needs a person", 4), run.output
    alike("a line", end(run, converged))
    assert "/etc/nix/nix.custom.conf, line 2, `max-jobs" in run.output and "max-jobs=4" not in run.output
    assert [path for path in writes_since(converged, mark) if "nix.custom.conf" in path] == []
    converged.write("/etc/nix/nix.custom.conf", before)
    assert door.run(converged).code == 0


def test_an_inline_builders_setting_does_not_hide_the_builder(
    converged: SimulatedMac, door: FrontEnd, alike: Alike
) -> None:
    before = converged.read("/etc/nix/nix.custom.conf")
    converged.write("/etc/nix/nix.custom.conf", before + b"builders = ssh-ng://me@elsewhere x86_64-linux - 2\n")
    converged.run("launchctl kickstart -k system/org.nixos.nix-daemon")
    mark, line = converged.mark(), before.count(b"\n") + 1
    run = door.run(converged)
    assert (run.outcome, run.code) == ("needs a person", 4), run.output
    alike("inline", end(run, converged))
    assert f"/etc/nix/nix.custom.conf, line {line}, sets builders" in run.output
    assert [path for path in writes_since(converged, mark) if path.startswith("/etc/nix")] == []
    # The daemon's start and the file's change are known in whole seconds: beyond that, which of the two came first is plain.
    converged.run(f"sleep {SAME_MOMENT + 2}")
    converged.run("perl -pi -e 's,^builders = .*,$&;\\@/etc/nix/machines,' /etc/nix/nix.custom.conf")
    run = door.run(converged)
    assert (run.outcome, run.code) == ("changed", 0), run.output
    assert "was changed last" in run.output
    assert door.run(converged).outcome == "converged"
    converged.write("/etc/nix/nix.custom.conf", before)
    assert door.run(converged).code == 0


def test_a_machines_file_of_another_tool_is_left_alone(converged: SimulatedMac, door: FrontEnd, alike: Alike) -> None:
    converged.run("mv /etc/nix/machines /etc/nix/machines.kept; ln -s /etc/static/nix/machines /etc/nix/machines")
    run = door.run(converged)
    assert (run.outcome, run.code) == ("needs a person", 4), run.output
    alike("machines file", end(run, converged))
    assert "nix-darwin" in run.output
    assert converged.run("readlink /etc/nix/machines").stdout == "/etc/static/nix/machines\n"
    converged.run("rm /etc/nix/machines; mv /etc/nix/machines.kept /etc/nix/machines")
    assert door.run(converged).code == 0


def test_another_ssh_block_that_overrides_ours_is_reported(
    converged: SimulatedMac, door: FrontEnd, alike: Alike
) -> None:
    converged.write("/etc/ssh/ssh_config.d/010-mine.conf", b"Host *\n  Port 2200\n")
    run = door.run(converged)
    assert (run.outcome, run.code) == ("needs a person", 4), run.output
    alike("ssh block", end(run, converged))
    assert "/etc/ssh/ssh_config.d/010-mine.conf, line 2, port 2200" in run.output
    converged.run("rm /etc/ssh/ssh_config.d/010-mine.conf")
    assert door.run(converged).code == 0


def test_the_daemon_gets_the_proxy_that_it_was_asked_to_get(
    converged: SimulatedMac, door: FrontEnd, alike: Alike
) -> None:
    """In the file of its job, which is the installer's, and comes back byte for byte."""
    path, proxy = "/Library/LaunchDaemons/org.nixos.nix-daemon.plist", "http://anna:T0KEN@proxy.invalid:3128"
    before = converged.read(path)
    wanted: dict[str, Any] = {"nix_proxy": proxy, "linux_builder_daemon_proxy": True, "linux_builder_build": "never"}
    runs = [door.run(converged, dry=dry, **wanted) for dry in (True, False)]
    assert [(run.outcome, run.code) for run in runs] == [("would change", 2), ("changed", 0)], runs[1].output
    assert runs[0].changes == runs[1].changes and "T0KEN" not in runs[0].output + runs[1].output
    assert f"https_proxy => {proxy}" in converged.run("launchctl print system/org.nixos.nix-daemon").stdout
    assert door.run(converged, **wanted).outcome == "converged"
    run = door.run(converged)
    assert (run.outcome, run.code) == ("changed", 0), run.output
    alike("proxy", end(run, converged))
    assert converged.read(path) == before
    assert "proxy" not in converged.run("launchctl print system/org.nixos.nix-daemon").stdout


def test_a_job_whose_program_is_gone_gets_it_back(converged: SimulatedMac, door: FrontEnd, alike: Alike) -> None:
    converged.run("rm -r /nix/var/nix/gcroots/builderfleet")
    converged.run(f"launchctl kickstart -k system/{LABEL}")
    run = door.run(converged)
    assert run.outcome == "changed", run.output
    alike("program", end(run, converged))
    assert "realise the builder VM" in run.output
    assert door.run(converged).outcome == "converged"


def test_a_job_that_crash_loops_is_reported_with_its_last_words(
    converged: SimulatedMac, door: FrontEnd, alike: Alike
) -> None:
    disk = "/var/lib/builderfleet/linux-builder/nixos.qcow2"
    converged.run(f"echo rubbish > {disk}; launchctl kickstart -k system/{LABEL}")
    run = door.run(converged, linux_builder_start_limit=10)
    assert (run.outcome, run.code) == ("failed", 1), run.output
    assert f"{LABEL} does not come up" in run.output
    assert any(words in run.output for words in ("qcow2", "Read-only file system")), run.output
    # launchd starts it again as well: whether the run still finds something to wait for is a race, its end is not.
    converged.run(f"rm {disk}; launchctl kickstart -k system/{LABEL}")
    run = door.run(converged)
    assert run.outcome in ("changed", "converged") and run.code == 0, run.output
    assert "does not come up" not in run.output
    assert converged.read(disk)[:4] == b"QFI\xfb"
    assert door.run(converged).outcome == "converged"
