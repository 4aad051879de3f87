# SPDX-License-Identifier: GPL-3.0-or-later
"""What people and files get to see: no secret of anybody's, no control character, and everything else as it was."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from builderfleet.plugin_utils.finding import broken
from builderfleet.plugin_utils.masked import beginning, masked
from builderfleet.plugin_utils.outcome import Outcome
from builderfleet.plugin_utils.report import Result, as_json, as_junit, table
from builderfleet.plugin_utils.resource import Blocked, Change, Diff, Refused
from builderfleet.plugin_utils.session import Session, SessionError
from builderfleet.plugin_utils.variables import WrongVariable
from hypothesis import given
from hypothesis import strategies as st

SECRETS = [
    "access-tokens = github.com=hunter2 gitlab.corp=PAT:hunter2",
    "extra-access-tokens = github.com=hunter2",
    "access-tokens=github.com=hunter2",
    "  access-tokens\t=\thunter2 # mine",
    "substituters = https://anna:hunter2@cache.example https://cache.nixos.org",
    "substituters = https://hunter2@cache.example",
    "error: unable to download 'https://anna:hun/ter2hunter2@cache.example/nix-cache-info': HTTP error 401",
    "fatal: could not read from http://x:hunter2@192.0.2.1:8080/y",
    "https://cache.example/nar?x=1&X-Token=hunter2&y=2",
    "machine cache.example login anna password hunter2",
    "machine cache.example\n  login anna\n  password hunter2\n",
    "default login anna password hunter2",
    "machine cache.example password hunter2 login anna",
    "password hunter2",
    "error: illegal configuration line 'access-tokens=github.com=hunter2' in '/etc/nix/nix.conf'",
    "error: syntax error in configuration line 'the vault hunter2' in '/etc/nix/nix.custom.conf'",
    "warning: --option access-tokens github.com=hunter2",
    "NIX_GITHUB_TOKEN=hunter2",
    "export CACHIX_AUTH_TOKEN='hunter2'",
    "ansible_become_password=hun'ter2hunter2",
    '{"password": "hunter2", "user": "anna"}',
    "{'api_key': 'hunter2'}",
    "<key>API_TOKEN</key>\n    <string>hunter2</string>",
    "Authorization: Bearer hunter2",
    "authorization: Basic hunter2==",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\nhunter2\n-----END OPENSSH PRIVATE KEY-----\n",
    "-----BEGIN PRIVATE KEY-----\nhunter2",
]
TOKENS = [
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "a1B2_" * 9,
    "glpat-" + "a1B2" * 5,
    "xoxb-1234567890-abcdef",
    "AKIA" + "A1B2" * 4,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc_def",
]


@pytest.mark.parametrize("text", SECRETS)
def test_what_looks_like_a_secret_is_hidden(text: str) -> None:
    assert "hunter2" not in masked(text) and "***" in masked(text)


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_is_known_by_its_form(token: str) -> None:
    assert masked(f"remote said {token}, and no more") == "remote said ***, and no more"


@pytest.mark.parametrize(
    "text",
    [
        "ssh-ng://builder@builderfleet aarch64-linux /etc/nix/builderfleet_ed25519 4 1 big-parallel - c3NoLWVkMjU1MTk=",
        "ssh-ng://builder@builderfleet?ssh-key=/etc/nix/builderfleet_ed25519",
        "github:NixOS/nixpkgs/735a15e91bcb1b3e0883a91d3c9dfd4475d1bc54?narHash=sha256-Q%2Bg1Np4wyNYpylt8RFM8UprAmyRoA3q",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJBWcxb/Blaqt1auOtE+F8QUWrUotiC5qBJ+UuEWdVCb root@nixos",
        "trusted-public-keys = cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=",
        "netrc-file = /etc/nix/netrc",
        "access-tokens =\nbuilders = @/etc/nix/machines",
        "http://192.0.2.1:8080/cache@v1 https://cache.example/@scope",
        "error: illegal configuration line 'garbage' in '/etc/nix/nix.conf'",
        "anna@192.0.2.7: Permission denied (publickey,password,keyboard-interactive)",
        "Incorrect sudo password: sudo on this Mac wants a password: run with --ask-become-pass",
        "set ansible_become_password, or let the account use sudo without one",
        "PasswordAuthentication no\nBasic authentication is off",
        "nix_github_token: there is no such variable",
        "é ü 漢 🍏 “quoted”",
    ],
)
def test_everything_else_stays(text: str) -> None:
    assert masked(text) == text


def test_control_characters_are_visible() -> None:
    assert masked("\x1b]0;owned\x07\x00\x7f\r") == "^[]0;owned^G^@^?^M"
    assert masked("\x9b31m \u202egnp.\u202c \ufeff \udce9") == "\\x9b31m \\u202egnp.\\u202c \\ufeff \\xe9"
    assert masked("tab\tand\nline") == "tab\tand\nline"


@given(st.one_of(st.text(), st.lists(st.sampled_from(SECRETS + TOKENS)).map("\n".join)))
def test_lines_stay_lines_and_once_more_changes_nothing(text: str) -> None:
    once = masked(text)
    assert once.count("\n") == text.count("\n")
    assert masked(once) == once
    assert all(each.isprintable() or each in "\t\n" for each in once)


def test_somebody_elses_line_is_named_by_its_beginning() -> None:
    assert beginning("  access-tokens=github.com=hunter2") == "access-tokens …"
    assert beginning("\ufeff# my hunter2") == "\\ufeff# …"
    assert (beginning("garbage"), beginning("")) == ("garbage", "")


# --- the places that text gets out by ------------------------------------------------------------------------------

DANGER = "seen: access-tokens = hunter2 \x1b[31m"
SAID: dict[str, Callable[[], str]] = {
    "change": lambda: Change(DANGER, "").summary,
    "blocked": lambda: "".join((Blocked(DANGER, "").summary, Blocked("", DANGER).remedy)),
    "refused": lambda: str(Refused("it", DANGER, "")),
    "wrong": lambda: str(WrongVariable("it", DANGER)),
    "finding": lambda: broken("it", DANGER, DANGER).cause + broken("it", DANGER, DANGER).remedy,
    "failure": lambda: str(SessionError(DANGER)),
    "table": lambda: "\n".join(table({"anna": Result(Outcome.FAILED, DANGER)})),
    "json": lambda: as_json({"anna": Result(Outcome.FAILED, DANGER)}),
    "junit": lambda: as_junit({"anna": Result(Outcome.FAILED, DANGER)}),
    "diff": lambda: "\n".join(Diff("it", "", DANGER).lines),
    "diff's sides": lambda: "".join(Diff("it", DANGER, "").changed),
}


@pytest.mark.parametrize("place", SAID)
def test_nothing_gets_out_unmasked(place: str) -> None:
    said = SAID[place]()
    assert "***" in said and "hunter2" not in said and "\x1b" not in said


def test_what_a_change_runs_is_not_masked() -> None:
    assert Change("it", DANGER).script == DANGER


def test_a_private_key_is_hidden_also_where_only_the_last_lines_are_shown() -> None:
    session = Session((), who="a test")
    probe = session.probe()
    assert probe
    key = "-----BEGIN PRIVATE KEY-----\n" + "hunter2\n" * 20
    with pytest.raises(SessionError) as failed:
        session.hear("rubbish", key)
    assert "hunter2" not in str(failed.value)


# --- diffs ---------------------------------------------------------------------------------------------------------

FOREIGN = "access-tokens = github.com=hunter2\nnetrc-file = /etc/nix/netrc\n# \x1b[2J\x00\n"


def test_a_diff_shows_the_lines_that_change_and_no_others() -> None:
    diff = Diff("/etc/nix/nix.conf", FOREIGN, FOREIGN + "keep-outputs = true\n")
    assert diff.lines == [
        "--- /etc/nix/nix.conf (now)",
        "+++ /etc/nix/nix.conf (wanted)",
        "@@ -4,0 +4,1 @@",
        "+keep-outputs = true",
    ]
    assert diff.changed == ("", "keep-outputs = true\n")


def test_a_secret_that_changes_is_seen_to_change() -> None:
    lines = Diff("it", "access-tokens = a=hunter2\n", "access-tokens = a=hunter3\n").lines
    assert lines[3:] == ["-access-tokens = ***", "+access-tokens = ***"]


def test_only_a_line_feed_ends_a_line() -> None:
    assert Diff("it", "a\x0cb\rc\u2028d\n", "").lines[3:] == ["-a^Lb^Mc\\u2028d"]


@given(st.text("ab\n"), st.text("ab\n"))
def test_both_sides_are_what_differs(before: str, after: str) -> None:
    diff = Diff("it", before, after)
    gone, come = diff.changed
    marked = diff.lines[2:]
    assert gone == "".join(f"{line[1:]}\n" for line in marked if line.startswith("-"))
    assert come == "".join(f"{line[1:]}\n" for line in marked if line.startswith("+"))
    assert bool(diff.lines) == (before.splitlines() != after.splitlines())


def test_a_long_file_takes_no_time() -> None:
    long = "machine\n" * 200_000
    assert Diff("it", long, long + "ours\n").changed == ("", "ours\n")


def test_json_is_json_still() -> None:
    assert json.loads(as_json({"anna": Result(Outcome.FAILED, SECRETS[0])}))["exit_code"] == 1
