# SPDX-License-Identifier: GPL-3.0-or-later
"""What a simulated Mac is: its macOS, its processor, its memory, what it allows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

GIB = 1024**3

# ProductVersion: BuildVersion, Darwin. Darwin's major is macOS's plus 9 up to 15, and 25 for 26 (macos_commands §1).
RELEASES = {
    "13.7": ("22H123", "22.6.0"),
    "14.8": ("23J21", "23.6.0"),
    "15.7": ("24G222", "24.6.0"),
    "26.6": ("25G83", "25.6.0"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Memory in bytes. `throttle_scale` stretches launchd's pauses between respawns; `shell` is bash or dash, as /bin/sh."""

    version: str = "26.6"
    architecture: str = "arm64"
    rosetta: bool = False
    rosetta_installed: bool = False
    memory: int = 16 * GIB
    cores: int = 8
    hv_support: bool = True
    battery: bool = True
    full_disk_access: bool = True
    filevault: bool = False
    shell: str = "bash"
    throttle_scale: float = 0.1

    def __post_init__(self) -> None:
        if self.version not in RELEASES:
            raise ValueError(f"version: wanted one of {', '.join(RELEASES)}, saw {self.version!r}")
        if self.architecture not in ("arm64", "x86_64"):
            raise ValueError(f"architecture: wanted arm64 or x86_64, saw {self.architecture!r}")
        if self.shell not in ("bash", "dash"):
            raise ValueError(f"shell: wanted bash or dash, saw {self.shell!r}")
        if self.rosetta and self.architecture != "arm64":
            raise ValueError("rosetta: only an arm64 Mac has it")

    @property
    def system(self) -> str:
        """Nix's name for it."""
        return ("aarch64" if self.architecture == "arm64" else "x86_64") + "-darwin"

    def record(self, hostname: str) -> dict[str, Any]:
        """As the doubles find it in the world state."""
        build, darwin = RELEASES[self.version]
        return {**asdict(self), "build": build, "darwin": darwin, "system": self.system, "hostname": hostname}
