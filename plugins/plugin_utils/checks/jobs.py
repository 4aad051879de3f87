# SPDX-License-Identifier: GPL-3.0-or-later
"""What launchd's jobs have in common: how one ended, and whether its user has switched it off."""

from __future__ import annotations

from ..asking import Answers, Unknown
from ..formats.launchctl import Job
from ..questions.login_items import LoginItemsOff


def ended(job: Job) -> str:
    """How a job ended last, and how often it was started."""
    if job.last_signal:
        how = f"a signal ended it ({job.last_signal})"
    elif job.last_exit_code is not None:
        how = f"it ended with exit code {job.last_exit_code}"
    else:
        how = "it never ran to an end"
    return how + (f", started {job.runs} times" if job.runs else "")


def has_failed(job: Job) -> bool:
    """Whether it ended last as no job should."""
    return bool(job.last_signal) or job.last_exit_code not in (None, 0)


def is_login_item_off(answers: Answers, plist: str) -> bool:
    """Whether the user has switched it off. Where sfltool does not say, launchd's own words have to do."""
    try:
        return f"file://{plist}" in answers[LoginItemsOff()]
    except Unknown:
        return False


def login_item_remedy(label: str) -> str:
    return (
        f"On that Mac: System Settings > General > Login Items & Extensions, allow it in the background; or by MDM a"
        f" com.apple.servicemanagement rule for the label {label}"
    )
