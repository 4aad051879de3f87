# SPDX-License-Identifier: GPL-3.0-or-later
"""pyinfra's front end: one operation a resource, and the deploy that does it all."""

from .linux_builder import linux_builder

__all__ = ["linux_builder"]
