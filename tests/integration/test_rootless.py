# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job without root: ./rollout's own program in a user namespace, as a user who may do nothing else.

Run by root, it becomes a user that does not exist, whose ids it maps itself, so that no account is made. Run by an ordinary
user, it stays that user.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.simulated_mac import Lab, guest, user_namespace

from .harness import REPOSITORY, Run, read_run

FIRST = 1_500_000_000  # ids that no distribution gives to anybody
COUNT = user_namespace.WANTED_IDS


@dataclass(frozen=True)
class User:
    """Who does it: a home, what to put before a command, and the Python to use."""

    home: Path
    uid: int
    prefix: tuple[str, ...]
    python: str

    def python_module(self, *words: str, within: float = 900) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "BUILDERFLEET_CACHE": str(self.home / "cache"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYINFRA_PROGRESS": "off",
        }
        return subprocess.run(
            [*self.prefix, self.python, "-m", *words], cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=within, check=False,
        )  # fmt: skip


def _outside_ids_exist() -> bool:
    """Whether the ids are ours to give: in a container with a map of its own they need not be."""
    ranges = (map(int, line.split()) for line in Path("/proc/self/uid_map").read_text().splitlines())
    return any(first <= FIRST and first + count > FIRST + COUNT for first, _, count in ranges)


def _python_for(home: Path, uid: int) -> str:
    """This Python if that user may run it; or else the system's of the same version, with this one's packages."""
    # setpriv's own exec still has root's rights; that of the shell has not.
    drop = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "sh", "-c", 'exec "$0" "$@"']
    if subprocess.run([*drop, sys.executable, "-c", ""], capture_output=True, check=False).returncode == 0:
        return sys.executable
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    system = f"/usr/bin/python{version}"
    if not Path(system).exists():
        pytest.skip(f"another user may not run {sys.executable}, and there is no {system}")
    packages = sysconfig.get_path("purelib")
    subprocess.run([system, "-m", "venv", "--without-pip", home / "venv"], check=True)
    site = home / f"venv/lib/python{version}/site-packages"
    (site / "borrowed.pth").write_text(f"import site; site.addsitedir({packages!r})\n")
    python = str(home / "venv/bin/python")
    seen = subprocess.run(
        [*drop, python, "-c", "import builderfleet.cli"], cwd="/", capture_output=True, text=True, check=False
    )
    if seen.returncode:
        pytest.skip(f"another user may not read this checkout or its packages: {seen.stderr.strip().splitlines()[-1]}")
    return python


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    if os.geteuid() == 0 and user_namespace.inside():
        pytest.skip("this is the inside of such a namespace already")
    if missing := (Lab.requirements() if os.geteuid() == 0 else user_namespace.requirements()):
        pytest.skip("; ".join(missing))
    if os.geteuid() == 0 and not _outside_ids_exist():
        pytest.skip(f"the ids from {FIRST} are not mapped in this container: {Path('/proc/self/uid_map').read_text()}")
    images = guest.ensure()
    home = Path(tempfile.mkdtemp(prefix="builderfleet-rootless-"))
    try:
        copied = home / "cache/guest" / images.name
        shutil.copytree(images, copied)
        for name in ("ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"):
            shutil.copy(images.with_name(name), copied.with_name(name))
        shutil.copytree(images.parents[1] / "releases", home / "cache/releases", symlinks=True)
        if os.geteuid() == 0:
            home.chmod(0o755)
            python = _python_for(home, FIRST)
            for path in (home, *home.rglob("*")):
                os.chown(path, FIRST, FIRST, follow_symlinks=False)
            here = (sys.executable, "-m", "tests.simulated_mac.rootless", "--as", f"{FIRST}:{FIRST + 1}:{COUNT}")
            yield User(home, FIRST, here, python)
        else:
            yield User(home, os.getuid(), (), sys.executable)
    finally:
        subprocess.run(["rm", "-rf", home], check=True)


def _of(done: subprocess.CompletedProcess[str]) -> Run:
    return read_run(done.returncode, done.stdout)


def _processes(uid: int, count: int) -> list[int]:
    """What runs as that user or as one of the subordinate ones."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            owner = path.stat().st_uid
        except FileNotFoundError:
            continue
        if uid <= owner <= uid + count:
            found.append(int(path.name))
    return found


def test_the_main_job_without_root(user: User) -> None:
    """From a fresh Mac to a build in the guest, nothing more to do, a way in for ssh from outside, and nothing left."""
    try:
        first = user.python_module("tests.simulated_mac.rollout")
        assert (_of(first).outcomes, first.returncode) == ({"demo": "changed"}, 0), first.stdout
        assert "A Linux package was built from this Mac, in its builder: Linux " in first.stdout
        assert "left out: Without root, the Macs' addresses exist only in a network namespace" in first.stdout
        second = user.python_module("tests.simulated_mac.rollout", "--data", "linux_builder_build=after changes")
        assert second.returncode == 0 and set(_of(second).outcomes.values()) == {"converged"}, second.stdout
        config = user.home / "cache/simulated_mac/labs/default/macs/demo/ssh_config"
        inside = subprocess.run(  # as whoever runs the tests: ssh refuses a user without an account
            ["ssh", "-F", config, "demo", "sudo -n id -u; sw_vers -productName"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert inside.stdout.split() == ["0", "macOS"], inside.stderr
    finally:
        down = user.python_module("tests.simulated_mac", "down", within=120)
    assert down.returncode == 0, down.stdout
    assert not (user.home / "cache/simulated_mac/labs/default").exists()
    if os.geteuid() == 0:
        deadline = time.monotonic() + 10
        while _processes(FIRST, COUNT):
            assert time.monotonic() < deadline, f"still there: {_processes(FIRST, COUNT)}"
            time.sleep(0.05)
