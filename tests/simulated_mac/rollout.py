# SPDX-License-Identifier: GPL-3.0-or-later
"""What ./rollout does where there is no Mac: the main job against a simulated one, which stays for the next time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from . import guest
from .desired import variables_for, write_inventory
from .lab import REPOSITORY, Lab, enter_tier
from .mac import SimulatedMac

NAME = "demo"
ABSENT = "linux_builder_state=absent"
PROVED = "/var/lib/builderfleet/proved"


def main(arguments: Sequence[str]) -> int:
    """Start the Mac unless it is there, roll out, and say what to try next. The exit code is the outcome's number."""
    missing = _guest_without_root() or enter_tier([sys.executable, "-m", "tests.simulated_mac.rollout", *arguments])
    if missing:
        print("\n".join(("No simulated Mac can be started here:", *missing)), file=sys.stderr)
        return 1
    lab = Lab.of_the_user()
    for sentence in lab.left_out():
        say(f"left out: {sentence}")
    say("preparing what a simulated Mac needs: a builder VM's guest, a stub nixpkgs, an installer (once)")
    variables = variables_for(lab, say)
    there = NAME in [mac.name for mac in lab.macs()]
    say(
        f"the simulated Mac {NAME!r}: "
        + ("it is there from before" if there else "starting (Apple silicon, macOS 26, no Nix)")
    )
    mac = lab.start(NAME)
    inventory = lab.directory / "inventory.yml"
    write_inventory(inventory, [mac], {**variables, "linux_builder_build": "always"})
    say("pyinfra: the project's inventory and deploy.py, over SSH")
    signal.signal(signal.SIGINT, lambda number, frame: None)  # it is pyinfra's run that is stopped, and that says so
    code = subprocess.run(
        [sys.executable, "-m", "builderfleet.cli", "rollout", "inventory.py", "deploy.py", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "BUILDERFLEET_INVENTORY": f"{REPOSITORY / 'inventory'}:{inventory}"},
        check=False,
    ).returncode
    print(closing(mac, code, dry="--dry" in arguments, absent=ABSENT in arguments or f"--data={ABSENT}" in arguments))
    return code


def _guest_without_root() -> list[str]:
    """An ordinary user's namespace has no way to a Debian mirror, so the guest is made before going in. What is missing."""
    if os.geteuid() != 0:
        try:
            guest.ensure(say)
        except guest.GuestError as error:
            return [str(error)]
    return []


def say(line: str) -> None:
    """Progress."""
    print(f"==> {line}", file=sys.stderr, flush=True)


def closing(mac: SimulatedMac, code: int, *, dry: bool = False, absent: bool = False) -> str:
    """Where the Linux build was made, if this run made one, and what to try next."""
    command = ".venv/bin/python -m tests.simulated_mac"
    inside = "" if mac.lab.tier == "network" else f"{command}.rootless "
    inventory = mac.lab.directory / "inventory.yml"
    proved = code == 0 and not dry and not absent and mac.exists(PROVED)
    lines = [""]
    if proved:
        said = mac.read(PROVED).decode().partition("\t")[0]
        lines.append(f"A Linux package was built from this Mac, in its builder: {said}")
    lines += ["What to try next:", f"  ./rollout                 {_again(code, dry, absent)}"]
    if not dry:
        lines.append("  ./rollout --dry           what would change, and nothing written")
    lines.append(f"  {command} ssh {mac.name}     a shell on the Mac")
    if proved:
        lines += [
            f"  {command} run {mac.name} rm /etc/nix/machines    some drift; then ./rollout --dry",
            f"  {inside}.venv/bin/ansible-playbook -i inventory -i {inventory} playbooks/drift.yml    the same through Ansible",
        ]
    if not absent:
        lines.append(f"  ./rollout --data {ABSENT}    take it back")
    return "\n".join((*lines, f"  {command} down {mac.name}    throw the Mac away"))


def _again(code: int, dry: bool, absent: bool) -> str:
    if dry:
        return "in earnest" if code in (0, 2) else "in earnest, when what is said above is put right"
    if code:
        return "again: it goes on where it was, when what is said above is put right"
    return "set it up again" if absent else "again: no changes"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
