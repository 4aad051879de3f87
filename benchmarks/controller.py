# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of a controller that says at its end what it has used. Run by benchmarks.fleet:

    python -m benchmarks.controller RESULT builderfleet rollout INVENTORY DEPLOY...
    python -m benchmarks.controller RESULT pyinfra INVENTORY DEPLOY...

Both are started in the same way, in this process, after the same imports. RESULT is a file for JSON: `cpu` and
`inventory_cpu`, the seconds of this process and of its children (Ansible, which reads the inventory), and `peak`, the
most memory that this process had, in KiB.
"""

from __future__ import annotations

import json
import re
import resource
import sys


def _run(words: list[str]) -> int:
    name, *arguments = words
    try:
        if name == "builderfleet":
            from builderfleet.cli import main

            return main(arguments)
        from pyinfra_cli.main import main as pyinfra

        sys.argv = [name, *arguments]
        pyinfra()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _used() -> dict[str, float]:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    with open("/proc/self/status") as status:  # noqa: PTH123 - pathlib is not needed, and every import counts
        (peak,) = re.findall(r"^VmHWM:\s+(\d+) kB", status.read(), re.MULTILINE)
    return {
        "cpu": own.ru_utime + own.ru_stime,
        "inventory_cpu": children.ru_utime + children.ru_stime,
        "peak": int(peak),
    }


if __name__ == "__main__":
    _, path, *words = sys.argv  # before the run: both sides replace sys.argv
    code = _run(words)
    with open(path, "x") as result:  # noqa: PTH123 - and never over a file that is there
        json.dump(_used(), result)
    sys.exit(code)
