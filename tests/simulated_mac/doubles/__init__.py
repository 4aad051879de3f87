# SPDX-License-Identifier: GPL-3.0-or-later
"""The doubles: commands of a Mac that Linux does not have, each in a file of its own.

They run inside the simulated Mac, where this directory is the package `doubles`; `shared.py` is what they have in common.
"""
