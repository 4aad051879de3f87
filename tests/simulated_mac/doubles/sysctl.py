# SPDX-License-Identifier: GPL-3.0-or-later
"""sysctl: the kernel's values that are asked of a Mac (`macos_commands §1`)."""

from __future__ import annotations

import sys
import time

from . import quickly, shared


def values() -> dict[str, str]:
    """Every oid that is modelled, by what this Mac is. On Intel two of them do not exist."""
    identity = shared.world()["identity"]
    with open(shared.SYSTEM_BOOT) as file:
        boot = quickly.loads(file.read())
    moment = time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(boot["time"]))
    found = {
        "hw.memsize": str(identity["memory"]),
        "hw.ncpu": str(identity["cores"]),
        "hw.logicalcpu": str(identity["cores"]),
        "hw.physicalcpu": str(identity["cores"]),
        "kern.hv_support": str(int(identity["hv_support"])),
        "kern.hv_vmm_present": "0",
        "kern.ostype": "Darwin",
        "kern.osrelease": identity["darwin"],
        "kern.osproductversion": identity["version"],
        "kern.osversion": identity["build"],
        "kern.hostname": shared.world()["identity"]["hostname"],
        "kern.boottime": f"{{ sec = {int(boot['time'])}, usec = {int(boot['time'] % 1 * 1e6)} }} {moment}",
        "kern.bootsessionuuid": boot["session"],
        "machdep.cpu.brand_string": "Apple M4" if identity["architecture"] == "arm64" else "Intel(R) Core(TM) i7",
    }
    if identity["architecture"] == "arm64":
        found["hw.optional.arm64"] = "1"
        found["sysctl.proc_translated"] = str(int(identity["rosetta"]))
    return found


def main(arguments: list[str]) -> int:
    bare, names = False, []
    for argument in arguments:
        if argument == "-n":
            bare = True
        elif argument.startswith("-") or "=" in argument:
            raise shared.Unmodelled("option")
        else:
            names.append(argument)
    if not names:
        raise shared.Unmodelled("no oid")
    known = values()
    status = 0
    for name in names:
        if name in known:
            print(known[name] if bare else f"{name}: {known[name]}", flush=True)
        else:
            print(f"sysctl: unknown oid '{name}'", file=sys.stderr)
            status = 1
    return status
