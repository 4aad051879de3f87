# SPDX-License-Identifier: GPL-3.0-or-later
"""The nix-installer, as a double: does to a simulated Mac what the real one does (`nix_installers §2`), through the doubles.

This file is what the lab's web server delivers as `nix-installer-aarch64-darwin`: `installer.py` puts the interpreter's line
and the version in front. It takes the steps of the real plan in their order, stops where the real one would, and leaves
the same files, users, jobs and receipt.
"""

from __future__ import annotations

import contextlib
import getopt
import io
import json
import os
import plistlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

VERSION = globals().get("VERSION", "0.0.0")

HIDDEN = Path("/.simulated-mac")
RECEIPT = Path("/nix/receipt.json")
ITSELF = Path("/nix/nix-installer")
VOLUME = "Nix Store"
DISK = "disk3"
DAEMON, STORE_MOUNT = "org.nixos.nix-daemon", "org.nixos.darwin-store"
HOOK = "systems.determinate.nix-installer.nix-hook"
JOBS = Path("/Library/LaunchDaemons")
DEFAULT_PROFILE = Path("/nix/var/nix/profiles/default")
APFS_UTIL = "/System/Library/Filesystems/apfs.fs/Contents/Resources/apfs.util"
FSTAB_MARK = "# nix-installer created volume labelled"
FSTAB_OPTIONS = "rw,noatime,noauto,nobrowse,nosuid,owners # Added by the Determinate Nix Installer"
GROUP, GROUP_ID, USERS = "nixbld", 350, 32
EC2_SINCE = (2, 36)  # the first release after those whose planner was seen without it

PROFILES = ("/etc/bashrc", "/etc/profile.d/nix.sh", "/etc/bash.bashrc", "/etc/zshrc", "/etc/zsh/zshrc")
PROFILE_BLOCK = """
# Nix
if [ -e '/nix/var/nix/profiles/default/etc/profile.d/nix-daemon.sh' ]; then
    . '/nix/var/nix/profiles/default/etc/profile.d/nix-daemon.sh'
fi
# End Nix

{eight_spaces}

""".replace("{eight_spaces}", " " * 8)
ZSHENV_BLOCK = """# Set up Nix only on SSH connections
# See: https://github.com/DeterminateSystems/nix-installer/pull/714
if [ -e '/nix/var/nix/profiles/default/etc/profile.d/nix-daemon.sh' ] && [ -n "${SSH_CONNECTION:-}" ] && [ "${SHLVL:-0}" -eq 1 ]; then
    . '/nix/var/nix/profiles/default/etc/profile.d/nix-daemon.sh'
fi
# End Nix
"""  # noqa: E501


class Failed(Exception):
    """An action did not work; the text says which command said what."""


# A bundle as Nix brings one: of nobody's certificate, whose key was never kept.
CERTIFICATES = """# nobody
-----BEGIN CERTIFICATE-----
MIIBODCB66ADAgECAhQqkFIFs5TSP6U6jKe7Aui+vG1MzDAFBgMrZXAwETEPMA0G
A1UEAwwGbm9ib2R5MCAXDTI2MTEyNTE5NDUyNVoYDzIxMjYxMTAxMTk0NTI1WjAR
MQ8wDQYDVQQDDAZub2JvZHkwKjAFBgMrZXADIQCUQwCNAuS/h5592gmGTJDcOL+t
FqnkrSRGao5PYn2t5KNTMFEwHQYDVR0OBBYEFBykH9mXAOCAxUeH1RD2Z2DzStfS
MB8GA1UdIwQYMBaAFBykH9mXAOCAxUeH1RD2Z2DzStfSMA8GA1UdEwEB/wQFMAMB
Af8wBQYDK2VwA0EAn1OJrEoC9E2Q6+8t3ajxy+JheT2UJbsWLtBtxHrdm7qBl/1D
654u2yCA2+CEQQxP4njH6Wrk06HtTTA6DU7tAg==
-----END CERTIFICATE-----
"""


def say(message: str, level: str = "INFO") -> None:
    """A log line, in JSON, on standard error."""
    record = {
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "level": level,
        "fields": {"message": message},
    }
    if LOGGER[0] == "json":
        print(json.dumps(record), file=sys.stderr)
    else:
        print(f"{level} {message}", file=sys.stderr)


LOGGER = ["compact"]


def world() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((HIDDEN / "world/world.json").read_text())
    return loaded


# Commands


def _doubles() -> dict[str, ModuleType]:
    """The two commands that are called hundreds of times run in this process: the same doubles, the same log."""
    sys.path.insert(0, str(HIDDEN / "python"))
    from doubles import dscl, dseditgroup  # type: ignore[import-not-found]

    return {"/usr/bin/dscl": dscl, "/usr/sbin/dseditgroup": dseditgroup}


def attempt(*command: str) -> tuple[int, str, str]:
    """Status, output and errors of a command."""
    module = _doubles().get(command[0])
    if module is None:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        return done.returncode, done.stdout, done.stderr
    from doubles import shared

    output = io.StringIO()
    errors = ""
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
        try:
            status = module.main(list(command[1:]))
        except shared.Exit as end:
            status, errors = end.status, end.err
            output.write(end.out)
    name = Path(command[0]).name
    shared.log("calls.jsonl", {"argv": [name, *command[1:]], "uid": os.getuid(), "status": status})
    return status, output.getvalue(), errors


def run(*command: str) -> str:
    """The output of a command that has to work."""
    status, output, errors = attempt(*command)
    if status:
        raise Failed(
            f"Failed to execute command with status {status} `{' '.join(command)}`, stdout: {output} stderr: {errors}"
        )
    return output


def volume(name: str) -> dict[str, Any]:
    """diskutil's view of a volume; empty when there is none."""
    status, output, _ = attempt("/usr/sbin/diskutil", "info", "-plist", name)
    return plistlib.loads(output.encode()) if status == 0 else {}


def replace(path: Path, text: str, mode: int = 0o644) -> None:
    beside = path.with_name(f"{path.name}.tmp")
    beside.write_text(text)
    beside.chmod(mode)
    beside.rename(path)


# 1. create_nix_volume


def create_nix_volume(settings: dict[str, Any]) -> None:
    synthetic = Path("/etc/synthetic.conf")
    lines = synthetic.read_text() if synthetic.exists() else ""
    if "nix" not in [line.split("\t")[0] for line in lines.splitlines()]:
        replace(synthetic, lines + "nix\n")
    for option in ("-t", "-B"):
        attempt(APFS_UTIL, option)
    if volume(VOLUME).get("MountPoint"):
        run("/usr/sbin/diskutil", "unmount", "force", VOLUME)
    listed = plistlib.loads(run("/usr/sbin/diskutil", "apfs", "list", "-plist").encode())
    if VOLUME not in [found["Name"] for container in listed["Containers"] for found in container["Volumes"]]:
        if (JOBS / f"{STORE_MOUNT}.plist").exists():
            raise Failed(
                f"An APFS volume labelled `{VOLUME}` does not exist, but there exists an fstab entry for it,"
                f" as well as a service file at `{JOBS}/{STORE_MOUNT}.plist`"
            )
        run("/usr/sbin/diskutil", "apfs", "addVolume", DISK, "APFS", VOLUME, "-nomount")
    about = volume(VOLUME)
    create_fstab_entry(about["VolumeUUID"])
    job = {
        "RunAtLoad": True,
        "Label": STORE_MOUNT,
        "ProgramArguments": ["/usr/sbin/diskutil", "mount", "-mountPoint", "/nix", about["VolumeUUID"].upper()],
    }
    install_job(STORE_MOUNT, plistlib.dumps(job, sort_keys=False), differs_is_error=True)
    bootstrap(STORE_MOUNT)
    run("/bin/launchctl", "kickstart", "-k", f"system/{STORE_MOUNT}")
    wait_for(lambda: volume("/nix").get("MountPoint") == "/nix", 15, "/nix is not mounted after 15 seconds")
    if not volume("/nix").get("GlobalPermissionsEnabled"):
        run("/usr/sbin/diskutil", "enableOwnership", "/nix")
    (Path("/nix/.fseventsd")).mkdir(exist_ok=True)
    Path("/nix/.fseventsd/no_log").touch()
    run("/usr/bin/chflags", "hidden", "/nix")


def create_fstab_entry(identifier: str) -> None:
    fstab = Path("/etc/fstab")
    lines = fstab.read_text().splitlines() if fstab.exists() else []
    kept = [line for line in lines if line.split()[1:2] != ["/nix"] and not line.startswith(FSTAB_MARK)]
    if not world()["identity"]["full_disk_access"]:
        # The rename over /etc/fstab is what TCC refuses (macos_commands §7).
        raise Failed("Renaming `/etc/fstab.tmp` to `/etc/fstab`: Operation not permitted (os error 1)")
    replace(fstab, "".join(f"{line}\n" for line in [*kept, f"UUID={identifier.lower()} /nix apfs {FSTAB_OPTIONS}"]))


def wait_for(done: Callable[[], bool], seconds: float, otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise Failed(otherwise)
        time.sleep(0.1)


# Jobs


def install_job(label: str, definition: bytes, *, differs_is_error: bool = False) -> None:
    path = JOBS / f"{label}.plist"
    if path.exists() and differs_is_error and plistlib.loads(path.read_bytes()) != plistlib.loads(definition):
        raise Failed(f"`{path}` exists with different content than planned, consider removing it with `rm {path}`")
    path.write_bytes(definition)
    path.chmod(0o644)


def loaded(label: str) -> bool:
    return attempt("/bin/launchctl", "print", f"system/{label}")[0] == 0


def bootstrap(label: str) -> None:
    if f'"{label}" => disabled' in run("/bin/launchctl", "print-disabled", "system"):
        run("/bin/launchctl", "enable", f"system/{label}")
    if loaded(label):
        run("/bin/launchctl", "bootout", f"system/{label}")
    errors = ""
    for _ in range(10):
        status, _, errors = attempt("/bin/launchctl", "bootstrap", "system", str(JOBS / f"{label}.plist"))
        if status == 0 or loaded(label):
            return
        time.sleep(0.5)
    raise Failed(f"Failed to bootstrap `{label}`: {errors}")


# 2. provision_nix, 5. configure_nix


def provision_nix(settings: dict[str, Any]) -> None:
    """Brings what the real one has packed into itself: here the distribution's Nix, as a path in the store."""
    run("/usr/sbin/chown", "-R", "root:wheel", "/nix")
    shutil.rmtree("/nix/temp-install-dir", ignore_errors=True)
    shutil.copytree(HIDDEN / "nix", "/nix/temp-install-dir/nix", symlinks=True)
    for path, mode in (
        ("var", 0o755), ("var/log", 0o755), ("var/log/nix", 0o755), ("var/log/nix/drvs", 0o755), ("var/nix", 0o755),
        ("var/nix/db", 0o755), ("var/nix/gcroots", 0o755), ("var/nix/gcroots/per-user", 0o1777),
        ("var/nix/profiles", 0o755), ("var/nix/profiles/per-user", 0o1777), ("var/nix/temproots", 0o755),
        ("var/nix/userpool", 0o755), ("var/nix/daemon-socket", 0o755),
    ):  # fmt: skip
        Path("/nix", path).mkdir(exist_ok=True)
        Path("/nix", path).chmod(mode)
    Path("/nix/store").mkdir(exist_ok=True)


def configure_nix(settings: dict[str, Any]) -> None:
    version = (HIDDEN / "nix/version").read_text().strip()
    named = Path(f"/nix/temp-install-dir/nix-{version}")
    if not named.exists():
        Path("/nix/temp-install-dir/nix").rename(named)
        (named / "version").unlink()
        (named / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
        (named / "etc/ssl/certs/ca-bundle.crt").write_text(CERTIFICATES)
    store_path = run(str(HIDDEN / "nix/bin/nix-store"), "--add", str(named)).strip()
    generation = DEFAULT_PROFILE.with_name("default-1-link")
    for link, target in ((generation, store_path), (DEFAULT_PROFILE, generation.name)):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    run("/usr/sbin/chown", "root:nixbld", "/nix/store")
    Path("/nix/store").chmod(0o1775)
    write_nix_conf(settings)
    if settings["modify_profile"]:
        add_profiles()


def write_nix_conf(settings: dict[str, Any]) -> None:
    directory = Path("/etc/nix")
    directory.mkdir(exist_ok=True)
    directory.chmod(0o755)
    features = "nix-command flakes" if settings["enable_flakes"] else ""
    lines = [
        "# Generated by https://github.com/NixOS/nix-installer",
        *([f"extra-experimental-features = {features}"] if features else []),
        "always-allow-substitutes = true",
        "bash-prompt-prefix = (nix:$name)\\040",
        "max-jobs = auto",
        "extra-nix-path = nixpkgs=flake:nixpkgs",
        "",
        "!include nix.custom.conf",
    ]
    replace(directory / "nix.conf", "\n".join(lines) + "\n")
    custom = directory / "nix.custom.conf"
    extra = [line for given in settings["extra_conf"] for line in given["String"].splitlines()]
    if settings["ssl_cert_file"]:
        extra.append(f"ssl-cert-file = {settings['ssl_cert_file']}")
    if not custom.exists():
        head = "# Written by the installer, from the options that it was given.\n\n"
        replace(custom, head + "".join(f"{line}\n" for line in extra))


def add_profiles() -> None:
    for name in PROFILES:
        prepend(Path(name), PROFILE_BLOCK)


def prepend(path: Path, block: str) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    text = path.read_text() if path.exists() else ""
    if not path.is_symlink() and block not in text:
        replace(path, block + text)


# The other actions


def create_users_and_group(settings: dict[str, Any]) -> None:
    users, groups = world()["users"], world()["groups"]
    if GROUP not in groups:
        run("/usr/sbin/dseditgroup", "-o", "create", "-r", "Nix build group for nix-daemon", "-i", str(GROUP_ID), GROUP)
    elif groups[GROUP]["PrimaryGroupID"] != [str(GROUP_ID)]:
        raise Failed(
            f"Group `{GROUP}` existed but had a different gid ({groups[GROUP]['PrimaryGroupID'][0]}) than planned ({GROUP_ID})"
        )
    for number in range(1, USERS + 1):
        name, uid = f"_nixbld{number}", str(GROUP_ID + number)
        if users.get(name, {}).get("UniqueID", [uid]) != [uid]:
            raise Failed(
                f"User `{name}` existed but had a different uid ({users[name]['UniqueID'][0]}) than planned ({uid})"
            )
        create_user(name, uid)


def create_user(name: str, uid: str) -> None:
    record = f"/Users/{name}"
    attributes = (
        ("UniqueID", uid), ("PrimaryGroupID", str(GROUP_ID)), ("NFSHomeDirectory", "/var/empty"),
        ("UserShell", "/sbin/nologin"), ("RealName", name), ("IsHidden", "1"),
    )  # fmt: skip
    for words in [(), *attributes]:
        for _ in range(10):
            status, _, errors = attempt("/usr/bin/dscl", ".", "-create", record, *words)
            if status == 140 and "-14988 (eNotYetImplemented)" in errors:
                continue
            break
        if status:
            raise Failed(f"Failed to execute `dscl . -create {record} {' '.join(words)}`: {errors}")
    if attempt("/usr/sbin/dseditgroup", "-o", "checkmember", "-m", name, GROUP)[0] == 0:
        members = plistlib.loads(run("/usr/bin/dscl", "-plist", ".", "-read", f"/Groups/{GROUP}").encode())
        if name in members.get("dsAttrTypeStandard:GroupMembership", []):
            return
    run("/usr/bin/dscl", ".", "-append", f"/Groups/{GROUP}", "GroupMembership", name)
    run("/usr/sbin/dseditgroup", "-o", "edit", "-a", name, GROUP)


def set_tmutil_exclusions(settings: dict[str, Any]) -> None:
    for path in ("/nix/store", "/nix/var"):
        status, _, _ = attempt("/usr/bin/tmutil", "addexclusion", path)
        if status:
            say(f"`tmutil addexclusion {path}` did not work; going on", "WARN")


def configure_remote_building(settings: dict[str, Any]) -> None:
    if settings["modify_profile"]:
        prepend(Path("/etc/zshenv"), ZSHENV_BLOCK)


def create_nix_hook_service(settings: dict[str, Any]) -> None:
    # Not bootstrapped: launchctl knows it only after a reboot.
    command = "/bin/wait4path /nix/nix-installer && /nix/nix-installer repair"
    job = {
        "Label": HOOK,
        "ProgramArguments": ["/bin/sh", "-c", command],
        "KeepAlive": {"SuccessfulExit": False},
        "StandardErrorPath": "/nix/.nix-installer-hook.err.log",
        "StandardOutPath": "/nix/.nix-installer-hook.out.log",
    }
    install_job(HOOK, plistlib.dumps(job, sort_keys=False))


def create_upstream_init_service(settings: dict[str, Any]) -> None:
    definition = (DEFAULT_PROFILE / f"Library/LaunchDaemons/{DAEMON}.plist").read_bytes()
    install_job(DAEMON, definition)
    bootstrap(DAEMON)
    run("/bin/launchctl", "kickstart", "-k", f"system/{DAEMON}")


def remove_directory(settings: dict[str, Any]) -> None:
    shutil.rmtree("/nix/temp-install-dir", ignore_errors=True)


ACTIONS = (
    create_nix_volume,
    provision_nix,
    create_users_and_group,
    set_tmutil_exclusions,
    configure_nix,
    configure_remote_building,
    create_nix_hook_service,
    create_upstream_init_service,
    remove_directory,
)


# install


def install(words: list[str]) -> int:
    settings = read_settings(words)
    if os.geteuid() != 0:
        say("the simulated installer does not call sudo by itself: run it as root", "ERROR")
        return 1
    refuse_unsuitable()
    if RECEIPT.exists():
        return met_receipt(settings)
    states = {action.__name__: "Uncompleted" for action in ACTIONS}
    faults = world()["faults"]
    for number, action in enumerate(ACTIONS, start=1):
        name = action.__name__
        states[name] = "Progress"
        say(f"Step: {name}")
        try:
            if number == int(faults.get("installer-killed-at", 0)):
                os.kill(os.getpid(), signal.SIGKILL)
            if number == int(faults.get("installer-fails-at", 0)):
                raise Failed("failed, because the test wanted it to")
            action(settings)
        except Failed as error:
            say(f"Error executing action {name}: {error}", "ERROR")
            write_receipt(states, settings)
            return 1
        states[name] = "Completed"
    write_receipt(states, settings)
    if Path(sys.argv[0]).resolve() != ITSELF:
        shutil.copyfile(sys.argv[0], ITSELF)
        ITSELF.chmod(0o755)
    self_test()
    say("Nix was installed successfully!")
    return 0


def refuse_unsuitable() -> None:
    # The real one asks the kernel directly.
    identity = world()["identity"]
    if identity["rosetta"]:
        fatal("The installer cannot run under Rosetta 2")
    if int(identity["version"].split(".")[0]) < 14:
        fatal(f"macOS 14.0 or newer is required, this is {identity['version']}")
    run("/usr/bin/profiles", "-P", "-o", "stdout-xml")


def fatal(text: str) -> NoReturn:
    say(text, "ERROR")
    sys.exit(1)


def read_settings(words: list[str]) -> dict[str, Any]:
    """As the command line says; a wrong one ends with status 2, as clap does."""
    if words[:1] == ["macos"]:
        words = words[1:]
    names = ["no-confirm", "logger=", "enable-flakes", "extra-conf=", "ssl-cert-file=", "no-modify-profile", "explain"]
    try:
        options, rest = getopt.getopt(words, "v", names)
    except getopt.GetoptError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    given = [name for name, _ in options]
    if rest or "--no-confirm" not in given:
        print("error: only an unattended `install macos --no-confirm` is simulated", file=sys.stderr)
        sys.exit(2)
    values = dict(options)
    LOGGER[0] = values.get("--logger", LOGGER[0])
    return {
        "modify_profile": "--no-modify-profile" not in given,
        "enable_flakes": "--enable-flakes" in given,
        "extra_conf": [{"String": value} for name, value in options if name == "--extra-conf"],
        "ssl_cert_file": values.get("--ssl-cert-file"),
        "add_channel": False,
        "force": False,
        "nix_build_group_name": GROUP,
        "nix_build_group_id": GROUP_ID,
        "nix_build_user_prefix": "_nixbld",
        "nix_build_user_count": USERS,
        "nix_build_user_id_base": GROUP_ID,
        "skip_nix_conf": False,
    }


def met_receipt(settings: dict[str, Any]) -> int:
    """A receipt that is there: nothing is done, whatever it says (`nix_installers §2.6`)."""
    try:
        receipt = json.loads(RECEIPT.read_text())
        version, planner = receipt["version"], receipt["planner"]
    except (ValueError, KeyError) as error:
        say(f"Unable to parse existing receipt `{RECEIPT}`: {error}", "ERROR")
        return 1
    if version.split(".")[0] != VERSION.split(".")[0]:
        say(f"Existing plan version {version} is incompatible with this installer {VERSION}", "ERROR")
        return 1
    if planner["planner"] != "macos":
        say(f"Found existing plan in `{RECEIPT}` which was created by a different planner", "ERROR")
        return 1
    if planner["settings"] != settings:
        say(
            f"Found existing plan in `{RECEIPT}` which used different planner settings, try uninstalling it first",
            "ERROR",
        )
        return 1
    say(
        f"Found existing plan in `{RECEIPT}`, with the same settings, already completed. Try uninstalling (`{ITSELF} uninstall`)"
    )
    return 0


def write_receipt(states: dict[str, str], settings: dict[str, Any]) -> None:
    actions = [{"action": {"action_name": name}, "state": state} for name, state in states.items()]
    # As the command line had it: which disk it is was found out later.
    planner: dict[str, Any] = {
        "planner": "macos",
        "settings": settings,
        "encrypt": False,
        "case_sensitive": False,
        "volume_label": VOLUME,
        "root_disk": None,
    }
    if tuple(int(part) for part in VERSION.split(".")[:2]) >= EC2_SINCE:
        planner["use_ec2_instance_store"] = False
    try:
        replace(RECEIPT, json.dumps({"version": VERSION, "actions": actions, "planner": planner}, indent=2) + "\n")
    except OSError as error:
        say(f'Error saving receipt: RecordingReceipt("/nix/receipt.tmp", {error!r})', "ERROR")


def self_test() -> None:
    """A warning when a shell does not find a Nix that works, or its daemon does not answer."""
    ping = (
        f"{DEFAULT_PROFILE}/bin/nix",
        "--extra-experimental-features",
        "nix-command",
        "store",
        "ping",
        "--store",
        "daemon",
    )
    try:
        wait_for(lambda: attempt(*ping)[0] == 0, 10, "the Nix daemon does not answer")
    except Failed as error:
        say(f"Self test failed: {error}", "WARN")
    for shell in ("/bin/sh", "/bin/bash", "/bin/zsh"):
        status, _, errors = attempt(shell, "-lc", f"{DEFAULT_PROFILE}/bin/nix --version")
        if status:
            say(f"Self test with {shell} failed: {errors}", "WARN")


# uninstall


def uninstall(words: list[str]) -> int:
    if words not in (["--no-confirm"], ["--no-confirm", str(RECEIPT)]):
        print("error: only `uninstall --no-confirm` is simulated", file=sys.stderr)
        return 2
    if os.geteuid() != 0 or not RECEIPT.exists():
        say(f"Reading receipt `{RECEIPT}`: No such file or directory", "ERROR")
        return 1
    if Path(sys.argv[0]).resolve() == ITSELF.resolve():
        # It lies on the volume that goes: copies itself elsewhere and starts again from there.
        directory = Path(tempfile.mkdtemp(prefix="nix-installer-"))
        copied = directory / "nix-installer"
        shutil.copyfile(ITSELF, copied)
        copied.chmod(0o755)
        os.chdir("/")
        os.execv(copied, [str(copied), "uninstall", "--no-confirm"])
    if loaded("org.nixos.activate-system"):
        say("nix-darwin installation detected, it must be removed before uninstalling Nix", "ERROR")
        return 1
    for label in (DAEMON, HOOK):
        remove_job(label)
    for name in (*PROFILES, "/etc/zshenv"):
        take_out(Path(name), ZSHENV_BLOCK if name == "/etc/zshenv" else PROFILE_BLOCK)
    for path in ("/nix/store", "/nix/var"):
        attempt("/usr/bin/tmutil", "removeexclusion", path)
    remove_users()
    shutil.rmtree("/etc/nix", ignore_errors=True)
    remove_volume()
    say("Nix was uninstalled successfully!")
    return 0


def remove_job(label: str) -> None:
    if loaded(label):
        run("/bin/launchctl", "bootout", f"system/{label}")
        wait_for(lambda: not loaded(label), 20, f"{label} did not end")
    (JOBS / f"{label}.plist").unlink(missing_ok=True)


def take_out(path: Path, block: str) -> None:
    if path.is_symlink() or not path.exists():
        return
    text = path.read_text().replace(block, "", 1)
    if text:
        replace(path, text)
    else:
        path.unlink()


def remove_users() -> None:
    for number in range(1, USERS + 1):
        status, _, errors = attempt("/usr/bin/dscl", ".", "-delete", f"/Users/_nixbld{number}")
        if status == 40:
            say(f"_nixbld{number} cannot be deleted: {errors}", "WARN")
    attempt("/usr/bin/dscl", ".", "-delete", f"/Groups/{GROUP}")


def remove_volume() -> None:
    remove_job(STORE_MOUNT)
    for _ in range(10):
        status, _, errors = attempt("/usr/sbin/diskutil", "apfs", "deleteVolume", VOLUME)
        if status == 0:
            break
        time.sleep(0.2)
    else:
        fatal(f"The volume cannot be deleted: {errors}")
    attempt(
        "/usr/bin/security", "delete-generic-password", "-a", VOLUME, "-s", VOLUME, "/Library/Keychains/System.keychain"
    )
    fstab = Path("/etc/fstab")
    kept = [line for line in fstab.read_text().splitlines() if line.split()[1:2] != ["/nix"]] if fstab.exists() else []
    keep_or_remove(fstab, kept)
    synthetic = Path("/etc/synthetic.conf")
    keep_or_remove(synthetic, [line for line in synthetic.read_text().splitlines() if line != "nix"])


def keep_or_remove(path: Path, lines: list[str]) -> None:
    if lines:
        replace(path, "".join(f"{line}\n" for line in lines))
    else:
        path.unlink(missing_ok=True)


def main() -> int:
    words = sys.argv[1:]
    match words:
        case ["--version"]:
            print(f"nix-installer {VERSION}")
            return 0
        case ["install", *rest]:
            return install(rest)
        case ["uninstall", *rest]:
            return uninstall(rest)
        case ["repair"] | ["repair", "hooks"] | ["repair", "--no-confirm"]:
            add_profiles()
            prepend(Path("/etc/zshenv"), ZSHENV_BLOCK)
            return 0
        case ["self-test"]:
            self_test()
            return 0
        case ["plan", *_]:
            print(json.dumps({"version": VERSION, "actions": [action.__name__ for action in ACTIONS]}))
            return 0
    print(f"error: unrecognized subcommand {words[:1]}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
