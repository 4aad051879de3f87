# SPDX-License-Identifier: GPL-3.0-or-later
"""A setting in nix.conf or, where that includes it, nix.custom.conf."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from ..plugin_utils.resources.nix_setting import NixSetting
from ._host import converge


@operation()
def nix_setting(
    setting: str,
    value: str = "",
    present: bool = True,
) -> Generator[PyinfraCommand, None, None]:
    """
    Have a setting in effect; the daemon restarts only when its effective value changed.

    + setting: the setting's name, such as `keep-outputs`. (`name` is the task's own.)
    + value: its value, words joined by one space
    + present: False puts back what was there before

    **Example:**

    .. code:: python

        from builderfleet.operations import nix_setting

        nix_setting(name="Keep outputs", setting="keep-outputs", value="true", _sudo=True)
    """
    yield from converge(
        NixSetting,
        setting=setting,
        value=value,
        present=present,
    )
