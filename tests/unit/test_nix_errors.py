# SPDX-License-Identifier: GPL-3.0-or-later
"""What Nix says of a build that fails, by version: its cause, once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from builderfleet.plugin_utils.asking import Answers
from builderfleet.plugin_utils.masked import masked
from builderfleet.plugin_utils.nix_errors import REFUSED, SEEN, once, refused
from builderfleet.plugin_utils.questions.nix import NixSources, Source
from builderfleet.plugin_utils.resources.builder_vm import BuilderVm
from builderfleet.plugin_utils.session import _error, _last_lines

CAUSES = {
    "2.8.0": "error: builder for '/nix/store/1-a.drv' failed with exit code 1",
    "2.26.3": "error: builder for '/nix/store/1-a.drv' failed with exit code 1",
    "2.34.8": "error: Cannot build '/nix/store/1-a.drv': builder failed with exit code 1.",
}


@pytest.mark.parametrize("version", SEEN)
def test_each_nix_says_the_cause_once(version: str) -> None:
    said = _last_lines(f"building it\n{SEEN[version]}the build failed: see above")
    assert said.splitlines() == ["building it", CAUSES[version], "the build failed: see above"]
    assert _error(said) == CAUSES[version]


def test_a_builder_of_another_system_is_the_cause() -> None:
    said = "error: Cannot build '/nix/store/1-a.drv'.\n Reason: platform mismatch\n Required system: 'aarch64-linux'\n"
    assert once(said.splitlines()) == [
        "error: Cannot build '/nix/store/1-a.drv': platform mismatch",
        "Required system: 'aarch64-linux'",
    ]


def test_what_is_all_that_is_said_stays() -> None:
    only = "error: 1 dependencies of derivation '/nix/store/2-b.drv' failed to build"
    assert once([only, "  ", "/nix/store/x"]) == [only, "", "/nix/store/x"]


NOT_ASKED = Answers.given({})
CONF, MORE = "/etc/nix/nix.conf", "/etc/nix/more.conf"
TOKEN = Source(CONF, 3, "access-tokens", "github.com gitlab.com")
ADDED = Source(MORE, 1, "extra-access-tokens", "github.com")
OTHERS = Source(MORE, 2, "access-tokens", "")


@pytest.mark.parametrize("version", REFUSED)
@pytest.mark.parametrize(
    ("host", "means"),
    [
        (
            "api.github.com",
            "It is api.github.com that refuses (HTTP 403), and no binary cache. A token in Nix's access-tokens",
        ),
        (
            "cache.example",
            "It is cache.example that refuses (HTTP 403): what it wants a login for needs a line in Nix's netrc",
        ),
        ("notgithub.com", "It is notgithub.com that refuses (HTTP 403): what it wants a login for"),
    ],
)
def test_who_refuses_a_download_tells_what_it_means(version: str, host: str, means: str) -> None:
    assert refused(f"x\n{REFUSED[version].replace('HOST', host)}", NOT_ASKED).startswith(means)


def test_a_cache_that_is_only_warned_of_is_no_cause() -> None:
    assert (
        refused("warning: unable to download 'https://cache.example/nix-cache-info': HTTP error 403", NOT_ASKED) == ""
    )


@pytest.mark.parametrize(
    ("host", "status", "sources", "means"),
    [
        ("api.github.com", 401, [TOKEN], f"`access-tokens` in {CONF}, line 3, is what Nix sent: renew it"),
        ("api.github.com", 401, [TOKEN, ADDED], f"`extra-access-tokens` in {MORE}, line 1, is what Nix sent: renew it"),
        (
            "api.github.com",
            403,
            [TOKEN],
            f"{CONF}, line 3, is what Nix sent: it may not do that, or its requests are used up",
        ),
        ("gitlab.com", 401, [TOKEN, ADDED], f"`access-tokens` in {CONF}, line 3, is what Nix sent"),
        ("api.github.com", 403, [], "without a login it limits requests: wait an hour"),
        ("api.github.com", 403, [TOKEN, ADDED, OTHERS], "without a login it limits requests"),
        (
            "gitlab.com",
            401,
            [ADDED],
            "No `access-tokens` were sent there: if there is a line for it in Nix's netrc-file",
        ),
        ("github.com", 403, [TOKEN], "without a login it limits requests"),  # tokens go to its API alone
        ("raw.githubusercontent.com", 401, [TOKEN], "No `access-tokens` were sent there"),
    ],
)
def test_what_nix_sent_to_a_forge_is_told_by_its_files(
    host: str, status: int, sources: Sequence[Source], means: str
) -> None:
    said = f"error: unable to download 'https://{host}/x': HTTP error {status}"
    assert means in masked(refused(said, Answers.given({NixSources(): tuple(sources)})))


def test_who_downloads_asks_for_the_lines() -> None:
    assert NixSources() in BuilderVm().questions()
