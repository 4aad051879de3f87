# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the unit tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.unit.sandbox import dash_sandbox, make_sandbox, sandbox

__all__ = ["dash_sandbox", "make_sandbox", "sandbox"]

# How long an example takes says how busy this machine is, and nothing about what is tested.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
