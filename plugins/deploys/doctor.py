# SPDX-License-Identifier: GPL-3.0-or-later
"""`builderfleet doctor INVENTORY`: what is wrong with each Mac's builder."""

from builderfleet.operations import doctor

doctor(name="Doctor", _sudo=True)
