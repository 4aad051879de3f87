# SPDX-License-Identifier: GPL-3.0-or-later
"""A Mac whose only way out is an HTTP proxy: without it no name is known there."""

from __future__ import annotations

import json

from tests.simulated_mac import Lab

from .harness import FrontEnd

OUTSIDE = "outside.invalid"


def test_everything_that_is_fetched_goes_through_the_proxy(lab: Lab, door: FrontEnd) -> None:
    mac = lab.start("behind")
    outside = {
        name: door.variables[name].replace(lab.url, f"http://{OUTSIDE}")
        for name in ("nix_installer_source", "linux_builder_nixpkgs")
    }
    run = door.run(mac, **outside)
    assert (run.outcome, run.code) == ("failed", 1), run.output
    assert f"Could not resolve host: {OUTSIDE}" in run.output and "cannot get the installer from" in run.output
    run = door.run(mac, **outside, nix_proxy=lab.url)
    assert (run.outcome, run.code) == ("changed", 0), run.output
    fetched = {each["path"] for each in lab.requests() if (each["from"], each["host"]) == (mac.address, OUTSIDE)}
    assert {f"http://{OUTSIDE}/{path}" for path in fetched} == {url.split("?")[0] for url in outside.values()}
    # The installer takes the proxy from its environment, as its `--proxy`; what it was given it writes into its receipt.
    assert json.loads(mac.read("/nix/receipt.json"))["planner"]["settings"]["proxy"] == f"{lab.url}/"
    assert door.run(mac, **outside, nix_proxy=lab.url).outcome == "converged"
    mac.stop()
