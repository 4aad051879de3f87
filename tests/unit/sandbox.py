# SPDX-License-Identifier: GPL-3.0-or-later
"""A root directory of its own in which scripts for Macs really run: real sh, real perl, real files, nothing else.

It is a private mount namespace with a chroot. The only commands in it are some that macOS has as well, at macOS's paths,
so that a script that needs another one fails here; tests add doubles of what they need besides.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

_BIN = "bash cat chmod cp date echo expr kill ln ls mkdir mv ps pwd rm rmdir sleep sync test"
_USR_BIN = (
    "awk base64 basename cut dirname env false find grep head id mktemp perl sed shasum sort ssh ssh-keygen tail tr true"
    " wc"
)
_USR_SBIN = "chown"
_AWK = "original-awk"  # the one that a Mac has, too; of Debian's package of that name
_DEVICES = ("null", "urandom")

# /usr is a directory with links into the real one, which is mounted at /host and cannot be written to; /proc is for ps.
_ENTER = """set -e
mount --rbind /usr "$0/host"
mount -o remount,bind,ro "$0/host"
mount -t proc proc "$0/proc"
for device in null urandom; do mount --bind "/dev/$device" "$0/dev/$device"; done
exec /usr/sbin/chroot "$0" /bin/sh "$@"
"""


def _unshare() -> list[str]:
    user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]


@functools.cache
def refusal() -> str:
    """Why there can be no sandbox on this machine; empty when there can."""
    if shutil.which("unshare") is None:
        return "there is no unshare(1) here (it is Linux's)"
    tried = subprocess.run(
        [*_unshare(), "mount", "--bind", "/usr", "/usr"], capture_output=True, text=True, check=False
    )
    return "" if tried.returncode == 0 else f"no private mounts here: {tried.stderr.strip()}"


class Sandbox:
    """`shell` is what /bin/sh is in it: dash, or bash, which is then what it is on a Mac."""

    def __init__(self, root: Path, shell: str = "dash") -> None:
        self.root = root
        for folder in ("bin", "usr/bin", "usr/sbin", "host", "dev", "proc", "etc", "var/run", "var/root", "tmp"):
            (root / folder).mkdir(parents=True)
        for device in _DEVICES:
            (root / "dev" / device).touch()
        for name in ("lib", "lib64", "share"):
            (root / "usr" / name).symlink_to(f"/host/{name}")
        for name in ("lib", "lib64"):
            (root / name).symlink_to(f"usr/{name}")
        for folder, names in (("bin", _BIN), ("usr/bin", _USR_BIN), ("usr/sbin", _USR_SBIN)):
            for name in names.split():
                theirs = _AWK if name == "awk" else name
                real = Path(shutil.which(theirs, path="/usr/bin:/usr/sbin:/bin:/sbin") or f"/usr/bin/{theirs}")
                if real.is_symlink() and real.readlink().is_relative_to("/etc"):  # one of Debian's alternatives
                    real = real.resolve()
                (root / folder / name).symlink_to(f"/host/{real.parent.name}/{real.name}")
        (root / "bin/sh").symlink_to(f"/host/bin/{shell}")
        (root / "etc/passwd").write_text("root:x:0:0::/var/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")

    def __truediv__(self, path: str) -> Path:
        """Where a path of the sandbox is on this machine."""
        return self.root / path.lstrip("/")

    def double(self, path: str, script: str) -> None:
        """A command of the sandbox's own: the body of a sh script."""
        where = self / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.unlink(missing_ok=True)
        where.write_text(f"#!/bin/sh\n{script}\n")
        where.chmod(0o755)

    def start(self, script: str, *arguments: str) -> subprocess.Popen[bytes]:
        """A script on its way; killing the process ends everything in the sandbox that belongs to it."""
        process = subprocess.Popen(
            [*_unshare(), "sh", "-c", _ENTER, str(self.root), *(arguments or ("-s",))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"]},
        )
        assert process.stdin is not None
        try:
            process.stdin.write(script.encode())
            process.stdin.close()
        except BrokenPipeError:
            pass  # it ended before it had read everything: what it says tells why
        process.stdin = None
        return process

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script that comes in on standard input, as it does on a Mac."""
        process = self.start(script)
        try:
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()  # nothing is left of a script that took too long; one that has ended does not mind
        return subprocess.CompletedProcess("sh", process.returncode, output.decode(), errors.decode())

    def files(self, folder: str) -> Mapping[str, bytes]:
        """Every file below a directory, by its path in the sandbox."""
        found = (each for each in sorted((self / folder).rglob("*")) if each.is_file())
        return {f"/{each.relative_to(self.root)}": each.read_bytes() for each in found}


MakeSandbox = Callable[[str], Sandbox]


def _quick_folder() -> str | None:
    """A folder in memory, where programs may be run: scripts flush to disk, and a disk takes its time."""
    shm = "/dev/shm"
    quick = os.access(shm, os.W_OK) and not os.statvfs(shm).f_flag & os.ST_NOEXEC
    return shm if quick else None


@pytest.fixture
def make_sandbox() -> Iterator[MakeSandbox]:
    if refusal():
        pytest.skip(refusal())
    with tempfile.TemporaryDirectory(prefix="builderfleet-", dir=_quick_folder()) as folder:
        yield lambda shell: Sandbox(Path(folder) / "mac", shell)


@pytest.fixture(params=["dash", "bash"])
def sandbox(request: pytest.FixtureRequest, make_sandbox: MakeSandbox) -> Sandbox:
    """A sandbox with each kind of sh."""
    return make_sandbox(request.param)


@pytest.fixture
def dash_sandbox(make_sandbox: MakeSandbox) -> Sandbox:
    """A sandbox for what does not depend on the shell."""
    return make_sandbox("dash")
