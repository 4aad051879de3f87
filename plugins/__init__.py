# SPDX-License-Identifier: GPL-3.0-or-later
"""builderfleet: gives every Mac of a fleet a Linux builder for Nix, and keeps it working."""
