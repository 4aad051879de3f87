# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Debian release a simulated Mac's Nix is of, and how it is started there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulated_mac import releases
from tests.simulated_mac.errors import GuestError
from tests.simulated_mac.releases import Release, key, release

OWN = Release("2.8.0", Path("/"), "own")
OFFERED = {"bookworm": "2.8.0", "trixie": "2.26.3", "sid": "2.34.8"}


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """What was fetched of an archive, on a machine with the oldest Nix."""
    fetched: list[str] = []

    def unpacked(suite: str, report: object) -> Release:
        fetched.append(suite)
        return Release(OFFERED[suite], tmp_path / suite, suite)

    monkeypatch.setattr(releases, "own", lambda: OWN)
    monkeypatch.setattr(releases, "_kept", dict)
    monkeypatch.setattr(releases, "_offered", lambda suite: OFFERED[suite])
    monkeypatch.setattr(releases, "_unpacked", unpacked)
    monkeypatch.delenv("BUILDERFLEET_NIX", raising=False)
    releases._newest.cache_clear()
    releases._release.cache_clear()
    yield fetched
    releases._newest.cache_clear()
    releases._release.cache_clear()


@pytest.mark.parametrize(
    ("version", "nix", "fetched"),
    [
        ("own", "2.8.0", []),
        ("2.8", "2.8.0", []),
        ("2.26", "2.26.3", ["trixie"]),
        ("2.34.8", "2.34.8", ["sid"]),
        ("newest", "2.34.8", ["sid"]),
    ],
)
def test_a_version_is_had_where_it_is(archive: list[str], version: str, nix: str, fetched: list[str]) -> None:
    assert release(version).nix == nix
    assert archive == fetched


def test_a_version_that_nobody_has_is_refused_with_those_that_there_are(archive: list[str]) -> None:
    with pytest.raises(GuestError, match=r"wanted Nix 2\.3; what can be had is 2\.8\.0, 2\.26\.3, 2\.34\.8"):
        release("2.3")


def test_the_environment_chooses_where_nothing_is_said(archive: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDERFLEET_NIX", "2.26")
    assert release().nix == "2.26.3"


def test_without_a_mirror_what_is_here_has_to_do(archive: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(suite: str, report: object) -> Release:
        raise GuestError("no mirror")

    monkeypatch.setattr(releases, "_unpacked", unreachable)
    said: list[str] = []
    assert release("newest", said.append) == OWN
    assert said == ["taking Nix 2.8.0, which is here, because a newer one cannot be had: no mirror"]
    releases._newest.cache_clear()
    kept = Release("2.26.3", Path("/kept"), "trixie")
    monkeypatch.setattr(releases, "_kept", lambda: {"trixie": kept})
    assert release("newest") == kept


def test_a_machine_that_is_newer_than_the_archive_stays_as_it_is(
    archive: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = Release("2.40.0", Path("/"), "own")
    monkeypatch.setattr(releases, "own", lambda: newer)
    assert release("newest") == newer


def test_versions_compare_as_numbers() -> None:
    assert key("2.8.0") < key("2.26.3") < key("2.34pre1")


def test_a_program_of_another_release_is_started_by_its_own_loader(tmp_path: Path) -> None:
    libraries = tmp_path / "usr/lib/x86_64-linux-gnu"
    libraries.mkdir(parents=True)
    (libraries / "ld-linux-x86-64.so.2").touch()
    words = Release("2.34.8", tmp_path, "sid").command("usr/bin/nix", "nix-build", Path("/r"))
    there = "/r/usr/lib/x86_64-linux-gnu"
    loader = f"{there}/ld-linux-x86-64.so.2"
    assert words == (loader, "--library-path", there, "--argv0", "nix-build", "/r/usr/bin/nix")
    assert OWN.command("usr/bin/nix", "nix-build", Path("/d")) == ("/d/usr/bin/nix",)


@pytest.mark.parametrize(
    ("targets", "mirror"),
    [
        (
            "Google|main|http://g/\nDebian-Security|main|http://s/\nDebian|main|http://d/\nDebian|main|http://u/\n",
            "http://d/",
        ),
        ("Google|main|http://g/\n", None),
    ],
)
def test_the_mirror_is_the_machine_s_own(targets: str, mirror: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "run", lambda command, remedy: targets)
    if mirror is None:
        with pytest.raises(GuestError, match="wanted a Debian mirror"):
            releases._mirror()
    else:
        assert releases._mirror() == mirror
