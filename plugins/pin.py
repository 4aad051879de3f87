# SPDX-License-Identifier: GPL-3.0-or-later
"""`builderfleet pin`: resolves the installer and the nixpkgs to versions and hashes that are always the same, and writes
them into the variables.

What is fetched is trusted this once; from then on every Mac gets exactly these bytes, or refuses.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import inventory_file
from .edited_file import EditedFile, FileProblem
from .inventory_file import EditError
from .plugin_utils.outcome import Outcome
from .plugin_utils.variables import VARIABLES, values

ABOUT = "Resolve the installer and nixpkgs, and pin their versions and hashes in the variables."
NIXPKGS_URL = "https://github.com/NixOS/nixpkgs"
VERSION, SOURCE, SHA256 = "nix_installer_version", "nix_installer_source", "nix_installer_sha256"
NIXPKGS, RELEASE = "linux_builder_nixpkgs", "linux_builder_nixpkgs_release"

_SILENCE_LIMIT = 30  # seconds that a server may say nothing
_GIT_LIMIT = 120
_NIX_LIMIT = 900  # it fetches all of nixpkgs
_PIECE = 1 << 20
_REVISION = re.compile(r"[0-9a-f]{40}")
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]*")
_DEFAULTS: Mapping[str, str] = {variable.name: variable.default for variable in VARIABLES}


class PinProblem(Exception):
    """Something could not be resolved. The text says what was wanted, where, what was seen, and what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--installer", metavar="VERSION", help="pin this release of the installer")
    parser.add_argument("--nixpkgs", metavar="BRANCH", help="pin this branch, tag or revision of nixpkgs")
    parser.add_argument(
        "--nixpkgs-url", default=NIXPKGS_URL, metavar="URL", help="a mirror of it (default: %(default)s)"
    )
    parser.add_argument("--file", type=Path, default=Path("inventory/group_vars/macs.yml"), help="default: %(default)s")
    parser.add_argument("--dry", action="store_true", help="show what would be written, and write nothing")


def run(given: argparse.Namespace) -> int:
    """Run the command; the return value is its exit code. Without a name of either, what is pinned is resolved anew."""
    try:
        file = EditedFile.read(given.file)
        pins = Pins(file.text)
        if given.installer or not given.nixpkgs:
            pins.installer(given.installer)
        if given.nixpkgs or not given.installer:
            pins.nixpkgs(given.nixpkgs, given.nixpkgs_url)
        after = pins.edited()
        print(file.diff(after), end="")
        if after != file.text and not given.dry:
            file.replace(after)
    except EditError as problem:
        return _failed(f"{given.file}: {problem}")
    except (FileProblem, PinProblem) as problem:
        return _failed(str(problem))
    changed = Outcome.WOULD_CHANGE if given.dry else Outcome.CHANGED
    outcome = Outcome.CONVERGED if after == file.text else changed
    print("\n".join([f"{outcome.word}: {given.file}", *(f"  {note}" for note in pins.notes)]))
    return outcome.code


def _failed(text: str) -> int:
    print(f"failed: {text}", file=sys.stderr)
    return Outcome.FAILED.code


@dataclass(slots=True)
class Pins:
    """The text of a file of variables, what is to be set in it, and what to say about that."""

    text: str
    wanted: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def now(self, name: str) -> str:
        """A variable as the file has it, or its default. Raises PinProblem when it cannot be right."""
        value = inventory_file.value_of(self.text, name)
        value = _DEFAULTS[name] if value is None else value
        _check({name: value})
        return value

    def edited(self) -> str:
        """The text with everything set. Raises PinProblem and EditError."""
        _check(self.wanted)
        text = self.text
        for name, value in self.wanted.items():
            text = inventory_file.set_variable(text, name, value)
        return text

    def installer(self, version: str | None) -> None:
        """Pin an installer: this release, or the one of now."""
        if version is not None:
            _check({VERSION: version})
        pinned = self.now(VERSION)
        version = version or pinned
        url = self.now(SOURCE).replace("{version}", version)
        if url.startswith("/"):
            raise PinProblem(
                f"{SOURCE} is {url}, a file that only the Macs have. Hash it on one of them (shasum -a 256), and set "
                f"{SHA256} by hand"
            )
        sha256 = sha256_of(url, _report)
        before = inventory_file.value_of(self.text, SHA256)
        before = _DEFAULTS[SHA256] if before is None else before
        if version == pinned and before not in ("", sha256):
            self.notes.append(
                f"warning: {url} is not what was pinned for {version}, and a release does not change. Find out why "
                "before you roll it out"
            )
        self.wanted |= {VERSION: version, SHA256: sha256}
        self.notes.append(f"installer {version}: SHA-256 {sha256} of {url}")

    def nixpkgs(self, reference: str | None, url: str) -> None:
        """Pin a nixpkgs: a branch, a tag or a revision, or what the branch of the release of now is at."""
        release = self.now(RELEASE)
        if reference is None and not release:
            raise PinProblem(f"{RELEASE} is empty, so it does not say which branch to resolve: name one with --nixpkgs")
        reference = reference or f"nixpkgs-{release}-darwin"
        name, revision = resolve(url, reference)
        flake = flake_of(url, name, revision)
        pinned = inventory_file.value_of(self.text, NIXPKGS)
        pinned = _DEFAULTS[NIXPKGS] if pinned is None else pinned
        if pinned.startswith((f"{flake}?narHash=", f"{flake}&narHash=")):
            self.wanted[NIXPKGS] = pinned
        else:
            self.wanted[NIXPKGS] = self._with_hash(flake)
        self.wanted[RELEASE] = self._release(reference, release if self.wanted[NIXPKGS] == pinned else "")
        self.notes.append(f"nixpkgs {reference}: revision {revision} of {url}")

    def _with_hash(self, flake: str) -> str:
        try:
            hashed = urllib.parse.quote(nar_hash(flake), safe="")
        except PinProblem as problem:
            self.notes.append(f"narHash was left out ({problem}): the revision alone locks it as well")
            return flake
        return f"{flake}{'&' if '?' in flake else '?'}narHash={hashed}"

    def _release(self, reference: str, otherwise: str) -> str:
        if match := re.search(r"(?<!\d)\d\d\.\d\d(?!\d)", reference):
            return match[0]
        if not otherwise:
            self.notes.append(
                f"{RELEASE} is emptied, because {reference} does not tell the release: set it by hand if there are "
                "Intel Macs, which are refused without it"
            )
        return otherwise


def _check(given: Mapping[str, str]) -> None:
    _, wrong = values(given)
    if wrong:
        raise PinProblem("; ".join(map(str, wrong)))


# --- the installer -------------------------------------------------------------------------------------------------


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def sha256_of(url: str, report: Callable[[str], None]) -> str:
    """The SHA-256 of what a URL delivers, as a stream. Raises PinProblem."""
    digest, size = hashlib.sha256(), 0
    report(f"fetching {url}")
    try:
        with urllib.request.urlopen(url, timeout=_SILENCE_LIMIT) as response:
            if "html" in response.headers.get_content_type():
                raise PinProblem(_unfetched(url, "a web page, as proxies and login portals send"))
            wanted = int(response.headers.get("Content-Length", -1))
            for piece in _pieces(response):
                digest.update(piece)
                if (size + len(piece)) // (10 * _PIECE) > size // (10 * _PIECE):
                    report(f"  {(size + len(piece)) / 1e6:.0f} MB{f' of {wanted / 1e6:.0f}' if wanted > 0 else ''}")
                size += len(piece)
    except urllib.error.HTTPError as error:
        raise PinProblem(_unfetched(url, f"HTTP {error.code} {error.reason}")) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise PinProblem(_unfetched(url, str(error) or type(error).__name__)) from error
    if size == 0 or (wanted >= 0 and size != wanted):
        raise PinProblem(_unfetched(url, f"{size} bytes" + (f" of {wanted}" if wanted >= 0 else "")))
    report(f"  {size / 1e6:.1f} MB, all of it")
    return digest.hexdigest()


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    return iter(lambda: response.read(_PIECE), b"")


def _unfetched(url: str, seen: str) -> str:
    return (
        f"wanted the installer from {url}, saw {seen}. See that the release exists and that this machine gets there "
        f"(https_proxy is honoured), or name a mirror in {SOURCE}"
    )


# --- nixpkgs -------------------------------------------------------------------------------------------------------


def resolve(url: str, reference: str) -> tuple[str, str]:
    """A branch, tag or revision of a git repository: its full name (empty for a revision) and the revision.

    Raises PinProblem.
    """
    parts = urllib.parse.urlsplit(url)
    if not parts.scheme or parts.query or parts.fragment:
        raise PinProblem(f"--nixpkgs-url has to be a URL such as {NIXPKGS_URL}, saw {url}")
    if parts.password or (parts.username and parts.scheme.startswith("http")):
        raise PinProblem(
            f"--nixpkgs-url is written into the inventory, and {parts.hostname}'s holds a password or token"
        )
    if not _REFERENCE.fullmatch(reference):
        raise PinProblem(f"--nixpkgs has to be a branch, a tag or a revision, saw {reference!r}")
    if _REVISION.fullmatch(reference):
        return "", reference
    names = [reference] if reference.startswith("refs/") else [f"refs/heads/{reference}", f"refs/tags/{reference}"]
    asked = [pattern for name in names for pattern in (name, f"{name}^{{}}")]
    found = _ls_remote(url, asked)
    for name in names:
        if name in found:
            return name, found.get(f"{name}^{{}}", found[name])  # of a tag with a message: what it is on
    raise PinProblem(
        f"wanted {' or '.join(names)} of {url}, saw neither there. See `git ls-remote {url}` for what there is"
    )


def _ls_remote(url: str, patterns: list[str]) -> dict[str, str]:
    """The revisions of a repository's references, by name."""
    try:
        done = subprocess.run(
            ["git", "-c", "core.askPass=", "ls-remote", "--", url, *patterns],
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_GIT_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PinProblem(
            f"wanted the references of {url}, saw no answer within {_GIT_LIMIT} seconds. Try again"
        ) from error
    except OSError as error:
        raise PinProblem(f"wanted to run git, saw: {error}. Install git") from error
    if done.returncode != 0:
        raise PinProblem(
            f"wanted the references of {url}, saw git end with status {done.returncode}: {done.stderr.strip()}. See that "
            "this machine gets there, or name a mirror with --nixpkgs-url"
        )
    pairs = (line.split("\t", 1) for line in done.stdout.splitlines())
    return {name: revision for revision, name in pairs}


def flake_of(url: str, name: str, revision: str) -> str:
    """The flake reference of a revision. Of a repository that is not GitHub's Nix wants to know the branch as well, or it
    looks for the revision in the default branch only.
    """
    if github := re.fullmatch(r"https://github\.com/([\w.-]+)/([\w.-]+?)(\.git)?/?", url):
        return f"github:{github[1]}/{github[2]}/{revision}"
    branch = f"ref={urllib.parse.quote(name)}&" if name else "allRefs=1&"
    return f"git+{url}?{branch}rev={revision}"


def nar_hash(flake: str) -> str:
    """The hash of a flake's content, as this machine's Nix tells. Raises PinProblem."""
    nix = shutil.which("nix")
    if nix is None:
        raise PinProblem("there is no nix on this machine's PATH")
    _report(f"asking nix for the hash of {flake}")
    features = ["--extra-experimental-features", "nix-command flakes"]
    try:
        done = subprocess.run(
            [nix, *features, "flake", "metadata", "--json", flake],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_NIX_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PinProblem(f"nix did not tell it within {_NIX_LIMIT} seconds") from error
    if done.returncode != 0:
        raise PinProblem(f"nix ended with status {done.returncode}: {' '.join(done.stderr.split())[-300:]}")
    try:
        return str(json.loads(done.stdout)["locked"]["narHash"])
    except (ValueError, KeyError, TypeError) as error:
        raise PinProblem(f"nix flake metadata answered what makes no sense: {error!r}") from error
