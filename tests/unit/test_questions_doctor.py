# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor's questions: what they make of answers, and that the scripts they bring really ask."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.asking import Answers, Question, Replies, Unknown, probe_of
from builderfleet.plugin_utils.questions.clock import Clock
from builderfleet.plugin_utils.questions.free_space import FreeSpace, Space
from builderfleet.plugin_utils.questions.guest import GUEST_SCRIPT, MAC_SCRIPT, Guest, GuestState, Tried
from builderfleet.plugin_utils.questions.log_tail import LogTail
from builderfleet.plugin_utils.questions.login_items import LoginItemsOff
from builderfleet.plugin_utils.questions.nix import DaemonReply, NixDaemonReply
from builderfleet.plugin_utils.transcript import Transcript

from tests.unit.sandbox import Sandbox

HUNG: Mapping[str, bytes] = {"unknown": b"/bin/x took longer than 20 seconds and was ended"}


def ran(output: str = "", status: int = 0, errors: str = "") -> Mapping[str, bytes]:
    return {"output": output.encode(), "errors": errors.encode(), "status": str(status).encode()}


def answer(question: Question[Any], reply: Mapping[str, bytes]) -> Any:
    return question.answer(Replies((reply,)))


def test_a_clock() -> None:
    assert answer(Clock(), ran("1760000000\n")) == 1_760_000_000


DF = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/disk3s5 1000 400 500 45% /System/Volumes/Data\n"


def test_free_space() -> None:
    assert answer(FreeSpace("/private/var"), ran(DF)) == Space(1000 * 1024, 500 * 1024)


BTM = """          Disposition: [enabled, disallowed, notified] (0x9)
                  URL: file:///Library/LaunchDaemons/a.plist
          Disposition: [enabled, allowed, notified] (0xb)
                  URL: file:///Library/LaunchDaemons/b.plist
"""


def test_login_items() -> None:
    assert answer(LoginItemsOff(), ran(BTM)) == {"file:///Library/LaunchDaemons/a.plist"}


def test_a_log() -> None:
    assert answer(LogTail("/var/log/x"), ran("one\n\n two \x1b[31m\n")) == ("one", "two [31m")
    assert answer(LogTail("/var/log/x"), ran("", 1, "no such file")) == ()


def test_a_daemon() -> None:
    assert answer(NixDaemonReply(), ran()) == DaemonReply(True, "status 0")
    assert answer(NixDaemonReply(), ran("", 1, "warning\nerror: refused\n")) == DaemonReply(False, "error: refused")
    assert not answer(NixDaemonReply(), HUNG).answers
    with pytest.raises(Unknown):
        answer(NixDaemonReply(), {"unknown": b"cannot fork"})


@pytest.mark.parametrize(
    ("question", "reply"),
    [
        (Clock(), ran("", 1)),
        (FreeSpace("/x"), ran("", 1, "df: /x: No such file")),
        (LoginItemsOff(), ran("", 77)),
        (Guest("x"), ran("rubbish")),
        (Guest("x"), ran("before 1\nafter x\n")),
        *((question, HUNG) for question in (Clock(), FreeSpace("/x"), LoginItemsOff(), LogTail("/x"), Guest("x"))),
    ],
)
def test_what_makes_no_sense_is_unknown(question: Question[Any], reply: Mapping[str, bytes]) -> None:
    with pytest.raises(Unknown):
        answer(question, reply)


# --- the guest -----------------------------------------------------------------------------------------------------

SSH_SAID = """OpenSSH_9.9p2, LibreSSL 3.3.6
debug1: Server host key: ssh-ed25519 SHA256:abc
Authenticated to 127.0.0.1 ([127.0.0.1]:31422) using "publickey".
Transferred: sent 3000, received 3000 bytes, in 0.1 seconds
"""
REFUSED = """debug1: Server host key: ssh-ed25519 SHA256:abc
builder@127.0.0.1: Permission denied (publickey).
"""


def test_a_guest_that_lets_nobody_in() -> None:
    state = answer(Guest("x"), ran("before 1\nafter 2\n\n", 255, REFUSED))
    assert state == GuestState(
        status=255,
        error="builder@127.0.0.1: Permission denied (publickey).",
        host_key="SHA256:abc",
        before=1,
        after=2,
    )


@pytest.mark.parametrize(
    ("said", "went_to"),
    [
        ("debug1: Connecting to 127.0.0.1 [127.0.0.1] port 22.\r\n", "127.0.0.1 port 22"),
        ("debug1: Executing proxy command: exec nc x 22\n", "a proxy command"),
        ("Bad configuration option: x\n", ""),
    ],
)
def test_where_ssh_went_to(said: str, went_to: str) -> None:
    assert answer(Guest("x"), ran("before 1\nafter 2\n\n", 255, said)).went_to == went_to


NIX = """
shift 2; [ "$1" != --option ] || shift 6
case $* in
  "config show substituters") if [ -e /old ]; then exit 1; fi; cat /substituters ;;
  show-config) printf 'substitute = true\\nsubstituters = %s\\n' "$(cat /substituters)" ;;
  "store ping --store "*)
    if [ -e /new ]; then echo "error: 'ping' is not a recognised command" >&2; exit 1; fi
    cat /ping; exit "$(cat /fetched)" ;;
  "store info --store "*) cat /ping; exit "$(cat /fetched)" ;;
  *) exit 64 ;;
esac
"""


def ask(
    sandbox: Sandbox,
    substituters: str,
    *,
    resolves: int = 0,
    fetched: int = 0,
    mac: int = 0,
    said: str = "error: no (7)\n",
) -> GuestState:
    """What the probe makes of a guest, which is the sandbox itself: ssh hands the script to its shell."""
    sandbox.double("/usr/bin/ssh", f"for last; do :; done; printf '%s' '{SSH_SAID}' >&2; exec /bin/sh -c \"$last\"")
    sandbox.double("/bin/df", f"printf '%s' '{DF}'")
    sandbox.double("/usr/bin/timeout", 'shift; exec "$@"')
    sandbox.double("/usr/bin/nix", NIX)
    sandbox.double("/usr/bin/getent", f"exit {resolves}")
    sandbox.double("/usr/bin/curl", f"[ {mac} = 0 ] && echo StoreDir: /nix/store")
    for name, text in (("substituters", substituters), ("fetched", str(fetched)), ("ping", said)):
        (sandbox / name).write_text(text)
    (sandbox / "etc/resolv.conf").write_text("nameserver 8.8.8.8\nnameserver 10.0.2.3\n")
    question = Guest("builderfleet")
    probe = probe_of([question])
    ran = sandbox.run(shell.wrap(probe.script("token")))
    assert ran.returncode == 0, ran.stderr
    answers: Answers = probe.answers(Transcript.parse(ran.stdout, "token"))
    assert sandbox.files("/tmp") == {}
    return answers[question]


CACHE = "https://me@cache.example:8443/a?priority=3 https://other.example"


def test_a_guest_is_asked(sandbox: Sandbox) -> None:
    state = ask(sandbox, f"/local {CACHE}\n")
    assert state.reached and state.now is not None and state.before <= state.now <= state.after
    assert (state.host_key, state.error) == ("SHA256:abc", "")
    assert state.disk == (1000 * 1024, 500 * 1024)
    assert state.substituters == f"/local {CACHE}"
    assert (state.cache, state.name) == ("https://me@cache.example:8443/a", "cache.example")
    assert state.nameservers == "8.8.8.8 10.0.2.3"
    assert state.resolve is not None and state.resolve.well
    assert state.fetch == Tried("0", "error: no (7)")


@pytest.mark.parametrize("age", ["old", "new"])
def test_every_nix_is_understood(sandbox: Sandbox, age: str) -> None:
    (sandbox / age).touch()
    state = ask(sandbox, CACHE)
    assert state.substituters == CACHE
    assert state.fetch is not None and state.fetch.well


# What Nix printed, by its version, where a cache answers with an error and a page.
ERROR_PAGES = {
    "2.8.0": "error: unable to download 'x': HTTP error 500 ('Error')\n\n       response body:\n\n       <html>\n",
    "2.26.3": "error: unable to download 'x': HTTP error 500\n\n       response body:\n\n       <html>\n",
    "2.34.8": "warning: 'ping' is a deprecated alias for 'info'\nerror: unable to download 'x': HTTP error 500\n\n"
    "       response body:\n\n       error: of somebody else\n       </html>\n",
}


@pytest.mark.parametrize("version", ERROR_PAGES)
def test_of_a_cache_s_error_page_it_is_the_error_that_is_told(sandbox: Sandbox, version: str) -> None:
    state = ask(sandbox, CACHE, fetched=1, said=ERROR_PAGES[version])
    assert state.fetch is not None
    assert state.fetch.said.startswith("error: unable to download 'x': HTTP error 500")


@pytest.mark.parametrize("mac", [0, 7])
def test_where_the_guest_does_not_get_there_the_mac_tries(sandbox: Sandbox, mac: int) -> None:
    state = ask(sandbox, CACHE, resolves=2, mac=mac)
    assert (state.resolve, state.fetch, state.mac_fetches) == (Tried("2"), None, mac == 0)
    state = ask(sandbox, CACHE, fetched=1, mac=mac)
    assert (state.fetch, state.mac_fetches) == (Tried("1", "error: no (7)"), mac == 0)


def test_addresses_need_no_resolving(sandbox: Sandbox) -> None:
    state = ask(sandbox, "http://198.51.100.7/cache", resolves=2)
    assert (state.name, state.resolve) == ("198.51.100.7", Tried("0"))


@pytest.mark.parametrize("substituters", ["", "s3://bucket"])
def test_without_a_cache_on_the_web_nothing_is_tried(sandbox: Sandbox, substituters: str) -> None:
    state = ask(sandbox, substituters, resolves=2, fetched=1)
    assert (state.substituters, state.cache, state.resolve, state.fetch) == (substituters, "", None, None)


@pytest.mark.parametrize("script", [GUEST_SCRIPT, MAC_SCRIPT], ids=["guest", "mac"])
def test_the_scripts_are_clean(script: str) -> None:
    for command in (["dash", "-n"], ["bash", "--posix", "-n"], ["shellcheck", "-s", "sh", "-"]):
        checked = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
