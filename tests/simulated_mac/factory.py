# SPDX-License-Identifier: GPL-3.0-or-later
"""What every simulated Mac has in common: the commands, and the disk as it leaves the factory.

Built once and kept in the cache under a hash of what it is made of. A Mac's system (`bin`, `sbin`, `usr`, `System`) is
this tree itself, bound read-only; its data (`private`, `Users`, `Library` ...) are a copy of `template`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import commands
from .releases import Release
from .stock import FILES, SUDOERS_MODE

HERE = Path(__file__).parent
HIDDEN = "/.simulated-mac"
DEBIAN = f"{HIDDEN}/debian/usr"
RELEASE = Path(HIDDEN, "release")  # where a Mac sees the release that its Nix is of, unless that is the machine's own
DATA = ("private", "Users", "Library", "Applications", "opt", "Volumes", "cores", "usr/local")

_DOUBLE = """#!{debian}/bin/python3 -IS
import sys
sys.path.insert(0, "{hidden}/python")
from doubles import {module}, shared
shared.run("{name}", {module}.main)
"""
_LAUNCHD = """#!{debian}/bin/python3 -IS
import sys
sys.path.insert(0, "{hidden}/python")
from doubles.launchd import main
main()
"""
_STRICT = """#!{debian}/bin/dash
name='{name}'
. {hidden}/userland/strict.sh
strict '{plain}' '{valued}' "$@"
exec {tool} "$@"
"""

SSHD_JOB = f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>com.openssh.sshd</string>
	<key>ProgramArguments</key>
	<array>
		<string>{DEBIAN}/sbin/sshd</string>
		<string>-D</string>
		<string>-e</string>
		<string>-f</string>
		<string>{HIDDEN}/userland/sshd_config</string>
	</array>
	<key>RunAtLoad</key>
	<true/>
	<key>KeepAlive</key>
	<true/>
	<key>AbandonProcessGroup</key>
	<true/>
	<key>ThrottleInterval</key>
	<integer>1</integer>
	<key>StandardErrorPath</key>
	<string>{HIDDEN}/state/sshd.log</string>
</dict>
</plist>
"""

# VERBOSE, because it then writes down every command that comes over a connection. The PATH is the one of macOS's sshd.
SSHD_CONFIG = """Port 22
HostKey /etc/ssh/ssh_host_ed25519_key
LogLevel VERBOSE
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
PrintMotd no
PidFile none
MaxStartups 200
MaxSessions 200
AcceptEnv LANG LC_*
SetEnv PATH=/usr/bin:/bin:/usr/sbin:/sbin
Subsystem sftp internal-sftp
"""


class MissingProgram(Exception):
    """The host lacks a program that a simulated Mac is made of."""


def cache() -> Path:
    """Where simulated Macs live on this machine."""
    root = os.environ.get("BUILDERFLEET_CACHE") or Path.home() / ".cache" / "builderfleet"
    return Path(root) / "simulated_mac"


def base(release: Release) -> Path:
    """The tree that all Macs with a release's Nix share, built if it is not in the cache."""
    wanted = cache() / "base" / f"{_fingerprint()}-{release.nix}"
    if not wanted.exists():
        wanted.parent.mkdir(parents=True, exist_ok=True)
        wanted.parent.chmod(0o755)
        building = Path(tempfile.mkdtemp(dir=wanted.parent, prefix=".building-"))
        try:
            _build(building, release)
            building.chmod(0o755)
            try:
                building.rename(wanted)
            except OSError:
                if not wanted.exists():  # somebody else was faster otherwise, with the very same tree
                    raise
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return wanted


def _fingerprint() -> str:
    sources = [*HERE.glob("*.py"), *HERE.glob("doubles/*.py"), *HERE.glob("userland/*")]
    digest = hashlib.sha256()
    for source in sorted(sources):
        digest.update(f"{source.relative_to(HERE)}\0".encode() + source.read_bytes() + b"\0")
    for program in ("zsh", "bash", "python3"):
        about = Path("/usr/bin", program).stat()
        digest.update(f"{program} {about.st_size} {about.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


def _build(root: Path, release: Release) -> None:
    for directory in ("bin", "sbin", "usr/bin", "usr/sbin", "usr/libexec", "usr/local", "python", "template"):
        (root / directory).mkdir(parents=True)
    (root / "System/Library/LaunchDaemons").mkdir(parents=True)
    # What Debian's own programs need where they look for it
    (root / "usr/lib").symlink_to(f"{DEBIAN}/lib")
    (root / "usr/share").symlink_to(f"{DEBIAN}/share")
    (root / "usr/libexec/sudo").symlink_to(f"{DEBIAN}/libexec/sudo")
    _commands(root)
    _shells(root)
    shutil.copytree(HERE / "doubles", root / "python/doubles", ignore=shutil.ignore_patterns("__pycache__"))
    # By the Python that runs them: another version's bytecode would be read by nobody.
    subprocess.run(["/usr/bin/python3", "-m", "compileall", "-q", root / "python"], check=True)
    shutil.copytree(HERE / "userland", root / "userland")
    (root / "userland/sshd_config").write_text(SSHD_CONFIG)
    (root / "System/Library/LaunchDaemons/ssh.plist").write_text(SSHD_JOB)
    _nix(root / "nix", release)
    _template(root / "template")


def _executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def _on_debian(name: str) -> str | None:
    for directory in ("bin", "sbin"):
        path = Path("/usr", directory, name)
        if path.exists():
            # Some lead through /etc/alternatives, which is not there in the Mac.
            target = path if not path.is_symlink() else path.resolve()
            return f"{DEBIAN}/{target.relative_to('/usr')}"
    return None


def _commands(root: Path) -> None:
    for directory, names in commands.REAL.items():
        for entry in names.split():
            name, _, other = entry.partition("=")
            tool = _on_debian(other or name)
            if tool is not None:
                (root / directory / name).symlink_to(tool)
    for path, (plain, valued) in commands.STRICT.items():
        name = Path(path).name
        tool = _on_debian(name)
        if tool is not None:
            text = _STRICT.format(debian=DEBIAN, hidden=HIDDEN, name=name, plain=plain, valued=valued, tool=tool)
            _executable(root / path, text)
    for path, script in commands.TRANSLATED.items():
        _executable(root / path, (HERE / "userland" / script).read_text())
    for path, module in commands.DOUBLES.items():
        if (HERE / "doubles" / f"{module}.py").exists():
            text = _DOUBLE.format(debian=DEBIAN, hidden=HIDDEN, module=module, name=Path(path).name)
            _executable(root / path, text)
    _executable(root / "sbin/launchd", _LAUNCHD.format(debian=DEBIAN, hidden=HIDDEN))


def _shells(root: Path) -> None:
    """sh is bash unless the Mac says otherwise; zsh reads /etc/zshrc, as a Mac's does, where Debian's reads /etc/zsh/zshrc."""
    (root / "bin/sh").symlink_to("/private/var/select/sh")  # where a Mac keeps the choice as well
    program = Path("/usr/bin/zsh").read_bytes()
    for name in (b"zshenv", b"zprofile", b"zshrc", b"zlogin", b"zlogout"):
        theirs, ours = b"/etc/zsh/" + name + b"\0", b"/etc/" + name + b"\0"
        program = program.replace(theirs, ours.ljust(len(theirs), b"\0"))
    (root / "bin/zsh").write_bytes(program)
    (root / "bin/zsh").chmod(0o755)
    (root / "usr/bin/nologin").symlink_to(f"{DEBIAN}/sbin/nologin")
    (root / "sbin/nologin").symlink_to(f"{DEBIAN}/sbin/nologin")


# What a real Mac's Nix has built in, and its nix.conf therefore does not say. Before the user's own NIX_CONFIG, which wins.
# An ordinary user's client hands its settings on to the daemon, which would complain about the restricted ones.
_NIX = """#!{debian}/bin/bash
name={name}
read -r system <{hidden}/run/system
ours="system = $system"
if [ "$EUID" = 0 ]; then
  ours="$ours
sandbox = false
substituters ="
fi
export NIX_CONFIG="$ours
${{NIX_CONFIG-}}"
export NIX_BIN_DIR={hidden}/nix/bin NIX_LIBEXEC_DIR={hidden}/nix/libexec
exec -a "$name" {command} "$@"
"""
_NIX_COMMANDS = (
    "nix nix-build nix-channel nix-collect-garbage nix-copy-closure nix-daemon nix-env nix-hash nix-instantiate"
    " nix-prefetch-url nix-shell nix-store"
)
_NIX_PROFILE = """# Sourced by the shells of every user.
if [ -n "${__ETC_PROFILE_NIX_SOURCED:-}" ]; then return; fi
__ETC_PROFILE_NIX_SOURCED=1
export __ETC_PROFILE_NIX_SOURCED
export NIX_PROFILES="/nix/var/nix/profiles/default $HOME/.nix-profile"
export PATH="$HOME/.nix-profile/bin:/nix/var/nix/profiles/default/bin:$PATH"
"""
_NIX_DAEMON = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
  <dict>
    <key>Label</key>
    <string>org.nixos.nix-daemon</string>
    <key>KeepAlive</key>
    <true/>
    <key>RunAtLoad</key>
    <true/>
    <key>ProgramArguments</key>
    <array>
      <string>/bin/sh</string>
      <string>-c</string>
      <string>/bin/wait4path {daemon} &amp;&amp; exec {daemon}</string>
    </array>
    <key>StandardErrorPath</key>
    <string>/var/log/nix-daemon.log</string>
    <key>StandardOutPath</key>
    <string>/dev/null</string>
    <key>SoftResourceLimits</key>
    <dict>
      <key>NumberOfFiles</key>
      <integer>1048576</integer>
    </dict>
  </dict>
</plist>
"""


def _nix(nix: Path, release: Release) -> None:
    """What the installer brings to /nix: a distribution's Nix behind wrappers that make it a Mac's."""
    wrappers = {name: nix / "bin" / name for name in _NIX_COMMANDS.split()}
    for name, path in (wrappers | {"build-remote": nix / "libexec/nix/build-remote"}).items():
        root = Path(HIDDEN, "debian") if release.own else RELEASE
        command = " ".join(release.command("usr/bin/nix", name, root))
        _executable(path, _NIX.format(debian=DEBIAN, hidden=HIDDEN, name=name, command=command))
    profile = nix / "etc/profile.d"
    profile.mkdir(parents=True)
    (profile / "nix-daemon.sh").write_text(_NIX_PROFILE)
    job = nix / "Library/LaunchDaemons/org.nixos.nix-daemon.plist"
    job.parent.mkdir(parents=True)
    job.write_text(_NIX_DAEMON.format(daemon="/nix/var/nix/profiles/default/bin/nix-daemon"))
    (nix / "version").write_text(f"{release.nix}\n")


def _template(template: Path) -> None:
    """The writable part of the disk, without what differs between Macs (host keys, names, users)."""
    directories = {
        "private/etc/ssh/ssh_config.d": 0o755, "private/etc/sudoers.d": 0o755, "private/etc/newsyslog.d": 0o755,
        "private/etc/paths.d": 0o755, "private/etc/pam.d": 0o755, "private/etc/ssl/certs": 0o755,
        "private/tmp": 0o1777, "private/var/tmp": 0o1777, "private/var/run": 0o755, "private/var/log": 0o755,
        "private/var/db/com.apple.xpc.launchd": 0o755, "private/var/empty": 0o755, "private/var/folders": 0o755,
        "private/var/root": 0o750, "private/var/select": 0o755,
        "Users/Shared": 0o1777, "Library/LaunchDaemons": 0o755, "Library/Keychains": 0o755, "Library/Preferences": 0o755,
        "Library/Application Support/com.apple.TCC": 0o755, "Applications": 0o755, "opt": 0o755, "Volumes": 0o755, "cores": 0o755,
        "usr/local/bin": 0o755,
    }  # fmt: skip
    for path, mode in directories.items():
        (template / path).mkdir(parents=True, exist_ok=True)
        (template / path).chmod(mode)
    for path, text in FILES.items():
        (template / path).parent.mkdir(parents=True, exist_ok=True)
        (template / path).write_text(text)
        (template / path).chmod(SUDOERS_MODE if "sudoers" in path else 0o644)
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    bundle = certificates.read_text() if certificates.exists() else ""
    (template / "private/etc/ssl/cert.pem").write_text(bundle)
