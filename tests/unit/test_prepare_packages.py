# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Debian packages ./rollout and ./check ask for: those that are missing, and those whose program is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize(
    ("programs", "asked"),
    [((), " zsh util-linux-extra"), (("pivot_root",), " zsh")],
    ids=["Debian's newest", "Debian 13"],
)
def test_a_program_s_package_is_wanted_where_the_program_is_missing(
    shell: str, programs: tuple[str, ...], asked: str, tmp_path: Path
) -> None:
    doubles = {"dpkg-query": 'case $* in *dash) echo "ok installed" ;; *) exit 1 ;; esac', "id": "echo 1000"}
    for name, script in (doubles | dict.fromkeys(programs, "")).items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "grep").symlink_to("/usr/bin/grep")
    order = ". scripts/environment.sh; prepare_packages dash zsh pivot_root=util-linux-extra"
    # Without the machine's own /usr/sbin, where pivot_root may be.
    order = order.replace(
        ". scripts/environment.sh;", 'text=$(/usr/bin/sed "s|:/usr/sbin:/sbin||" scripts/environment.sh); eval "$text";'
    )
    done = subprocess.run(
        [f"/bin/{shell}", "-c", order],
        cwd=REPOSITORY,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"==> not root, so these Debian packages are not installed:{asked}\n"
