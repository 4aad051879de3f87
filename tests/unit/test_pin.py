# SPDX-License-Identifier: GPL-3.0-or-later
"""`builderfleet pin`: what is fetched and resolved is what is written; from a web server and a git repository of its own."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from builderfleet import pin
from builderfleet.cli import main
from builderfleet.pin import flake_of
from builderfleet.plugin_utils.variables import PREFIXES, VARIABLES, values

SHIPPED = Path(__file__).parents[2] / "inventory/group_vars/macs.yml"
INSTALLER = b"\xcf\xfa\xed\xfe" * 700_000
SHA256 = hashlib.sha256(INSTALLER).hexdigest()
PINNED = {variable.name: variable.default for variable in VARIABLES}


class Handler(http.server.BaseHTTPRequestHandler):
    """/whole/VERSION is the installer; the other paths are what goes wrong."""

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        body = b"<html>" if kind == "portal" else b"" if kind == "empty" else INSTALLER
        if kind == "moved":
            self.send_response(302)
            self.send_header("Location", self.path.replace("moved", "whole"))
        elif kind == "missing":
            self.send_response(404)
        else:
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if kind == "portal" else "application/octet-stream")
            if kind != "silent":
                self.send_header("Content-Length", str(len(body) + (kind == "short")))
        self.end_headers()
        if kind not in ("moved", "missing"):
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def git(directory: Path, *words: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "init.defaultBranch=master"]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", *identity, *words], cwd=directory, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def nixpkgs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, str]]:
    """A repository with a commit on each branch, and a tag with a message; its URL, and the revisions."""
    directory = tmp_path_factory.mktemp("nixpkgs")
    git(directory, "init", "-q")
    revisions = {}
    for branch in ("nixpkgs-25.11-darwin", "nixpkgs-26.05-darwin", "nixpkgs-unstable"):
        git(directory, "checkout", "-q", "-b", branch)
        git(directory, "commit", "-q", "--allow-empty", "-m", branch)
        revisions[branch] = git(directory, "rev-parse", "HEAD")
    git(directory, "tag", "-a", "-m", "message", "26.05")
    revisions["tag"] = git(directory, "rev-parse", "26.05^{commit}")
    assert git(directory, "rev-parse", "26.05") != revisions["tag"]
    return f"file://{directory}", revisions


@pytest.fixture(autouse=True)
def no_nix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with git and no nix; the directory on it."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("git", "sh", "cat"):
        found = shutil.which(name)
        assert found
        (programs / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return programs


@pytest.fixture
def variables(tmp_path: Path, web: str) -> Path:
    """A copy of the shipped variables, whose installer comes from the web server."""
    path = tmp_path / "macs.yml"
    source = next(line for line in SHIPPED.read_text().splitlines() if line.startswith("# nix_installer_source: "))
    path.write_text(SHIPPED.read_text().replace(source, f'nix_installer_source: "{web}/whole/{{version}}"'))
    return path


def run(path: Path, *words: str) -> int:
    return main(["pin", "--file", str(path), *words])


def read(path: Path) -> dict[str, Any]:
    """What Ansible reads of our own variables; all of it has to be right."""
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    assert values(loaded)[1] == ()
    return {name: value for name, value in loaded.items() if name.startswith(PREFIXES)}


# --- the installer -------------------------------------------------------------------------------------------------


def test_an_installer_is_hashed_and_written_where_its_default_stood(
    variables: Path, web: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = variables.read_text()
    assert run(variables, "--installer", "2.36.0") == 0
    assert variables.read_text() == before.replace(
        f"# nix_installer_version: {PINNED['nix_installer_version']}", "nix_installer_version: 2.36.0"
    ).replace(f'# nix_installer_sha256: "{PINNED["nix_installer_sha256"]}"', f'nix_installer_sha256: "{SHA256}"')
    assert read(variables) == {
        "nix_installer_source": f"{web}/whole/{{version}}",
        "nix_installer_version": "2.36.0",
        "nix_installer_sha256": SHA256,
    }
    printed = capsys.readouterr()
    assert "+nix_installer_version: 2.36.0\n" in printed.out
    assert f"  installer 2.36.0: SHA-256 {SHA256} of {web}/whole/2.36.0\n" in printed.out
    assert f"fetching {web}/whole/2.36.0\n" in printed.err
    assert "2.8 MB, all of it" in printed.err
    assert "warning" not in printed.out
    assert run(variables, "--installer", "2.36.0") == 0
    assert capsys.readouterr().out.startswith(f"converged: {variables}\n")


def test_dry_writes_nothing(variables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = variables.read_bytes()
    assert run(variables, "--installer", "2.36.0", "--dry") == 2
    assert variables.read_bytes() == before
    assert f'+nix_installer_sha256: "{SHA256}"\n' in capsys.readouterr().out
    assert run(variables, "--installer", "2.36.0") == 0
    assert run(variables, "--installer", "2.36.0", "--dry") == 0


def test_other_bytes_for_the_same_release_are_cause_for_alarm(
    variables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(variables, "--installer", PINNED["nix_installer_version"]) == 0
    assert "  warning: http://" in (out := capsys.readouterr().out)
    assert "is not what was pinned for 2.35.2, and a release does not change" in out


@pytest.mark.parametrize("kind", ["moved", "silent"])
def test_ways_of_delivery(variables: Path, kind: str) -> None:
    variables.write_text(variables.read_text().replace("/whole/", f"/{kind}/"))
    assert run(variables, "--installer", "2.36.0") == 0
    assert read(variables)["nix_installer_sha256"] == SHA256


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("missing", "saw HTTP 404 Not Found"),
        ("short", f"saw {len(INSTALLER)} bytes of {len(INSTALLER) + 1}"),
        ("empty", "saw 0 bytes of 0"),
        ("portal", "saw a web page"),
    ],
)
def test_an_installer_that_does_not_come(
    variables: Path, web: str, kind: str, seen: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = variables.read_text().replace("/whole/", f"/{kind}/")
    variables.write_text(before)
    assert run(variables, "--installer", "2.36.0") == 1
    error = capsys.readouterr().err
    assert f"failed: wanted the installer from {web}/{kind}/2.36.0, {seen}" in error
    assert "name a mirror in nix_installer_source" in error
    assert variables.read_text() == before


def test_nobody_answers(variables: Path, web: str, capsys: pytest.CaptureFixture[str]) -> None:
    variables.write_text(variables.read_text().replace(web, "http://127.0.0.1:1"))
    assert run(variables, "--installer", "2.36.0") == 1
    assert "Connection refused" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words", "said"),
    [
        ("", ["--installer", "v2"], "nix_installer_version: it is a version such as 2.35.2"),
        ("nix_installer_source: /Users/Shared/x", ["--installer", "2.36.0"], "a file that only the Macs have"),
        ("nix_installer_source: ftp://x/y", ["--installer", "2.36.0"], "nix_installer_source: it is an http"),
        ("nix_installer_version: 2.36", [], "line 1: nix_installer_version has to be a string, saw YAML's float"),
        ("nix_installer_version: '{{ v }}'", [], "nix_installer_version: it is a version"),
        ("linux_builder_nixpkgs_release: 25.11", ["--nixpkgs", "x"], "has to be a string, saw YAML's float"),
        ('linux_builder_nixpkgs_release: ""', ["--installer", "2.36.0", "--nixpkgs", "a b"], "a branch, a tag or a revision"),
        ("a: [", [], "cannot be read as YAML"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused(
    tmp_path: Path, web: str, line: str, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "macs.yml"
    source = "" if "source" in line else f"nix_installer_source: {web}/whole/{{version}}\n"
    path.write_text(before := f"{line}\n{source}")
    assert run(path, *words) == 1
    assert said in capsys.readouterr().err
    assert path.read_text() == before


def test_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "none.yml") == 1
    assert "wanted the file" in capsys.readouterr().err


# --- nixpkgs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "name", "key", "release"),
    [
        ("nixpkgs-26.05-darwin", "refs/heads/nixpkgs-26.05-darwin", "nixpkgs-26.05-darwin", "26.05"),
        ("refs/heads/nixpkgs-25.11-darwin", "refs/heads/nixpkgs-25.11-darwin", "nixpkgs-25.11-darwin", "25.11"),
        ("26.05", "refs/tags/26.05", "tag", "26.05"),
        ("nixpkgs-unstable", "refs/heads/nixpkgs-unstable", "nixpkgs-unstable", ""),
    ],
)
def test_a_branch_becomes_a_revision(
    variables: Path,
    nixpkgs: tuple[str, dict[str, str]],
    reference: str,
    name: str,
    key: str,
    release: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, revisions = nixpkgs
    assert run(variables, "--nixpkgs", reference, "--nixpkgs-url", url) == 0
    now = read(variables)
    assert now["linux_builder_nixpkgs"] == f"git+{url}?ref={name}&rev={revisions[key]}"
    assert now["linux_builder_nixpkgs_release"] == release
    assert "nix_installer_version" not in now
    out = capsys.readouterr().out
    assert "narHash was left out (there is no nix on this machine's PATH)" in out
    assert ("is emptied" in out) == (release == "")


def test_without_words_what_is_pinned_now_is_resolved_anew(
    variables: Path, nixpkgs: tuple[str, dict[str, str]]
) -> None:
    url, revisions = nixpkgs
    assert run(variables, "--nixpkgs-url", url) == 0
    now = read(variables)
    assert now["linux_builder_nixpkgs"].endswith(f"rev={revisions['nixpkgs-25.11-darwin']}")
    assert (now["linux_builder_nixpkgs_release"], now["nix_installer_version"]) == ("25.11", "2.35.2")
    assert now["nix_installer_sha256"] == SHA256
    after = variables.read_text()
    assert run(variables, "--nixpkgs-url", url) == 0
    assert variables.read_text() == after


def test_a_revision_is_taken_as_it_is(variables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(variables, "--nixpkgs", "a" * 40) == 0
    now = read(variables)
    assert now["linux_builder_nixpkgs"] == f"github:NixOS/nixpkgs/{'a' * 40}"
    assert now["linux_builder_nixpkgs_release"] == ""
    assert "linux_builder_nixpkgs_release is emptied" in capsys.readouterr().out


def test_a_hash_that_is_there_stays_with_its_revision(variables: Path) -> None:
    revision = PINNED["linux_builder_nixpkgs"].split("/")[2].split("?")[0]
    assert run(variables, "--nixpkgs", revision) == 0
    now = read(variables)
    assert now["linux_builder_nixpkgs"] == PINNED["linux_builder_nixpkgs"]
    assert now["linux_builder_nixpkgs_release"] == "25.11"


@pytest.mark.parametrize(
    ("url", "reference", "said"),
    [
        (
            None,
            "nixpkgs-27.05-darwin",
            "wanted refs/heads/nixpkgs-27.05-darwin or refs/tags/nixpkgs-27.05-darwin of file://",
        ),
        ("file:///nowhere", "x", "wanted the references of file:///nowhere, saw git end with status 128: "),
        ("/tmp", "x", "--nixpkgs-url has to be a URL"),
        ("https://me:secret@mirror.example/nixpkgs", "x", "mirror.example's holds a password or token"),
        ("https://token@mirror.example/nixpkgs", "x", "mirror.example's holds a password or token"),
        (None, "--upload-pack=x", "has to be a branch, a tag or a revision"),
    ],
)
def test_a_nixpkgs_that_cannot_be_resolved(
    variables: Path,
    nixpkgs: tuple[str, dict[str, str]],
    url: str | None,
    reference: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = variables.read_text()
    assert run(variables, f"--nixpkgs={reference}", "--nixpkgs-url", url or nixpkgs[0]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "secret" not in error
    assert variables.read_text() == before


def test_no_release_and_no_branch(variables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = variables.read_text()
    variables.write_text(text.replace("# linux_builder_nixpkgs_release:", "linux_builder_nixpkgs_release: ''\n#"))
    assert run(variables) == 1
    assert "name one with --nixpkgs" in capsys.readouterr().err


def test_no_git(variables: Path, no_nix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (no_nix / "git").unlink()
    assert run(variables, "--nixpkgs", "x", "--nixpkgs-url", "file:///x") == 1
    assert "Install git" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "name", "flake"),
    [
        ("https://github.com/NixOS/nixpkgs", "refs/heads/x", "github:NixOS/nixpkgs/R"),
        ("https://github.com/NixOS/nixpkgs.git", "", "github:NixOS/nixpkgs/R"),
        ("https://github.com/NixOS/nixpkgs/", "", "github:NixOS/nixpkgs/R"),
        ("https://git.example/a/b.git", "refs/heads/x", "git+https://git.example/a/b.git?ref=refs/heads/x&rev=R"),
        ("ssh://git@git.example/b", "", "git+ssh://git@git.example/b?allRefs=1&rev=R"),
    ],
)
def test_flake_references(url: str, name: str, flake: str) -> None:
    assert flake_of(url, name, "R") == flake


# --- Nix's hash ----------------------------------------------------------------------------------------------------


def nix(programs: Path, script: str) -> Path:
    """Put a script in nix's place."""
    program = programs / "nix"
    program.write_text(f'#!/bin/sh\necho "$@" > {programs / "asked"}\n{script}\n')
    program.chmod(0o755)
    return programs / "asked"


def test_nix_tells_the_hash(variables: Path, nixpkgs: tuple[str, dict[str, str]], no_nix: Path) -> None:
    url, revisions = nixpkgs
    asked = nix(no_nix, f"echo '{json.dumps({'locked': {'narHash': 'sha256-a+b/c='}})}'")
    assert run(variables, "--nixpkgs", "nixpkgs-26.05-darwin", "--nixpkgs-url", url) == 0
    flake = f"git+{url}?ref=refs/heads/nixpkgs-26.05-darwin&rev={revisions['nixpkgs-26.05-darwin']}"
    assert read(variables)["linux_builder_nixpkgs"] == f"{flake}&narHash=sha256-a%2Bb%2Fc%3D"
    assert asked.read_text().strip().endswith(f"flake metadata --json {flake}")
    assert run(variables, "--nixpkgs", "b" * 40) == 0
    assert read(variables)["linux_builder_nixpkgs"] == f"github:NixOS/nixpkgs/{'b' * 40}?narHash=sha256-a%2Bb%2Fc%3D"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'error: no network' >&2; exit 1", "(nix ended with status 1: error: no network)"),
        ("echo '{}'", "(nix flake metadata answered what makes no sense: KeyError('locked'))"),
        ("echo rubbish", "answered what makes no sense"),
        ("while :; do cat; done", "(nix did not tell it within 0.5 seconds)"),
    ],
)
def test_nix_that_does_not_tell_is_no_failure(
    variables: Path,
    no_nix: Path,
    script: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(pin, "_NIX_LIMIT", 0.5)
    nix(no_nix, script)
    assert run(variables, "--nixpkgs", "b" * 40) == 0
    assert read(variables)["linux_builder_nixpkgs"] == f"github:NixOS/nixpkgs/{'b' * 40}"
    out = capsys.readouterr().out
    assert "narHash was left out" in out
    assert said in out
