# SPDX-License-Identifier: GPL-3.0-or-later
"""How ssh gets to the builder VM: the options of the Host block, and of the scripts' own ssh, which reads no configuration.

ssh takes the first value that it finds for each keyword, and what a block does not say it takes from anybody's `Host *`:
a baseline's algorithms, a company's ProxyJump, an owner's RequestTTY (`facts/field_reports 3, VM 6-8`). So whatever could
keep the connection from coming about, or weaken it, is pinned. All of these keywords are known since OpenSSH 8.7 (a newer
one that matters is compared instead, see `ssh_host`); those
of algorithms name what both a guest of any nixpkgs and macOS's ssh offer, the stronger first.
"""

from __future__ import annotations

from ..shell import quote

Options = tuple[tuple[str, str], ...]

_RSA = "rsa-sha2-512,rsa-sha2-256"
_ECDSA = "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521"


def connection(*, alias: str, port: int, key: str, known_hosts: str) -> Options:
    """What it takes to get to the guest on `port` of 127.0.0.1, whose host key `known_hosts` has as `alias`, and to
    nobody else, where ssh reads no configuration.
    """
    return (
        ("HostName", "127.0.0.1"),
        ("Port", str(port)),
        ("User", "builder"),
        ("HostKeyAlias", alias),
        ("UserKnownHostsFile", known_hosts),  # for people, and to shut the guest down; Nix brings its own
        ("GlobalKnownHostsFile", "/dev/null"),
        ("StrictHostKeyChecking", "yes"),
        ("IdentityFile", key),
        ("IdentitiesOnly", "yes"),
        ("IdentityAgent", "none"),
        ("BatchMode", "yes"),
        # Nix sets no time limit, and a frozen guest still accepts TCP (`facts/nix_configuration §3`).
        ("ConnectTimeout", "30"),
        ("ServerAliveInterval", "15"),
        ("ServerAliveCountMax", "4"),
    )


def pinned(host_key: str) -> Options:
    """What must not be inherited where ssh does read configurations; `host_key` is the guest's, as a line."""
    host_key_type = host_key.partition(" ")[0]
    return (
        # where it leads
        ("AddressFamily", "any"),
        ("BindAddress", "127.0.0.1"),
        ("CanonicalizeHostname", "no"),
        ("ProxyCommand", "none"),
        ("ProxyJump", "none"),
        ("ControlMaster", "no"),
        ("ControlPath", "none"),
        ("ControlPersist", "no"),
        ("ConnectionAttempts", "1"),
        # whom it trusts
        ("KnownHostsCommand", "none"),
        ("RevokedHostKeys", "none"),
        ("CheckHostIP", "no"),
        ("VerifyHostKeyDNS", "no"),
        ("UpdateHostKeys", "no"),
        ("NoHostAuthenticationForLocalhost", "no"),
        ("FingerprintHash", "sha256"),
        ("HostKeyAlgorithms", _RSA if host_key_type == "ssh-rsa" else host_key_type),
        ("KexAlgorithms", "sntrup761x25519-sha512@openssh.com,curve25519-sha256"),
        ("Ciphers", "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com,aes256-ctr"),
        ("MACs", "hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-256"),
        # who it says it is
        ("AddKeysToAgent", "no"),
        ("PKCS11Provider", "none"),
        ("PubkeyAuthentication", "yes"),
        ("PubkeyAcceptedAlgorithms", f"ssh-ed25519,{_ECDSA},{_RSA}"),
        ("PreferredAuthentications", "publickey"),
        # what it does there: what it is told, and nothing else
        ("RequestTTY", "no"),
        ("RemoteCommand", "none"),
        ("SessionType", "default"),
        ("PermitLocalCommand", "no"),  # Nix has one of its own, on its command line
        ("StdinNull", "no"),
        ("ForkAfterAuthentication", "no"),
        ("ForwardAgent", "no"),
        ("ForwardX11", "no"),
        ("ClearAllForwardings", "yes"),
        ("ExitOnForwardFailure", "no"),
        ("Tunnel", "no"),
    )


def command(given: Options, **instead: str) -> str:
    """The words of a shell that call ssh with these options and without any configuration; `instead` replaces values.

    Behind them come the host, by whatever name, and what is to run there.
    """
    words = (f"-o {quote(f'{keyword}={instead.get(keyword, value)}')}" for keyword, value in given)
    return " ".join(("/usr/bin/ssh -F none", *words))
