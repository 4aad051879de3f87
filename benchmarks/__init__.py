# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs: python -m benchmarks.fleet, benchmarks.probe and benchmarks.round_trips, from the repository's root."""
