# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploys for pyinfra that the command `builderfleet` brings along."""
