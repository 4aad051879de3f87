# SPDX-License-Identifier: GPL-3.0-or-later
"""Nix and OpenSSH of other Debian releases, beside the machine's own packages, which stay as they are.

    release("2.34").command("usr/bin/nix", "nix-build")     the words that start it; `newest` is what can be had

apt fetches the packages and what they depend on from the machine's own mirror, with lists and a state of its own (an empty
one, so that its solver takes the libraries too). They are unpacked into the cache once, and started through their own
dynamic loader, which finds their own libraries. Without a mirror what is there already has to do. What was unpacked stays
until its folder is deleted, so that tests do not change by themselves.
"""

from __future__ import annotations

import fcntl
import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import GuestError, run

SUITES = ("bookworm", "trixie", "sid")  # with Nix 2.8, 2.26, and whatever is newest
DEFAULT = "newest"
PACKAGES = ("nix-bin", "openssh-server", "openssh-client", "dash")
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_REMEDY = "Run `apt-get update` as root, and see that this machine reaches a Debian mirror."
_MERGED = ("bin", "sbin", "lib", "lib64")  # which older packages ship outside of /usr


@dataclass(frozen=True, slots=True)
class Release:
    """Where a Debian release's programs are: `root` is / for the machine's own."""

    nix: str
    root: Path
    name: str

    @property
    def own(self) -> bool:
        return self.root == Path("/")

    @property
    def loader(self) -> Path:
        """Its dynamic loader, in the folder of its libraries."""
        found = sorted(self.root.glob("usr/lib/*-linux-gnu/ld-linux-*.so.*"))
        if not found:
            raise GuestError(f"wanted a dynamic loader in {self.root}, there is none: delete that folder and try again")
        return found[0]

    def command(self, program: str, name: str, root: Path | None = None) -> tuple[str, ...]:
        """The words that start `usr/bin/...` under the name `name`, where `root` (or its own) is seen."""
        root = root or self.root
        if self.own:  # where `exec -a` gives the name
            return (str(root / program),)
        loader = root / self.loader.relative_to(self.root)
        return (str(loader), "--library-path", str(loader.parent), "--argv0", name, str(root / program))

    def libraries(self, program: str) -> list[Path]:
        """The libraries that a program is linked with, as paths on this machine."""
        path = str(self.root / program)
        order = [str(self.loader), "--library-path", str(self.loader.parent), "--list", path]
        listed = run(["ldd", path] if self.own else order, remedy=_REMEDY)
        found = [Path(path) for path in re.findall(r"(/\S+\.so\S*)", listed)]
        return [path for path in found if path.is_relative_to(self.root)]


def key(version: str) -> tuple[int, ...]:
    """A Nix version, to compare: 2.26.3 is (2, 26, 3)."""
    found = re.match(r"[\d.]+", version)
    return tuple(int(number) for number in found[0].split(".") if number) if found else ()


def release(version: str = "", report: Callable[[str], None] = lambda line: None) -> Release:
    """The release whose Nix is of that version, as `2.34` or `2.34.8`, or `own` or `newest`; BUILDERFLEET_NIX without one.

    GuestError says which versions there are, or why none could be fetched.
    """
    version = version or os.environ.get("BUILDERFLEET_NIX", DEFAULT)
    return own() if version == "own" else _newest(report) if version == "newest" else _release(version, report)


@functools.lru_cache
def _newest(report: Callable[[str], None]) -> Release:
    mine = own()
    try:
        newest = _unpacked(SUITES[-1], report)
    except GuestError as error:
        had = max([mine, *_kept().values()], key=lambda each: key(each.nix))
        report(f"taking Nix {had.nix}, which is here, because a newer one cannot be had: {error}")
        return had
    return newest if key(newest.nix) > key(mine.nix) else mine


@functools.lru_cache
def _release(version: str, report: Callable[[str], None]) -> Release:
    wanted = key(version)
    seen = {"this machine": own(), **_kept()}
    for each in seen.values():
        if key(each.nix)[: len(wanted)] == wanted:
            return each
    offered = {each.nix for each in seen.values()}
    for suite in reversed(SUITES):
        if suite not in seen:
            offer = _offered(suite)
            offered.add(offer)
            if key(offer)[: len(wanted)] == wanted:
                return _unpacked(suite, report)
    raise GuestError(f"wanted Nix {version}; what can be had is {', '.join(sorted(offered, key=key))}")


def own() -> Release:
    """The machine's own."""
    said = run(["nix", "--version"], remedy="Install nix-bin.").split()[-1]
    return Release(said, Path("/"), "own")


def _folder() -> Path:
    given = os.environ.get("BUILDERFLEET_CACHE")
    folder = (Path(given) if given else Path.home() / ".cache" / "builderfleet") / "releases"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _kept() -> dict[str, Release]:
    """The releases that are unpacked already."""
    found = {suite: _folder() / suite for suite in SUITES}
    return {suite: _at(folder) for suite, folder in found.items() if (folder / "nix").exists()}


def _at(folder: Path) -> Release:
    nix, name = (folder / "nix").read_text().split()
    return Release(nix, folder / "root", name)


def _unpacked(suite: str, report: Callable[[str], None]) -> Release:
    """A suite's release, fetched unless it is there: complete, or not there at all."""
    folder = _folder() / suite
    with (_folder() / f".{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "nix").exists():
            report(f"fetching Nix and OpenSSH of Debian {suite} (about 60 MB, once)")
            with tempfile.TemporaryDirectory(prefix=".building-", dir=_folder()) as building:
                scratch = Path(building)
                packages = _fetched(suite, scratch)
                made = scratch / "made"
                _unpack(packages, made / "root")
                versions = sorted(package.name for package in packages)
                found = Release("", made / "root", suite)
                said = run([*found.command("usr/bin/nix", "nix"), "--version"], remedy=_REMEDY).split()[-1]
                ssh = next(name.split("_")[1].replace("%3a", ":") for name in versions if name.startswith("openssh-s"))
                (made / "nix").write_text(f"{said} {suite}-{said}-{ssh}\n")
                made.chmod(0o755)
                shutil.rmtree(folder, ignore_errors=True)
                made.rename(folder)
    return _at(folder)


def _unpack(packages: list[Path], root: Path) -> None:
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for package in packages:
        # dpkg-deb -x would replace the links by directories
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as archive:
            order = [
                "tar",
                "-x",
                "--keep-directory-symlink",
                "--no-same-owner",
                "--exclude=./usr/share/*",
                "-C",
                str(root),
            ]
            subprocess.run(order, stdin=archive.stdout, check=True)
        if archive.returncode:
            raise GuestError(f"dpkg-deb could not read {package.name}. {_REMEDY}")


def _apt(suite: str, state: Path) -> list[str]:
    """apt's options for a suite by itself, with a state of its own; its lists are fetched."""
    for name in ("lists/partial", "archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    signed = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
    (state / "sources.list").write_text(f"deb {signed}{_mirror()} {suite} main\n")
    settings = {
        "Dir::State": state, "Dir::State::lists": state / "lists", "Dir::State::status": state / "status",
        "Dir::Cache": state, "Dir::Etc::sourcelist": state / "sources.list", "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null", "Acquire::Languages": "none", "Debug::NoLocking": "1",
        "APT::Install-Recommends": "false", "APT::Get::List-Cleanup": "false", "Acquire::Retries": "3",
        # The user that apt drops its rights to may not enter a private cache.
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
    }  # fmt: skip
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    run(["apt-get", *options, "-qq", "--error-on=any", "update"], remedy=_REMEDY)
    return options


def _mirror() -> str:
    """Where this machine's own Debian packages come from."""
    targets = run(
        ["apt-get", "indextargets", "--format", "$(LABEL)|$(COMPONENT)|$(REPO_URI)", "Created-By: Packages"],
        remedy=_REMEDY,
    )
    found = [line.split("|")[2] for line in targets.splitlines() if line.startswith("Debian|main|")]
    if not found:
        raise GuestError(f"wanted a Debian mirror in this machine's package sources, there is none. {_REMEDY}")
    return found[0]


def _offered(suite: str) -> str:
    """The version of Nix that a suite has."""
    with tempfile.TemporaryDirectory(prefix=".asking-", dir=_folder()) as state:
        said = run(["apt-cache", *_apt(suite, Path(state)), "show", "nix-bin"], remedy=_REMEDY)
    found = re.search(r"^Version: (\S+)$", said, re.MULTILINE)
    if found is None:
        raise GuestError(f"wanted nix-bin in Debian {suite}, there is none. {_REMEDY}")
    return found[1].partition("+")[0]


def _fetched(suite: str, state: Path) -> list[Path]:
    """The packages with all that they depend on."""
    options = _apt(suite, state)
    run(["apt-get", *options, "-y", "-qq", "--download-only", "install", *PACKAGES], remedy=_REMEDY)
    return sorted((state / "archives").glob("*.deb"))
