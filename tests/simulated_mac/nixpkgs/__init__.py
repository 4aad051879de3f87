# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for nixpkgs: a flake with `darwin.linux-builder` and the interface that the real one has.

It is served to simulated Macs as a tarball, as the real one is fetched from a forge, and locked by its narHash, which
is worked out here without Nix. `flake/` is the flake itself; the fact sheet linux_builder §1 says what it has to do.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

FLAKE = Path(__file__).parent / "flake"
TOP = "nixpkgs-stub"


def tarball() -> bytes:
    """The flake as a .tar.gz with one top folder, as forges make them; the same bytes for the same sources."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in [FLAKE, *sorted(FLAKE.rglob("*"))]:
            member = tar.gettarinfo(path, str(Path(TOP) / path.relative_to(FLAKE)))
            member.uid = member.gid = member.mtime = 0
            member.uname = member.gname = ""
            member.mode = 0o755 if path.is_dir() or _executable(path) else 0o644
            if path.is_dir():
                tar.addfile(member)
            else:
                with path.open("rb") as content:
                    tar.addfile(member, content)
    return gzip.compress(packed.getvalue(), mtime=0)


def locked_reference(url: str) -> str:
    """The flake reference that pins this tarball at `url`, which ends in .tar.gz: Nix 2.8 knows tarballs by that."""
    quoted = nar_hash(FLAKE).replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    return f"{url}?narHash={quoted}"


def nar_hash(path: Path) -> str:
    """The hash of a tree as Nix writes it, `sha256-...`: of its Nix archive, whose format Nix's manual defines."""
    digest = hashlib.sha256()
    for part in [_text("nix-archive-1"), *_node(path)]:
        digest.update(part)
    return "sha256-" + base64.b64encode(digest.digest()).decode()


def _node(path: Path) -> Iterator[bytes]:
    yield _text("(") + _text("type")
    if path.is_symlink():
        yield _text("symlink") + _text("target") + _text(str(path.readlink()))
    elif path.is_dir():
        yield _text("directory")
        for child in sorted(path.iterdir(), key=lambda each: each.name.encode()):
            yield _text("entry") + _text("(") + _text("name") + _text(child.name) + _text("node")
            yield from _node(child)
            yield _text(")")
    else:
        yield _text("regular")
        if _executable(path):
            yield _text("executable") + _text("")
        yield _text("contents") + _data(path.read_bytes())
    yield _text(")")


def _executable(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXUSR)


def _text(text: str) -> bytes:
    return _data(text.encode())


def _data(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + data + bytes(-len(data) % 8)
