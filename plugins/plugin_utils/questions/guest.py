# SPDX-License-Identifier: GPL-3.0-or-later
"""What the builder's guest says of itself, over the Mac's own ssh host and as root, which is how Nix gets there.

One connection tells everything: which host key the guest has (ssh's -v says so even where it is refused), whether it lets
the Mac in, and what a small script in it prints. Each further connection without a login would bring sshd's penalties
nearer, which hit all of the Mac at once: to the guest everything comes from one address (`facts/linux_builder §1.8`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..asking import Ran, Replies, Request, Unknown, run

# NixOS has getent, busybox nslookup. It is the guest's own substituters that count, not the Mac's, and its own Nix that
# gets at one: it brings the certificates that count. Nix keeps a cache's greeting for a week, so its notes are put aside.
# Of what it says the first "error:" counts: before it newer ones warn, and after it comes the body of the cache's answer.
GUEST_SCRIPT = r"""
exec 2>/dev/null
echo "now $(date +%s)"
df -Pk /nix/store | tail -n 1 | { read -r _ size _ free _ && echo "disk $size $free"; }
nix_() { timeout 20 nix --extra-experimental-features nix-command "$@"; }
all=$(nix_ config show substituters) || all=$(nix_ show-config | sed -n 's/^substituters = *//p')
echo "substituters $all"
url=
for each in $all; do case $each in http://* | https://*) url=${each%%[?]*}; break ;; esac; done
url=${url%/}
[ -n "$url" ] || exit 0
name=${url#*://}; name=${name%%/*}; name=${name##*@}; name=${name%:*}
echo "cache $url"
echo "name $name"
echo "nameservers $(sed -n 's/^nameserver *//p' /etc/resolv.conf | tr '\n' ' ')"
has() { command -v "$1" >/dev/null; }
last() { printf '%s\n' "$said" | tail -n 1; }
status=0 said=
case $name in *[!0-9.]*)
  if has getent; then said=$(timeout 10 getent hosts "$name" 2>&1) || status=$?
  else said=$(timeout 10 nslookup "$name" 2>&1) || status=$?; fi ;;
esac
echo "resolve $status $(last)"
[ "$status" = 0 ] || exit 0
XDG_CACHE_HOME=$(mktemp -d); export XDG_CACHE_HOME
ask() { nix_ --option download-attempts 1 --option connect-timeout 10 store "$1" --store "$url" 2>&1; }
said=$(ask ping) || status=$?
case $said in *"not a recognised command"*) status=0; said=$(ask info) || status=$? ;; esac
rm -rf "$XDG_CACHE_HOME"
why=$(printf '%s\n' "$said" | sed -n 's/^ *\(error: .*\)/\1/p' | head -n 1)
echo "fetch $status ${why:-$(last)}"
"""

# $1 is the ssh host, $2 the guest's script. Where the guest does not get at its cache, the Mac tries as well.
MAC_SCRIPT = r"""
before=$(/bin/date +%s)
said=$(/usr/bin/ssh -v -n -T -o BatchMode=yes -o ConnectTimeout=10 -o ConnectionAttempts=1 -o ControlPath=none \
  -o ServerAliveInterval=5 -o ServerAliveCountMax=3 "$1" "$(printf %b "$2")")
status=$?
printf 'before %s\nafter %s\n%s\n' "$before" "$(/bin/date +%s)" "$said"
case $said in *"fetch 0"*) url= ;; *) url=$(printf '%s\n' "$said" | /usr/bin/sed -n 's/^cache //p') ;; esac
if [ -n "$url" ]; then
  /usr/bin/curl -sSL --max-time 10 "$url/nix-cache-info" 2>/dev/null | /usr/bin/grep -q '^StoreDir:'
  echo "mac $?"
fi
exit $status
"""


def _word(script: str) -> str:
    """A script as one word of a request, which holds no line's end: `printf %b` undoes it."""
    return script.strip().replace("\\", "\\\\").replace("\n", "\\n")


# What `ssh -v` says, as OpenSSH 8.7 to 10.6 word it (sshconnect.c); what is worded otherwise is not known, which is no fault.
_HOST_KEY = re.compile(r"^debug1: Server host key: \S+ (SHA256:\S+)", re.MULTILINE)
_CONNECTING = re.compile(r"^debug1: Connecting to \S+ \[(?P<address>\S+)\] port (?P<port>\d+)\.", re.MULTILINE)
_THROUGH_PROXY = re.compile(r"^debug1: Executing proxy command: ", re.MULTILINE)
_CHATTER = re.compile(
    r"^(debug\d|OpenSSH_|\*\* |Authenticated to|Authenticating to|Transferred:|Bytes per second|Pseudo-terminal|Warning: Perm)"
)


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of something that the guest tried: 0 is success, 127 that it has no command for it."""

    status: str
    said: str = ""

    @property
    def well(self) -> bool:
        return self.status == "0"

    @property
    def possible(self) -> bool:
        return self.status != "127"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestState:
    """What was seen of the guest. `status` is ssh's: 0 means that the guest let the Mac in and answered.

    `error` is ssh's last word. `went_to` is where ssh connected to, "127.0.0.1 port 31422" or "a proxy command", empty when
    that is not known. `host_key` is the fingerprint of the key that the guest presented, empty when it did not
    come to that. `now` is the guest's clock; `before` and `after` are the Mac's around it. `disk` is the size of its
    store's disk and what is free of it, in bytes. `cache` is the URL of the first of `substituters` that is on the web,
    `name` its host; `mac_fetches` whether the Mac gets at it, asked only where the guest does not.
    """

    status: int
    error: str = ""
    went_to: str = ""
    host_key: str = ""
    before: int = 0
    after: int = 0
    now: int | None = None
    disk: tuple[int, int] | None = None
    substituters: str = ""
    cache: str = ""
    name: str = ""
    nameservers: str = ""
    resolve: Tried | None = None
    fetch: Tried | None = None
    mac_fetches: bool = field(default=True)

    @property
    def reached(self) -> bool:
        return self.status == 0


@dataclass(frozen=True, slots=True)
class Guest:
    """The guest behind the ssh host `alias`."""

    alias: str

    def __str__(self) -> str:
        return f"what is behind the ssh host {self.alias}"

    def requests(self) -> tuple[Request, ...]:
        words = (self.alias, _word(GUEST_SCRIPT), _word(MAC_SCRIPT))
        return (run("/bin/sh", "-c", 'eval "$(printf %b "$3")"', "sh", *words, limit=70),)

    def answer(self, replies: Replies) -> GuestState:
        ran = replies.ran(0)
        said = dict(line.partition(" ")[::2] for line in ran.output.splitlines())
        try:
            return _state(ran, said)
        except (KeyError, ValueError) as error:
            raise Unknown(f"the guest's answer makes no sense: {error!r}") from error


def _state(ran: Ran, said: Mapping[str, str]) -> GuestState:
    presented = _HOST_KEY.search(ran.errors)
    words = [line for line in ran.errors.splitlines() if line.strip() and not _CHATTER.match(line)]
    size, free = (int(number) * 1024 for number in said["disk"].split()) if "disk" in said else (0, 0)
    return GuestState(
        status=ran.status,
        error=words[-1].strip() if words else "",
        went_to=_went_to(ran.errors),
        host_key=presented[1] if presented else "",
        before=int(said["before"]),
        after=int(said["after"]),
        now=int(said["now"]) if "now" in said else None,
        disk=(size, free) if "disk" in said else None,
        substituters=said.get("substituters", "").strip(),
        cache=said.get("cache", ""),
        name=said.get("name", ""),
        nameservers=said.get("nameservers", "").strip(),
        resolve=_tried(said.get("resolve")),
        fetch=_tried(said.get("fetch")),
        mac_fetches=said.get("mac", "0") == "0",
    )


def _went_to(said: str) -> str:
    if _THROUGH_PROXY.search(said):
        return "a proxy command"
    found = _CONNECTING.search(said)
    return f"{found['address']} port {found['port']}" if found else ""


def _tried(text: str | None) -> Tried | None:
    if text is None:
        return None
    status, _separator, said = text.partition(" ")
    return Tried(status, said.strip())
