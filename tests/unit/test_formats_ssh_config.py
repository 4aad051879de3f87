# SPDX-License-Identifier: GPL-3.0-or-later
"""ssh_config: the laws of editing over generated files, and real ssh as the judge of what it reads."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from builderfleet.plugin_utils.formats import ssh_config
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.unit.foreign_files import files

HOST = ssh_config.Host(
    "builderfleet",
    (
        ("Hostname", "127.0.0.1"),
        ("Port", "31022"),
        ("User", "builder"),
        ("HostKeyAlias", "builderfleet"),
        ("IdentityFile", "/etc/nix/a key"),
        ("IdentitiesOnly", "yes"),
        ("ConnectTimeout", "10"),
        ("ProxyCommand", "nc \"$(cat '/x y')\" %p"),
    ),
)
LINES = [
    b"# Include /etc/ssh/ssh_config.d/*",
    b"Include /etc/ssh/ssh_config.d/*",
    b'include = "/etc/ssh/ssh_config.d/*"',
    b"\tINCLUDE=/etc/ssh/ssh_config.d/*.conf",
    b"Include /etc/other /etc/ssh/ssh_config.d/[0-9]* # both",
    b"Include /etc/ssh/ssh_config.d/100-*",
    b"Include /etc/ssh/ssh_config.d/*/x",
    b"Include 'unfinished /etc/ssh/ssh_config.d/*",
    b"Include",
    b"SendEnv LANG LC_*",
    b"Host *",
    b"Host * !foo",
    b"Host foo",
    b"Match all",
    b"Match host foo",
    ssh_config.INCLUDE_COMMENT.encode(),
]
FILES = files(LINES)


@given(FILES)
def test_what_is_put_in_comes_out_again(data: bytes) -> None:
    assume(ssh_config.without_include(data) == data)
    assert ssh_config.without_include(ssh_config.with_include(data)) == data


@given(FILES)
def test_including_again_changes_nothing(data: bytes) -> None:
    edited = ssh_config.with_include(data)
    assert ssh_config.includes_directory(edited)
    assert ssh_config.with_include(edited) == edited
    assert ssh_config.without_include(edited) == ssh_config.without_include(data)


def test_our_include_is_moved_to_the_top_when_it_is_inside_a_host_block() -> None:
    block = ssh_config.with_include(b"")
    assert ssh_config.with_include(b"Host foo\n" + block + b"  Port 1") == block + b"Host foo\n  Port 1"
    assert ssh_config.without_include(b"Host foo\n" + block.rstrip(b"\n")) == b"Host foo\n"


@pytest.mark.parametrize("last", ["*", "150-*", "[ab]*", "fixed.conf"])
def test_any_pattern_comes_and_goes(last: str) -> None:
    pattern = f"/etc/ssh/elsewhere/{last}"
    edited = ssh_config.with_include(b"Host foo\n", pattern)
    assert ssh_config.with_include(edited, pattern) == edited != b"Host foo\n"
    assert ssh_config.without_include(edited, pattern) == b"Host foo\n"


@pytest.mark.parametrize("pattern", ["relative/*", "/with blank/*", '/with"quote', "/with\nline"])
def test_a_pattern_that_would_be_read_otherwise_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"wanted .* saw "):
        ssh_config.with_include(b"", pattern)


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (b"Include /etc/ssh/ssh_config.d/*\n", True),
        (b'  include="/etc/ssh/ssh_config.d/*"', True),
        (b"Include ssh_config.d/*.conf\r\n", True),
        (b"Include /a /etc/ssh//ssh_config.d/*.conf # c", True),
        (b"Host *\n  Include /etc/ssh/ssh_config.d/*", True),
        (b"Host foo\nInclude /etc/ssh/ssh_config.d/*", False),
        (b"Match host foo\nHost *\nInclude /etc/ssh/ssh_config.d/*", False),
        (b"#Include /etc/ssh/ssh_config.d/*", False),
        (b"Include /etc/ssh/ssh_config.d/100-*", False),
        (b"Include /etc/ssh/*", False),
        (b"Include /a # /etc/ssh/ssh_config.d/*", False),
        (b"Include /a \0 /etc/ssh/ssh_config.d/*", False),
        (b"Includes /etc/ssh/ssh_config.d/*", False),
        (b"", False),
    ],
)
def test_which_includes_count(data: bytes, read: bool) -> None:
    assert ssh_config.includes_directory(data) is read


def test_the_rendered_block() -> None:
    assert HOST.render() == (
        b"# managed by builderfleet: changes are put right at the next run\n"
        b"Host builderfleet\n"
        b"  Hostname 127.0.0.1\n"
        b"  Port 31022\n"
        b"  User builder\n"
        b"  HostKeyAlias builderfleet\n"
        b'  IdentityFile "/etc/nix/a key"\n'
        b"  IdentitiesOnly yes\n"
        b"  ConnectTimeout 10\n"
        b"  ProxyCommand nc \"$(cat '/x y')\" %p\n"
    )


@pytest.mark.parametrize(
    ("alias", "keyword", "value"),
    [
        ("*", "Port", "1"),
        ("a b", "Port", "1"),
        ("", "Port", "1"),
        ("-o", "Port", "1"),
        ("a", "Host", "b"),
        ("a", "Include", "/x"),
        ("a", "Port 1\n", "1"),
        ("a", "Port", ""),
        ("a", "User", " x"),
        ("a", "User", "x\nHost *"),
        ("a", "IdentityFile", '/a"b'),
        ("a", "ProxyCommand", "a\nb"),
        ("a", "ProxyCommand", "= a"),
    ],
)
def test_what_ssh_would_read_otherwise_is_refused(alias: str, keyword: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"ssh_config: wanted "):
        ssh_config.Host(alias, ((keyword, value),))


def test_effective_collects_repeated_keywords() -> None:
    seen = ssh_config.effective("user builder\nidentityfile /a\nidentityfile /b c\nproxycommand x  y\n\n")
    assert seen == {"user": ["builder"], "identityfile": ["/a", "/b c"], "proxycommand": ["x  y"]}


needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh on this machine: its parser cannot be asked")
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def ask_ssh(config: Path, alias: str) -> dict[str, list[str]] | None:
    """What ssh makes of the file for this alias; None if it refuses the file."""
    command = ["ssh", "-G", "-F", str(config), alias]
    done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    return ssh_config.effective(done.stdout.decode()) if done.returncode == 0 else None


@needs_ssh
def test_real_ssh_reads_the_rendered_block(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(HOST.render())
    seen = ask_ssh(tmp_path / "config", "builderfleet")
    assert seen is not None
    for keyword, value in HOST.options:
        expected = {"yes": "yes"}.get(value, value)
        assert seen[keyword.lower()] == [expected]
    elsewhere = ask_ssh(tmp_path / "config", "elsewhere")
    assert elsewhere is not None
    assert elsewhere["port"] == ["22"]


@needs_ssh
@few
@given(st.lists(st.sampled_from(LINES), max_size=4).map(b"\n".join), st.booleans())
def test_real_ssh_includes_what_is_said_to_be_included(tmp_path: Path, data: bytes, edit: bool) -> None:
    directory = tmp_path / "ssh_config.d"
    directory.mkdir(exist_ok=True)
    (directory / ssh_config.DEFAULT_FILE_NAME).write_bytes(HOST.render())
    data = data.replace(b"/etc/ssh/ssh_config.d", str(directory).encode())
    if edit:
        data = ssh_config.with_include(data, f"{directory}/*")
    (tmp_path / "config").write_bytes(data)
    seen = ask_ssh(tmp_path / "config", "builderfleet")
    assume(seen is not None)  # ssh refuses the unfinished ones, whatever else they hold
    assert seen is not None
    included = ssh_config.includes_directory(data, str(directory))
    if included:
        assert seen["port"] == ["31022"]
    elif b"* !foo" not in data and b"Match" not in data:  # taken for conditional, which is the safe side
        assert "31022" not in seen["port"]
