# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a lab: a bridge with an address of its own in 198.18.0.0/16, the range for tests, and no way out.

A bridge's name says which part of the range it has, so that making it also reserves that part: several labs never
collide. Its alias names the process that keeps it; the bridge of a keeper that died is taken away by the next lab.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

HIGHEST = 255


class NetworkRefused(Exception):
    """This machine does not let us make networks; the text says why."""


def ip(*words: str) -> str:
    """Run ip(8)."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise NetworkRefused(f"`ip {' '.join(words)}` ended with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Network:
    """One lab's part: 198.18.`number`.0/24."""

    number: int

    @property
    def bridge(self) -> str:
        return f"bf{self.number}"

    @property
    def gateway(self) -> str:
        return f"198.18.{self.number}.1"

    def address(self, mac: int) -> str:
        """The address of a lab's Mac, which count from 1."""
        return f"198.18.{self.number}.{1 + mac}"

    def link(self, mac: int) -> str:
        return f"{self.bridge}-{mac}"

    def hardware_address(self, mac: int) -> str:
        """A Mac keeps it over reboots, and the bridge (0) over everything: who has it in mind need not ask anew."""
        return f"02:bf:c6:12:{self.number:02x}:{mac:02x}"

    def connect(self, mac: int, leader: int) -> None:
        """Give the namespace of that process its network card."""
        link = self.link(mac)
        # The card of a Mac that just went off lasts until the kernel has cleaned up after it.
        subprocess.run(["ip", "link", "del", link], capture_output=True, check=False)
        hardware = self.hardware_address(mac)
        ip("link", "add", link, "type", "veth", "peer", "name", "en0", "address", hardware, "netns", str(leader))
        ip("link", "set", link, "master", self.bridge, "up")
        batch = f"link set lo up\naddress add {self.address(mac)}/24 dev en0\nlink set en0 up\n"
        inside = ["nsenter", "-t", str(leader), "-n", "ip", "-batch", "-"]
        subprocess.run(inside, input=batch, text=True, check=True, capture_output=True)

    def set_link(self, mac: int, *, up: bool) -> None:
        ip("link", "set", self.link(mac), "up" if up else "down")

    def remove(self) -> None:
        for link in links():
            if link["ifname"] == self.bridge or str(link["ifname"]).startswith(f"{self.bridge}-"):
                subprocess.run(["ip", "link", "del", str(link["ifname"])], capture_output=True, check=False)


def links() -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(ip("-json", "-details", "link", "show"))
    return found


def reserve(keeper: int) -> Network:
    """Make a bridge in a part of the range that nobody has, kept by that process."""
    remove_stale()
    refusal = NetworkRefused("no part of 198.18.0.0/16 is free")
    for number in range(HIGHEST + 1):
        network = Network(number)
        try:
            ip("link", "add", network.bridge, "address", network.hardware_address(0), "type", "bridge")
        except NetworkRefused as error:
            refusal = error
            if "File exists" in str(error):
                continue
            raise
        ip("link", "set", network.bridge, "alias", f"builderfleet lab of process {keeper}")
        ip("address", "add", f"{network.gateway}/24", "dev", network.bridge)
        ip("link", "set", network.bridge, "up")
        return network
    raise refusal


def remove_stale() -> None:
    """Take away the bridges of keepers that are no more."""
    for link in links():
        name, words = str(link["ifname"]), str(link.get("ifalias", "")).split()
        if words[:4] == ["builderfleet", "lab", "of", "process"] and not Path("/proc", words[4]).exists():
            Network(int(name.removeprefix("bf"))).remove()
