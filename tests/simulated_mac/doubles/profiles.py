# SPDX-License-Identifier: GPL-3.0-or-later
"""profiles: an unmanaged Mac has none (`macos_commands §1`, `nix_installers §2.3`)."""

from __future__ import annotations

from . import shared

_EMPTY = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict/>
</plist>
"""


def main(arguments: list[str]) -> int:
    if arguments == ["status", "-type", "enrollment"]:
        print("Enrolled via DEP: No\nMDM enrollment: No")
        return 0
    if arguments == ["-P", "-o", "stdout-xml"]:
        shared.root_only(1, "profiles: this command requires root privileges")
        print(_EMPTY, end="")
        return 0
    raise shared.Unmodelled("verb")
