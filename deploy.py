# SPDX-License-Identifier: GPL-3.0-or-later
"""pyinfra's door: `pyinfra @local deploy.py` on a Mac, `pyinfra inventory.py deploy.py` for a fleet."""

from builderfleet.operations import linux_builder

linux_builder(name="Linux builder", _sudo=True)
