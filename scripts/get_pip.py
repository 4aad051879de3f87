# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands for get-pip.py, which ansible-test downloads from a place of its own: unpacks pip from the wheel beside it.

ansible-test runs it in each of its empty environments, with what is wanted as arguments (`pip==24.2`); scripts/sanity.py
puts it, and the wheel from the package index at hand, where ansible-test keeps its downloads (facts/ansible §2).
"""

import sys
import sysconfig
import zipfile
from pathlib import Path

for wanted in sys.argv[1:]:
    name, given, version = wanted.partition("==")
    if given:
        (wheel,) = Path(__file__).parent.glob(f"{name}-{version}-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(sysconfig.get_path("purelib"))
