# SPDX-License-Identifier: GPL-3.0-or-later
"""A launchd daemon, loaded as it is on disk."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from ..plugin_utils.resources.launchd_daemon import LaunchdDaemon
from ._host import converge


@operation()
def launchd_daemon(
    label: str,
    program_arguments: list[str] | None = None,
    environment: dict[str, str] | None = None,
    working_directory: str = "",
    log: str = "",
    run_at_load: bool = True,
    keep_alive: bool = True,
    exit_timeout: int = 20,
    answers_on: int | None = None,
    start_limit: int = 180,
    present: bool = True,
) -> Generator[PyinfraCommand, None, None]:
    """
    Have a daemon in launchd's system domain; it restarts only when its definition is another than the loaded one.

    + label: its label; the property list is /Library/LaunchDaemons/LABEL.plist
    + program_arguments: the program and its arguments
    + environment: its environment variables
    + working_directory: where it runs
    + log: the file for its output and its errors
    + run_at_load: start it when it is loaded
    + keep_alive: start it again whenever it ends
    + exit_timeout: seconds between SIGTERM and SIGKILL
    + answers_on: a TCP port of 127.0.0.1 on which it sends something when it is up, as sshd does. That is waited for
    + start_limit: seconds to wait until it answers there
    + present: False stops and removes it

    **Example:**

    .. code:: python

        from builderfleet.operations import launchd_daemon

        launchd_daemon(
            name="Metrics",
            label="org.example.metrics",
            program_arguments=["/usr/local/bin/metrics", "--listen", "127.0.0.1:9100"],
            log="/var/log/metrics.log",
            _sudo=True,
        )
    """
    yield from converge(
        LaunchdDaemon,
        label=label,
        program_arguments=program_arguments,
        environment=environment,
        working_directory=working_directory,
        log=log,
        run_at_load=run_at_load,
        keep_alive=keep_alive,
        exit_timeout=exit_timeout,
        answers_on=answers_on,
        start_limit=start_limit,
        present=present,
    )
