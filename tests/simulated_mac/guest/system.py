# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest's system image: a Debian release's Nix and sshd with their libraries, and busybox, laid out as NixOS is.

Commands are where they are on NixOS, in /run/current-system/sw/bin, and /bin holds nothing but `sh`: what only works
because a Debian path is there would not work in the real guest either.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..errors import run
from ..releases import Release

SOURCES = Path(__file__).parent / "system"

# The host's packages that the image is made from: its recipe together with the sources.
PACKAGES = {
    "nix-bin": "/usr/bin/nix",
    "openssh-server": "/usr/sbin/sshd",
    "openssh-client": "/usr/bin/ssh-keygen",
    "busybox-static": "/usr/bin/busybox",
    "dash": "/usr/bin/dash",
    "e2fsprogs": "/usr/sbin/mkfs.ext4",
}

_INSTALL = "Install it: apt-get install " + " ".join(PACKAGES)
_NIX_NAMES = ("nix-daemon", "nix-store", "nix-build", "nix-instantiate", "nix-collect-garbage", "nix-env")
_BUILD_USERS = 8
_EMPTY_DIRECTORIES = [
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "home",
    "nix",
    "root",
    "var/empty",
    "var/keys",
    "var/log",
    "etc/ssl/certs",
]
_SSHD_HELPERS = ("usr/lib/openssh/sshd-session", "usr/lib/openssh/sshd-auth")  # from OpenSSH 9.8 on
_BY_NAME = ("libnss_dns.so.2", "libnss_files.so.2", "libgcc_s.so.1")  # libraries that are loaded without being linked


def build(tree: Path, image: Path, release: Release, host_key: Path) -> None:
    """Lay the system out under `tree` and make a read-only ext4 image of it."""
    for each in _EMPTY_DIRECTORIES:
        (tree / each).mkdir(parents=True, exist_ok=True)
    _programs(tree, release)
    _settings(tree)
    _accounts(tree)
    _host_key(tree, host_key)
    _ext4(tree, image)


def _programs(tree: Path, release: Release) -> None:
    commands = tree / "system" / "sw" / "bin"
    commands.mkdir(parents=True)
    shutil.copy("/usr/bin/busybox", commands / "busybox")
    for applet in run(["/usr/bin/busybox", "--list"], remedy=_INSTALL).split():
        if applet not in ("busybox", "sh"):
            (commands / applet).symlink_to("busybox")
    for program in ("usr/bin/nix", "usr/sbin/sshd", "usr/bin/ssh-keygen"):
        _with_libraries(release, program, tree, commands / Path(program).name)
    for name in _NIX_NAMES:
        (commands / name).symlink_to("nix")
    for helper in _SSHD_HELPERS:
        if (release.root / helper).exists():
            _with_libraries(release, helper, tree, tree / helper)
    loader = tree / "lib64" / release.loader.name  # where every program asks for it
    loader.parent.mkdir(exist_ok=True)
    shutil.copy(release.loader, loader)
    (tree / "bin").mkdir()
    _with_libraries(release, "usr/bin/dash", tree, tree / "bin" / "sh")
    (commands / "sh").symlink_to("/bin/sh")
    (commands / "shutdown").unlink(missing_ok=True)
    _source("shutdown", commands / "shutdown", 0o755)


def _with_libraries(release: Release, program: str, tree: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copy(release.root / program, target)
    libraries = release.libraries(program)
    folders = {library.parent for library in libraries}
    named = [folder / name for folder in folders for name in _BY_NAME if (folder / name).exists()]
    for library in [*libraries, *named]:
        copy = tree / library.relative_to(release.root)
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, copy)


def _settings(tree: Path) -> None:
    etc = tree / "etc"
    for name in ("boot", "serve-ssh", "shares", "power"):
        _source(name, etc / name, 0o755)
    _source("inittab", etc / "inittab")
    _source("nix.conf", etc / "nix" / "nix.conf")
    _source("sshd_config", etc / "ssh" / "sshd_config")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
    (etc / "hosts").write_text("127.0.0.1 localhost builder\n")


def _source(name: str, target: Path, mode: int = 0o644) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SOURCES / name, target)
    target.chmod(mode)


def _accounts(tree: Path) -> None:
    users = ["root:x:0:0::/root:/bin/sh", "sshd:x:998:998::/var/empty:/bin/false"]
    users += ["builder:x:1000:1000::/home/builder:/bin/sh", "nobody:x:65534:65534::/var/empty:/bin/false"]
    builders = [f"nixbld{number}" for number in range(1, _BUILD_USERS + 1)]
    users += [f"{name}:x:{30000 + number}:30000::/var/empty:/bin/false" for number, name in enumerate(builders, 1)]
    groups = ["root:x:0:", "builder:x:1000:", "nogroup:x:65534:", "sshd:x:998:", f"nixbld:x:30000:{','.join(builders)}"]
    (tree / "etc" / "passwd").write_text("\n".join(users) + "\n")
    (tree / "etc" / "group").write_text("\n".join(groups) + "\n")
    shadow = tree / "etc" / "shadow"
    shadow.write_text("root:*:1::::::\nbuilder:*:1::::::\n")
    shadow.chmod(0o600)


def _host_key(tree: Path, host_key: Path) -> None:
    """All images' key, made with the first: which of them a Mac has is no part of its desired state."""
    public = host_key.with_name(f"{host_key.name}.pub")
    if not public.exists():
        made = tree.parent / host_key.name
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "root@builder", "-f", made], remedy=_INSTALL)
        made.replace(host_key)
        made.with_name(public.name).replace(public)
    for name in (host_key.name, f"{host_key.name}.pub"):
        shutil.copy(host_key.with_name(name), tree / "etc" / "ssh" / name)


def _ext4(tree: Path, image: Path) -> None:
    """A file system without a journal, never written to, with everything owned by root whoever makes it."""
    content = sum(path.lstat().st_size + 4096 for path in tree.rglob("*"))
    features = ["-O", "^has_journal,^resize_inode", "-m", "0", "-E", "root_owner=0:0,lazy_itable_init=0"]
    run(["mkfs.ext4", "-q", *features, "-d", tree, image, f"{content * 5 // 4 // 1024 + 8192}k"], remedy=_INSTALL)
    if os.geteuid() != 0:
        names = ["/" + str(path.relative_to(tree)) for path in tree.rglob("*")]
        orders = [f"set_inode_field {name} {field} 0" for name in names for field in ("uid", "gid")]
        listed = tree.parent / "owners"
        listed.write_text("\n".join(orders) + "\n")
        run(["debugfs", "-w", "-f", listed, image], remedy=_INSTALL)
