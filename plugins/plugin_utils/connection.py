# SPDX-License-Identifier: GPL-3.0-or-later
"""What it means that a Mac could not be connected to, by what the client says: one table for both front ends.

Only what sleep and distance look like is unreachable, and owed to the next run. Who refuses is awake: somebody has to look.
Everything else is a failure with its cause, so that no slip in an inventory passes for a Mac that sleeps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .outcome import Outcome
from .report import Result


@dataclass(frozen=True, slots=True)
class Row:
    """A text of a client, what it means, and what to do about it; `seen` says in which programs and versions it was met."""

    text: str  # a regular expression
    outcome: Outcome
    remedy: str
    seen: tuple[str, ...]
    goes_down: bool = False  # what a Mac that answered a moment ago says while it is shut down or restarted


_OPENSSH = "OpenSSH 9.2"
_MACOS = "macOS 26 (public reports)"
_PARAMIKO = "paramiko 4.0 in pyinfra 3.10"
_ANSIBLE = "ansible-core 2.19"
_OURS = "builderfleet"

# The first that is found counts: what explains the rest of a text stands above it.
TABLE = (
    Row(
        r"system is locked",
        Outcome.NEEDS_PERSON,
        "This Mac was restarted and is locked by FileVault: unlock it at its screen, or with `ssh` and the account's password",
        (_MACOS,),
    ),
    Row(
        r"bad configuration option|line \d+: .*(argument|unsupported|invalid|bad )|(unknown|illegal) option -- |bad port",
        Outcome.FAILED,
        "ssh does not take an option that it was given: look in ansible_ssh_common_args, in ansible.cfg and in the file it names",
        (_OPENSSH,),
    ),
    Row(
        r"remote host identification has changed|host key for \S+ does not match|host key .* has changed",
        Outcome.FAILED,
        "This is not the host key that is known: another machine has this address, or the Mac was set up anew. Look at the "
        "Mac itself, then take the former key out with `ssh-keygen -R` and the new one in with `builderfleet enroll "
        "--accept-key`",
        (_OPENSSH, _PARAMIKO),
    ),
    Row(
        r"no host key for \S+ found",
        Outcome.FAILED,
        "Its host key is not known, and none is taken unseen: `builderfleet enroll` shows it. (pyinfra reads no "
        "@cert-authority: with host certificates it needs the Mac's own key)",
        (_PARAMIKO,),
    ),
    Row(
        r"host key verification failed|no \S+ host key is known",
        Outcome.FAILED,
        "Its host key is not known, and none is taken unseen: `builderfleet enroll` shows it",
        (_OPENSSH,),
    ),
    Row(
        r"unable to negotiate|incompatible ssh (peer|server)|no matching (key exchange|host key|cipher|mac)",
        Outcome.FAILED,
        "The two have no algorithm in common: a policy here or on the Mac forbids the other's",
        (_OPENSSH, _PARAMIKO),
    ),
    Row(
        r"no such identity|load key|private key|no such file or directory: '|is a directory: '|permissions .* too open|"
        r"permission denied: '|not a valid .* key",
        Outcome.FAILED,
        "The key that is to be used cannot be: look at ansible_ssh_private_key_file and IdentityFile, and whether the agent "
        "has a key that is encrypted",
        (_OPENSSH, _PARAMIKO),
    ),
    Row(
        r"permission denied \((?!.*publickey)|bad authentication type(?!.*publickey)",
        Outcome.NEEDS_PERSON,
        "It takes passwords only, as a Mac does that was restarted and is locked by FileVault: unlock it with `ssh` and the "
        "account's password; if that logs in, allow keys in its sshd_config",
        (_OPENSSH, _PARAMIKO),
    ),
    Row(
        r"permission denied \(|authentication (error|failed)|too many authentication failures|incorrect.*password",
        Outcome.FAILED,
        "It lets this account in with none of these keys: is the user right (ansible_user), and the key in its "
        "~/.ssh/authorized_keys (ssh-copy-id)? A Mac that is locked by FileVault greets `ssh` with: This system is locked",
        (_OPENSSH, _PARAMIKO),
    ),
    Row(
        r"account is (currently )?not available|account .* (expired|locked)|nologin",
        Outcome.FAILED,
        "This account may not log in: name another in ansible_user",
        (f"{_OPENSSH}, with Debian's nologin",),
    ),
    Row(
        r"connect to host .* port \d+: permission denied|operation not permitted",
        Outcome.FAILED,
        "This machine does not let the connection out: see its firewall",
        (f"{_OPENSSH}, Linux, with a route that prohibits",),
    ),
    Row(
        r"(?s)connect to host .*connection refused.*unknown port 65535",
        Outcome.FAILED,
        "The jump host refuses the connection, so that the Mac was not reached: see ProxyJump or ProxyCommand",
        (_OPENSSH,),
    ),
    Row(
        r"connection refused",
        Outcome.NEEDS_PERSON,
        "It is awake and nobody listens there: switch Remote Login on (System Settings > General > Sharing), unless the "
        "address or the port is another's",
        (_OPENSSH, _PARAMIKO),
        goes_down=True,
    ),
    Row(
        r"(could not resolve hostname|cannot find) \S+\.local\b",
        Outcome.UNREACHABLE,
        "A name in .local is answered by the Mac itself: it is asleep or away, or it has another name",
        (_OPENSSH, _OURS),
    ),
    Row(
        r"could not resolve|name or service not known|nodename nor servname|name resolution",
        Outcome.FAILED,
        "This machine finds no such name: see ansible_host, ssh's HostName, and the name server",
        (_OPENSSH, _PARAMIKO),
    ),
    Row(
        r"invalid format|no ssh version received|indecipherable protocol version",
        Outcome.FAILED,
        "What answers there is no ssh server: is the port right?",
        (_OPENSSH, _PARAMIKO),
    ),
    # What a proxy says of the Mac stands above; what is left of it says nothing about the Mac.
    Row(
        r"timed? ?out|timeout, server|no route to host|network is (unreachable|down)|host is (down|unreachable)|"
        r"network dropped|no answer within",
        Outcome.UNREACHABLE,
        "",
        (_OPENSSH, _PARAMIKO, _OURS),
    ),
    Row(
        r"unknown port 65535|proxycommand|stdio forwarding failed|open failed|jump host",
        Outcome.FAILED,
        "The way through the proxy ended before the Mac was reached: see ProxyJump or ProxyCommand, in ssh's configuration or "
        "in ansible_ssh_common_args",
        (_OPENSSH, _PARAMIKO),
    ),
    Row(
        r"kex_exchange_identification|error reading ssh protocol banner",
        Outcome.FAILED,
        "It took the connection and closed it before anybody could log in: its sshd has too many (MaxStartups), punishes this "
        "address (PerSourcePenalties), or a firewall stands before it. Try again in some minutes",
        (_OPENSSH, _PARAMIKO),
        goes_down=True,
    ),
    Row(
        r"client_loop|broken pipe|connection reset|closed by remote host|shared connection to .* closed|connection was lost|"
        r"could not be sent to remote host|ssh session not active|mux_client",
        Outcome.UNREACHABLE,
        "",
        (_OPENSSH, _PARAMIKO, _ANSIBLE, _OURS),
    ),
    Row(
        r"connection closed by|eof error|no existing session",
        Outcome.FAILED,
        "It closed the connection while it was logged in to: Remote Login is for some accounts only and not for this one "
        "(Sharing > Remote Login > Allow access for), or the Mac was just shutting down",
        (_OPENSSH, _PARAMIKO),
        goes_down=True,
    ),
)  # fmt: skip


def row_of(reason: str) -> Row | None:
    """The row of the table that a client's text belongs to, None where it was never met."""
    return next((row for row in TABLE if re.search(row.text, reason, re.IGNORECASE)), None)


def not_connected(reason: str, *, answered: bool = False) -> Result:
    """What it means that a Mac could not be connected to, or was lost, by what the client said.

    One that has `answered` a moment before and now refuses is most likely shut down or restarted: the next run tells.
    """
    said = "\n".join(line for line in _without_escapes(reason).splitlines() if line.strip(" @\t"))
    row = row_of(said)
    if row is None:
        return Result(Outcome.FAILED, said or "it could not be connected to, and the client gave no reason")
    if answered and row.goes_down:
        return Result(
            Outcome.UNREACHABLE, f"{said}\nIt answered a moment ago: most likely it is being shut down or restarted"
        )
    return Result(row.outcome, f"{said}\n{row.remedy}" if row.remedy else said)


def _without_escapes(text: str) -> str:
    return "".join(each for each in re.sub(r"\x1b\[[0-9;]*m", "", text) if each.isprintable() or each in "\n\t")
