# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated Macs by hand.

python -m tests.simulated_mac up [NAME ...] [--count N]    start one or several, and say how to reach them
python -m tests.simulated_mac list                         which there are
python -m tests.simulated_mac ssh NAME [COMMAND ...]       a shell inside, over ssh
python -m tests.simulated_mac run NAME COMMAND ...         a command inside as root, not over ssh
python -m tests.simulated_mac break NAME FAULT [VALUE]     break something; `faults` lists what can be broken
python -m tests.simulated_mac reboot|power-cut|reset NAME
python -m tests.simulated_mac down [NAME ...]              throw Macs away; all of them without a name
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields

from . import faults, guest, releases
from .errors import GuestError
from .factory import cache
from .identity import GIB, Identity
from .installer import publish
from .lab import Lab, enter_tier
from .mac import SimulatedMac, SimulatedMacError


def _memory(text: str) -> int:
    if not text.endswith("GiB") or not text[:-3].isdigit():
        raise argparse.ArgumentTypeError(f"wanted a size like 16GiB, saw {text!r}")
    return int(text[:-3]) * GIB


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulated_mac", description="Simulated Macs by hand.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    up = verbs.add_parser("up", help="start Macs, and say how to reach them")
    up.add_argument("names", nargs="*", metavar="NAME")
    up.add_argument("--count", type=int, help="start mac1 to macN")
    up.add_argument("--version", default="26.6", help="of macOS (default: %(default)s)")
    up.add_argument(
        "--nix", default="", metavar="2.34", help="its Nix, of a Debian release (default: the newest there is)"
    )
    up.add_argument("--guest-nix", default="", metavar="2.8", help="its builder's, with that release's sshd")
    up.add_argument("--architecture", choices=("arm64", "x86_64"), default="arm64")
    up.add_argument("--memory", type=_memory, default=16 * GIB, metavar="SIZE", help="such as 16GiB")
    up.add_argument("--cores", type=int, default=8)
    up.add_argument("--shell", choices=("bash", "dash"), default="bash", help="what /bin/sh is")
    for name, text in (("rosetta", "everything runs translated"), ("no-hv-support", "it cannot virtualise"),
                       ("no-battery", "it is no laptop"),
                       ("no-full-disk-access", "ssh may not touch what TCC protects")):  # fmt: skip
        up.add_argument(f"--{name}", action="store_true", help=text)
    verbs.add_parser("list", help="which Macs there are")
    verbs.add_parser("faults", help="what can be broken")
    down = verbs.add_parser("down", help="throw Macs away; all of them without a name")
    down.add_argument("names", nargs="*", metavar="NAME")
    down.add_argument("--all", action="store_true", help="the same as no name")
    for verb, text in (("ssh", "a shell or a command over ssh"), ("run", "a command as root, not over ssh")):
        inside = verbs.add_parser(verb, help=text)
        inside.add_argument("name", metavar="NAME")
        inside.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    for verb in ("break", "mend"):
        fault = verbs.add_parser(verb, help=f"{verb} something")
        fault.add_argument("name", metavar="NAME")
        fault.add_argument("fault", choices=sorted(faults.FAULTS), metavar="FAULT")
        if verb == "break":
            fault.add_argument("value", nargs="?", default=True, metavar="VALUE")
    for verb in ("reboot", "power-cut", "power-on", "sleep", "wake", "reset"):
        verbs.add_parser(verb, help=f"{verb} a Mac").add_argument("name", metavar="NAME")
    return parser


def _up(given: argparse.Namespace) -> int:
    lab = Lab.of_the_user()
    names = given.names or [f"mac{number}" for number in range(1, (given.count or 1) + 1)]
    has = {name: not vars(given)[f"no_{name}"] for name in ("hv_support", "battery", "full_disk_access")}
    wanted = vars(given) | has
    identity = {field.name: wanted[field.name] for field in fields(Identity) if field.name in wanted}
    macs = []
    for name in names:
        macs.append(lab.start(name, nix=given.nix, guest_nix=given.guest_nix, **identity))
        print(f"{name} is up at {macs[-1].address}", file=sys.stderr)
    installer = publish(lab)
    _explain(lab, macs, installer.url)
    return 0


def _explain(lab: Lab, macs: list[SimulatedMac], installer: str) -> None:
    config = write_ssh_config(lab)
    hosts = ",".join(mac.name for mac in macs)
    options = f"-F {config}"
    # Without root the Macs' network is one of the user's own; ssh finds its way in, pyinfra has to be started in there.
    inside = ".venv/bin/python -m tests.simulated_mac.rootless " if lab.tier == "rootless" else ""
    print(
        f"ssh:      ssh {options} {macs[0].name}\n"
        f"pyinfra:  {inside}pyinfra --data ssh_config_file={config} {hosts} exec -- sw_vers\n"
        f"Ansible:  {inside}ansible-playbook -i {hosts}, --ssh-common-args={shlex.quote(options)} PLAYBOOK\n"
        f"          (the Macs have no Python, as real ones: gather_facts: false, and raw)\n"
        f"Nix's installer is at {installer}"
    )


def write_ssh_config(lab: Lab) -> str:
    """One file with every Mac of the lab; its path."""
    path = lab.directory / "ssh_config"
    path.write_text("".join(mac.ssh_config.read_text() for mac in lab.macs()))
    return str(path)


def _list(given: argparse.Namespace) -> int:
    lab = _running()
    for mac in lab.macs() if lab else []:
        identity = mac.world["identity"]
        state = "on" if mac.on else "off"
        print(f"{mac.name}\t{mac.address}\t{state}\tmacOS {identity['version']} {identity['architecture']}")
    return 0


def _running() -> Lab | None:
    """The lab, when it has Macs; asking does not start one."""
    return Lab.of_the_user() if any((cache() / "labs/default/macs").glob("*/machine.json")) else None


def _faults(given: argparse.Namespace) -> int:
    for fault in faults.FAULTS.values():
        print(f"{fault.name:24}{fault.what}")
    return 0


def _down(given: argparse.Namespace) -> int:
    lab = _running()
    if lab is None:
        return 0
    for mac in [lab.mac(name) for name in given.names] if given.names else lab.macs():
        mac.stop()
    return 0


def _mac(name: str) -> SimulatedMac:
    lab = _running()
    if lab is None:
        raise SimulatedMacError(f"There is no simulated Mac {name}. Start it: python -m tests.simulated_mac up {name}")
    mac = lab.mac(name)
    if not mac.on:
        mac.power_on()
    return mac


def _ssh(given: argparse.Namespace) -> int:
    mac = _mac(given.name)
    os.execvp("ssh", ["ssh", "-F", str(mac.ssh_config), mac.name, *given.command])


def _run(given: argparse.Namespace) -> int:
    mac = _mac(given.name)
    command = given.command or ["/bin/zsh", "-l"]
    return subprocess.run(mac.enter("root") + command, env=mac.environment("root"), check=False).returncode


def _break(given: argparse.Namespace) -> int:
    _mac(given.name).break_(given.fault, given.value)
    return 0


def _mend(given: argparse.Namespace) -> int:
    _mac(given.name).mend(given.fault)
    return 0


def _power(verb: Callable[[SimulatedMac], None]) -> Callable[[argparse.Namespace], int]:
    def command(given: argparse.Namespace) -> int:
        lab = _running()
        if lab is None:
            raise SimulatedMacError(f"There is no simulated Mac {given.name}.")
        verb(lab.mac(given.name))
        return 0

    return command


_VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "up": _up,
    "list": _list,
    "faults": _faults,
    "down": _down,
    "ssh": _ssh,
    "run": _run,
    "break": _break,
    "mend": _mend,
    "reboot": _power(SimulatedMac.reboot),
    "power-cut": _power(SimulatedMac.power_cut),
    "power-on": _power(SimulatedMac.power_on),
    "sleep": _power(SimulatedMac.sleep),
    "wake": _power(SimulatedMac.wake),
    "reset": _power(SimulatedMac.reset),
}


def main() -> int:
    given = _parser().parse_args()
    try:
        if given.verb == "up" and os.geteuid() != 0:  # a user's namespace, which comes next, has no way to a mirror
            releases.release(given.nix)
            if given.guest_nix:
                guest.ensure(lambda line: None, releases.release(given.guest_nix))
        missing = (
            [] if given.verb == "faults" else enter_tier([sys.executable, "-m", "tests.simulated_mac", *sys.argv[1:]])
        )
        if missing:
            print("\n".join(missing), file=sys.stderr)
            return 1
        return _VERBS[given.verb](given)
    except (SimulatedMacError, GuestError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
