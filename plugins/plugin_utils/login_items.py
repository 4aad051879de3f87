# SPDX-License-Identifier: GPL-3.0-or-later
"""A job that the user of a Mac has switched off in the login items: whether that is so, and what to do about it."""

from __future__ import annotations

from .asking import Answers, Unknown
from .questions.login_items import LoginItemsOff


def is_off(answers: Answers, plist: str) -> bool:
    """Whether the user has switched it off. Where sfltool does not say, launchd's own words have to do."""
    try:
        return f"file://{plist}" in answers[LoginItemsOff()]
    except Unknown:
        return False


def remedy(label: str) -> str:
    return (
        "On that Mac: System Settings > General > Login Items & Extensions, allow it in the background (it may be called"
        f" 'sh' there); or by MDM a com.apple.servicemanagement rule for the label {label}"
    )
