# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether KVM really works here. That /dev/kvm exists is no evidence: kernels were seen that never finish booting under
it (simulation_recipes §2.1), so the guest's own kernel is booted up to its first process, with a short deadline.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

DEADLINE = 8.0  # seconds; the same kernel gets there in less than 2 under software emulation
_DEVICE = Path("/dev/kvm")
_SAYS = b"builderfleet guest: userland"


def decide(image: Path, verdicts: Path, report: Callable[[str], None]) -> str:
    """`kvm` or `tcg`. The verdict is kept in `verdicts` for this machine, kernel and processor; a reboot asks again."""
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return "tcg"
    machine = " ".join((*platform.uname(), _processor(), Path("/proc/sys/kernel/random/boot_id").read_text().strip()))
    kept = verdicts.read_text().splitlines() if verdicts.exists() else []
    if len(kept) == 2 and kept[1] == machine:
        return kept[0]
    report(f"trying KVM for up to {DEADLINE:.0f} s")
    verdict = "kvm" if _boots(image) else "tcg"
    report("KVM works" if verdict == "kvm" else "KVM does not work here, the guest is emulated in software")
    staged = verdicts.with_suffix(f".{os.getpid()}")
    staged.write_text(f"{verdict}\n{machine}\n")
    staged.replace(verdicts)
    return verdict


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else ""


def _boots(image: Path) -> bool:
    command = ["qemu-system-x86_64", "-machine", "q35,accel=kvm", "-cpu", "max", "-m", "256", "-nodefaults"]
    command += ["-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]
    command += ["-kernel", str(image / "kernel"), "-initrd", str(image / "initrd")]
    command += ["-append", "console=ttyS0 panic=-1 probe"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and _SAYS in done.stdout
