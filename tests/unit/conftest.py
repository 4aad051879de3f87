# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the unit tests."""

from __future__ import annotations

from tests.unit.sandbox import dash_sandbox, make_sandbox, sandbox

__all__ = ["dash_sandbox", "make_sandbox", "sandbox"]
