# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be broken on a simulated Mac, each with what it does and how it is put right again.

Most faults are a value in the world state that a double reads. The others do something to the Mac.
"""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, ClassVar

from . import disk
from .doubles import accounts
from .doubles.shared import DEBIAN
from .stock import FILES

if TYPE_CHECKING:
    from .mac import SimulatedMac

_SUDOERS = "/etc/sudoers.d/admin"
_SSHD_RUBBISH = "/etc/zshenv"
_STATE_DIRECTORY = "/private/var/lib/builderfleet"


class Fault:
    """A value in the world state, read by the double that it concerns."""

    needs: ClassVar[str] = "any value"

    def __init__(self, name: str, what: str) -> None:
        self.name, self.what = name, what

    def on(self, mac: SimulatedMac, value: object) -> None:
        with mac.changing_world() as world:
            world["faults"][self.name] = value

    def off(self, mac: SimulatedMac) -> None:
        with mac.changing_world() as world:
            world["faults"].pop(self.name, None)

    def before_off(self, mac: SimulatedMac) -> None:
        """What has to be undone before the Mac goes off."""


class _Sudoers(Fault):
    """sudo refuses (no rule) or asks for a password (a rule without NOPASSWD)."""

    def __init__(self, name: str, what: str, rule: str) -> None:
        super().__init__(name, what)
        self.rule = rule

    def on(self, mac: SimulatedMac, value: object) -> None:
        super().on(mac, value)
        mac.write(_SUDOERS, self.rule.encode(), 0o440)

    def off(self, mac: SimulatedMac) -> None:
        super().off(mac)
        mac.write(_SUDOERS, FILES["private/etc/sudoers.d/admin"].encode(), 0o440)


class _SudoPassword(_Sudoers):
    """sudo asks for a password: VALUE, or one that nobody knows."""

    needs = "the password, or nothing for one that nobody knows"

    def on(self, mac: SimulatedMac, value: object) -> None:
        if isinstance(value, str):
            script = "print crypt($ARGV[0], q($6$simulated$))"
            value = subprocess.run(["perl", "-e", script, value], capture_output=True, text=True, check=True).stdout
        super().on(mac, value)
        accounts.write_files(mac.world, mac.host_path("/etc"))

    def off(self, mac: SimulatedMac) -> None:
        super().off(mac)
        accounts.write_files(mac.world, mac.host_path("/etc"))


class _LoginNoise(Fault):
    """Lines in /etc/zshenv, which every zsh reads: noise, or rubbish instead of an answer."""

    def __init__(self, name: str, what: str, line: str) -> None:
        super().__init__(name, what)
        self.line = line + f"  # fault {name}\n"

    def on(self, mac: SimulatedMac, value: object) -> None:
        super().on(mac, value)
        former = mac.read(_SSHD_RUBBISH) if mac.exists(_SSHD_RUBBISH) else b""
        mac.write(_SSHD_RUBBISH, self.line.encode() + former.replace(self.line.encode(), b""))

    def off(self, mac: SimulatedMac) -> None:
        super().off(mac)
        left = mac.read(_SSHD_RUBBISH).replace(self.line.encode(), b"") if mac.exists(_SSHD_RUBBISH) else b""
        if left:
            mac.write(_SSHD_RUBBISH, left)
        else:
            mac.host_path(_SSHD_RUBBISH).unlink(missing_ok=True)


class _NoFullDiskAccess(Fault):
    def on(self, mac: SimulatedMac, value: object) -> None:
        self._set(mac, False)

    def off(self, mac: SimulatedMac) -> None:
        self._set(mac, True)

    @staticmethod
    def _set(mac: SimulatedMac, allowed: bool) -> None:
        with mac.changing_world() as world:
            world["identity"]["full_disk_access"] = allowed
        disk.guard_privacy_database(mac.disk, readable=allowed)


class _LoginItem(Fault):
    needs = "a label"

    def on(self, mac: SimulatedMac, value: object) -> None:
        super().on(mac, value)
        with mac.changing_world() as world:
            world["login_items"][str(value)] = False

    def off(self, mac: SimulatedMac) -> None:
        with mac.changing_world() as world:
            label = world["faults"].pop(self.name, None)
            world["login_items"].pop(str(label), None)


class _DiskFull(Fault):
    needs = "bytes that are left, or nothing for none"

    def on(self, mac: SimulatedMac, value: object) -> None:
        super().on(mac, value)
        size = 65536 if value is True else int(str(value))
        tools = f"{DEBIAN}/bin"
        mac.run(
            f"mkdir -p {_STATE_DIRECTORY} && {tools}/mount -t tmpfs -o size={size},mode=755 full {_STATE_DIRECTORY}\n"
            + (
                f"{tools}/dd if=/dev/zero of={_STATE_DIRECTORY}/.filler bs=4096 2>/dev/null || :\n"
                if value is True
                else ""
            )
        )

    def off(self, mac: SimulatedMac) -> None:
        if self.name in mac.world["faults"]:
            mac.run(f"{DEBIAN}/bin/umount -l {_STATE_DIRECTORY}")
        super().off(mac)


class _PortTaken(Fault):
    """A process of nobody's listens on a port, says nothing, and ends when the fault is mended."""

    needs = "a port"

    def on(self, mac: SimulatedMac, value: object) -> None:
        super().on(mac, value)
        listen = (
            "import socket, time\ns = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
            f"s.bind(('127.0.0.1', {int(str(value))})); s.listen(); open('/tmp/.fault-port', 'w').close(); time.sleep(86400)\n"
        )
        mac.write("/var/db/.fault-port.py", listen.encode())
        mac.run(f"{DEBIAN}/bin/setsid {DEBIAN}/bin/python3 -IS /var/db/.fault-port.py </dev/null >/dev/null 2>&1 &\n")
        deadline = time.monotonic() + 10
        while not mac.exists("/tmp/.fault-port"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"nothing could listen on port {value} of {mac.name}: is it taken already?")
            time.sleep(0.01)

    def off(self, mac: SimulatedMac) -> None:
        super().off(mac)
        mac.run("pkill -f /var/db/.fault-port.py || :; rm -f /var/db/.fault-port.py /tmp/.fault-port")


class _NixDaemonDead(Fault):
    """The daemon is unloaded and its socket gone, as after a failed upgrade."""

    label = "org.nixos.nix-daemon"

    def on(self, mac: SimulatedMac, value: object) -> None:
        super().on(mac, value)
        mac.run(f"launchctl bootout system/{self.label} || :; rm -f /nix/var/nix/daemon-socket/socket")

    def off(self, mac: SimulatedMac) -> None:
        super().off(mac)
        mac.run(f"launchctl bootstrap system /Library/LaunchDaemons/{self.label}.plist || :")


class _OsUpdate(Fault):
    """What an update of macOS does to a Nix installation: the stock shell profiles are back (drift.md)."""

    def on(self, mac: SimulatedMac, value: object) -> None:
        for name in ("zshrc", "zprofile", "bashrc", "ssh/ssh_config"):
            mac.write(f"/etc/{name}", FILES[f"private/etc/{name}"].encode())

    def off(self, mac: SimulatedMac) -> None:
        """An update is not taken back."""


class _Asleep(Fault):
    def on(self, mac: SimulatedMac, value: object) -> None:
        mac.sleep()

    def off(self, mac: SimulatedMac) -> None:
        mac.wake()


_ALL: tuple[Fault, ...] = (
    _Sudoers("sudo-refused", "sudo does not let admin do anything", "# no rule for admin\nadmin ALL = (ALL) !ALL\n"),
    _SudoPassword("sudo-password", "sudo asks admin for the password VALUE", "admin ALL = (ALL) PASSWD: ALL\n"),
    _LoginNoise("sshd-rubbish", "every command over ssh answers rubbish", "printf 'x\\377\\0!!\\n%.0s' 1 2 3; exit 0"),
    _LoginNoise("motd", "every login prints a message first", "echo 'Welcome! Unauthorised use is prohibited.'"),
    _LoginNoise("stderr-noise", "every login writes to standard error first", "echo 'warning: something' >&2"),
    Fault("bootstrap-5", "launchctl bootstrap fails with 5, VALUE times"),
    Fault("kickstart-5", "launchctl kickstart fails with 5, VALUE times"),
    Fault("spawn-lost", "a job that is loaded is not started until it is kicked, VALUE times"),
    Fault("bootout-slow", "a job stays VALUE seconds after bootout"),
    Fault("dscl-140", "dscl fails with eNotYetImplemented, VALUE times"),
    Fault("diskutil-hang", "diskutil never ends"),
    Fault("mount-refused", "diskutil mount is refused"),
    Fault("installer-fails-at", "the nix-installer fails at action VALUE, counted from 1"),
    Fault("installer-killed-at", "the nix-installer is killed at action VALUE, counted from 1"),
    Fault("synthetic-needs-reboot", "apfs.util -t does not make /nix"),
    _NoFullDiskAccess("no-full-disk-access", "ssh sessions may not touch what TCC protects"),
    _LoginItem("login-item-off", "the user has switched the login item VALUE off: it is not loaded at boot"),
    _DiskFull("disk-full", "the state directory is on a full disk"),
    _PortTaken("port-taken", "another process listens on port VALUE of 127.0.0.1"),
    _NixDaemonDead("nix-daemon-dead", "the Nix daemon is unloaded"),
    _OsUpdate("os-update", "an update of macOS has put the stock profiles back"),
    _Asleep("asleep", "the lid is closed"),
)
FAULTS = {fault.name: fault for fault in _ALL}


def find(name: str) -> Fault:
    """The fault of that name."""
    if name not in FAULTS:
        raise ValueError(f"fault: wanted one of {', '.join(FAULTS)}, saw {name!r}")
    return FAULTS[name]
