# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest from inside: its disk, its clock, and whether it gets at a binary cache."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..asking import Unknown
from ..finding import Finding, broken, fine
from ..questions.clock import Clock
from ..questions.free_space import MAC_SPACE
from ..questions.guest import GuestState
from ..resources.builder_vm import DISK
from .examination import Examination

LEAST_ON_MAC = 2**30
# With less the guest collects garbage while it builds (facts/linux_builder §1.2), which may take away what that very build
# needs (`facts/field_reports VM 20`).
LEAST_IN_GUEST = 2**30

MOST_SECONDS_OFF = 120
"""Beyond that, certificates begin to be "not yet valid" (`facts/drift D24`)."""


@dataclass(frozen=True, slots=True)
class NoFetch:
    """What Nix says where it does not get at a cache, what that means, and what to do.

    `seen` has Nix's texts by its version, asked of each (`nix store info --store URL`); newer ones say what curl adds.
    """

    pattern: re.Pattern[str]
    cause: str
    remedy: str
    seen: Mapping[str, str]


NO_FETCHES = (
    NoFetch(
        re.compile("does not appear to be a binary cache"),
        "what answers the guest at {cache} is no binary cache",
        "It has moved, or a portal or a proxy answers in its place: have that let the guest through",
        dict.fromkeys(  # 2.8 says it of HTTP 401 and 407 as well
            ("2.8.0", "2.26.3", "2.34.8"), "error: 'http://cache.example/x' does not appear to be a binary cache"
        ),
    ),
    NoFetch(
        re.compile(r"HTTP error 40[137]\b"),
        "what answers the guest at {cache} wants a login: {said}",
        "A cache that is not public needs a netrc-file in the guest, and a proxy that asks for a login has to let it through",
        {
            "2.26.3": "error: unable to download 'http://cache.example/nix-cache-info': HTTP error 401",
            "2.34.8": "error: unable to download 'http://cache.example/nix-cache-info': HTTP error 407",
        },
    ),
    NoFetch(
        re.compile(r"HTTP error \d+"),
        "the guest gets to {cache}, which answers with an error: {said}",
        "It is the cache's, or that of a proxy before it: look again later",
        {
            "2.8.0": "error: unable to download 'http://cache.example/nix-cache-info': HTTP error 503 ('Service Unavailable')",
            "2.26.3": "error: unable to download 'http://cache.example/nix-cache-info': HTTP error 500",
            "2.34.8": "error: unable to download 'http://cache.example/nix-cache-info': HTTP error 429",
        },
    ),
    NoFetch(
        re.compile(r" \((35|5[1389]|60|77|8[0-3]|9[01])\)"),  # curl's errors of TLS; words may be of the host's name
        "the guest does not trust the certificate of {cache}: {said}",
        "With a proxy that intercepts TLS: put its CA into a bundle on the Mac, name that in"
        " linux_builder_certificates, and run the rollout",
        {
            "2.8.0": "error: unable to download 'https://cache.example/nix-cache-info': SSL peer certificate or SSH remote"
            " key was not OK (60)",
            "2.26.3": "error: unable to download 'https://cache.example/nix-cache-info': SSL peer certificate or SSH remote"
            " key was not OK (60) server verification failed: certificate signer not trusted. (CAfile: /x.crt CRLfile: none)",
            "2.34.8": "error: unable to download 'https://cache.example/nix-cache-info': SSL peer certificate or SSH remote"
            " key was not OK (60) SSL certificate verification failed: certificate signer not trusted. (CAfile: /x.crt)",
        },
    ),
)
"""The first that fits counts. What is like none of them did not get there: no name, no route, nobody listens, no answer."""

NOT_REACHED = {
    "2.8.0": "error: unable to download 'https://ssl.example/nix-cache-info': Couldn't connect to server (7)",
    "2.26.3": "error: unable to download 'https://ssl.example/nix-cache-info': Could not connect to server (7) Failed to"
    " connect to ssl.example port 443 after 0 ms: Could not connect to server",
    "2.34.8": "error: unable to download 'https://ssl.example/nix-cache-info': Could not connect to server (7) Failed to"
    " connect to ssl.example:443 after 0 ms: Could not connect to server",
}
"""How Nix says that, by version."""

_QUOTED = re.compile("'[^']*'")  # the cache's URL, whose words say nothing of the error


def no_fetch(said: str) -> NoFetch | None:
    """The entry of NO_FETCHES that a text of Nix's is of; None when the cache was not reached at all."""
    words = _QUOTED.sub("", said, count=1)
    return next((each for each in NO_FETCHES if each.pattern.search(words)), None)


def disk(examination: Examination) -> Finding:
    """Whether there is room in the guest, and on the Mac, on whose disk the guest's grows."""
    mac = examination.answers[MAC_SPACE]
    if mac.free < LEAST_ON_MAC:
        return broken(
            "disk",
            f"this Mac's own disk is nearly full: {_size(mac.free)} of {_size(mac.size)} are free, and the VM's disk grows"
            " on it",
            "Make room on that Mac",
        )
    guest = examination.guest()
    if guest.disk is None:
        raise Unknown("df in the guest said nothing of /nix/store")
    size, free = guest.disk
    seen = f"{_size(free)} of {_size(size)} are free in the guest"
    if free < LEAST_IN_GUEST:
        return broken(
            "disk",
            f"the guest's disk is nearly full: {seen}, and with less than 1GiB it collects garbage in the middle of builds",
            f"`sudo ssh {examination.builder.vm.alias} nix-collect-garbage` on that Mac makes room. If it is too small:"
            f" raise linux_builder_disk, remove {DISK.path} there, and run the rollout: it makes a new one",
        )
    less = ", less than the guest believes to have" if mac.free < free else ""
    return fine("disk", f"{seen}, {_size(mac.free)} on this Mac{less}")


def clock(examination: Examination) -> Finding:
    """Whether the Mac goes with the controller and the guest with the Mac, which it stops doing when the Mac sleeps."""
    mac, controller = examination.answers[Clock()], examination.builder.controller_time
    off = mac - controller
    # What was asked again after the build is later by what the build took, and no error.
    if abs(off) > MOST_SECONDS_OFF and not examination.built:
        return broken(
            "clock",
            f"this Mac's clock is {_off(off)} the controller's",
            "If it is the Mac's that is wrong: `sudo sntp -sS time.apple.com` there sets it",
        )
    guest = examination.guest()
    if guest.now is None:
        raise Unknown("date in the guest said nothing")
    off = min(0, guest.now - guest.before) + max(0, guest.now - guest.after)
    if abs(off) > MOST_SECONDS_OFF:
        return broken(
            "clock",
            f"the guest's clock is {_off(off)} this Mac's: it stands still while the Mac sleeps",
            f"{examination.restart_vm}, with the right time",
        )
    return fine("clock", "the guest, the Mac and the controller agree" + (f" to {abs(off)} s" if off else ""))


def dns(examination: Examination) -> Finding:
    """Whether the guest resolves the name of its binary cache."""
    guest = examination.guest()
    if not guest.cache:
        return fine("dns", f"nothing to resolve: {_no_cache(guest)}")
    tried = guest.resolve
    if tried is None or not tried.possible:
        raise Unknown("the guest has neither getent nor nslookup")
    if tried.well:
        return fine("dns", f"the guest resolves {guest.name}")
    asked = f"it asks {guest.nameservers}" if guest.nameservers else "it has no name server"
    cause = f"the guest cannot resolve {guest.name}: {asked}"
    if not examination.builder.setting.present:
        return fine("dns", f"{cause}; nothing needs it but sources, which builds fetch: {_SENT}")
    if guest.mac_fetches:
        return broken(
            "dns",
            f"{cause}, while this Mac gets there",
            "The stock guest asks 8.8.8.8, which VPNs and firewalls often hold up: have them let it through."
            " linux_builder_use_substitutes: false does without: the Mac then sends what a build needs",
        )
    return broken("dns", f"{cause}; this Mac does not get there either", _NETWORK)


_SENT = "linux_builder_use_substitutes is false"
_NETWORK = "Look at that Mac's network first"


def cache(examination: Examination) -> Finding:
    """Whether the guest gets at its binary cache."""
    guest = examination.guest()
    if not guest.cache:
        return fine("cache", _no_cache(guest))
    if not examination.builder.setting.present:
        return fine("cache", f"not needed: {_SENT}")
    examination.needs("dns")
    tried = guest.fetch
    if tried is None or not tried.possible:
        raise Unknown("the guest has no nix in its PATH")
    if tried.well:
        return fine("cache", f"the guest gets at {guest.cache}")
    if known := no_fetch(tried.said):
        return broken("cache", known.cause.format(cache=guest.cache, said=tried.said), known.remedy)
    cause = f"the guest cannot fetch from {guest.cache}: {tried.said or f'status {tried.status}'}"
    if guest.mac_fetches:
        return broken(
            "cache",
            f"{cause}; this Mac can",
            "Have the firewall or the proxy let the guest through; linux_builder_use_substitutes: false does without: the"
            " Mac then sends what a build needs",
        )
    return broken("cache", f"{cause}; nor can this Mac", _NETWORK)


def _no_cache(guest: GuestState) -> str:
    if guest.substituters:
        return f"the guest fetches from {guest.substituters}, which is not on the web"
    return "the guest fetches from no cache, the Mac sends what a build needs"


def _off(seconds: int) -> str:
    return f"{abs(seconds)} s {'behind' if seconds < 0 else 'ahead of'}"


def _size(count: int) -> str:
    return f"{count / 2**30:.1f}GiB" if count >= 2**30 else f"{count // 2**20}MiB"
