# SPDX-License-Identifier: GPL-3.0-or-later
"""What launchd's jobs have in common: how one ended."""

from __future__ import annotations

from ..formats.launchctl import Job


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
