# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated Macs: Linux namespaces that answer as a Mac does, with everything real that can be real.

See README.md in this directory for what is real, what is a double, and what is left out.
"""

from __future__ import annotations

from .identity import GIB, Identity
from .installer import Installer, publish
from .lab import Lab, requirements
from .mac import Call, SimulatedMac, SimulatedMacError

__all__ = [
    "GIB",
    "Call",
    "Identity",
    "Installer",
    "Lab",
    "SimulatedMac",
    "SimulatedMacError",
    "publish",
    "requirements",
]
