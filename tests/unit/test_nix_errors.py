# SPDX-License-Identifier: GPL-3.0-or-later
"""What Nix says of a build that fails, by version: its cause, once."""

from __future__ import annotations

import pytest
from builderfleet.plugin_utils.nix_errors import REFUSED, SEEN, once, refused
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
    assert refused(f"x\n{REFUSED[version].replace('HOST', host)}").startswith(means)


def test_a_cache_that_is_only_warned_of_is_no_cause() -> None:
    assert refused("warning: unable to download 'https://cache.example/nix-cache-info': HTTP error 403") == ""
