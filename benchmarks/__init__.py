# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs: python -m benchmarks.fleet, .probe, .round_trips and .ansible_role, from the repository's root."""
