# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables: what each may be, what is said of what it may not be, and that all of them are explained."""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from builderfleet.plugin_utils.size import Size
from builderfleet.plugin_utils.variables import PREFIXES, STOCK_HOST_KEY, VARIABLES, values
from ruamel.yaml import YAML

from tests.unit.answers import REVISION

DOCUMENT = Path(__file__).parents[2] / "inventory/group_vars/macs.yml"
DEFAULTS = {variable.name: variable.default for variable in VARIABLES}

_RSA = (b"ssh-rsa", bytes(3), bytes(257))
RSA = f"ssh-rsa {b64encode(b''.join(len(each).to_bytes(4) + each for each in _RSA)).decode()} anna"

GOOD: dict[str, list[tuple[Any, Any]]] = {
    "nix_state": [("present", "present"), ("absent", "absent")],
    "nix_installer_version": [("2.35.2", "2.35.2"), ("10.0.11", "10.0.11")],
    "nix_installer_source": [
        ("https://mirror.example/{version}/x?a=b&c=$d", "https://mirror.example/{version}/x?a=b&c=$d"),
        ("http://192.0.2.1:8080/x", "http://192.0.2.1:8080/x"),
        ("/Users/Shared/nix-installer", "/Users/Shared/nix-installer"),
    ],
    "nix_installer_sha256": [("", ""), ("a1" * 32, "a1" * 32)],
    "nix_extra_conf": [([], ()), (["a = b", "# c"], ("a = b", "# c")), ("a = b, !include c", ("a = b", "!include c"))],
    "nix_proxy": [("", ""), ("http://proxy.example:3128", "http://proxy.example:3128")],
    "linux_builder_state": [("present", "present"), ("absent", "absent")],
    "linux_builder_nixpkgs": [
        ("", ""),
        (f"github:NixOS/nixpkgs/{REVISION}", f"github:NixOS/nixpkgs/{REVISION}"),
        (f"github:NixOS/nixpkgs/{REVISION}?dir=x", f"github:NixOS/nixpkgs/{REVISION}?dir=x"),
        (f"git+https://example.org/n?rev={REVISION}", f"git+https://example.org/n?rev={REVISION}"),
        ("path:/n?narHash=sha256-AAAA", "path:/n?narHash=sha256-AAAA"),
    ],
    "linux_builder_nixpkgs_release": [("", ""), ("25.11", "25.11")],
    "linux_builder_cores": [(1, 1), (64, 64), ("8", 8)],
    "linux_builder_memory": [("6GiB", Size(6 * 2**30)), ("512MiB", Size(2**29))],
    "linux_builder_disk": [("1TiB", Size(2**40))],
    "linux_builder_port": [(1024, 1024), (65535, 65535)],
    "linux_builder_systems": [
        ([], ()),
        (["aarch64-linux", "x86_64-linux"], ("aarch64-linux", "x86_64-linux")),
        ("aarch64-linux", ("aarch64-linux",)),
        ("aarch64-linux,x86_64-linux", ("aarch64-linux", "x86_64-linux")),
        ("", ()),
    ],
    "linux_builder_max_jobs": [(None, None), (1, 1), (64, 64)],
    "linux_builder_speed_factor": [(1, 1), (1000, 1000)],
    "linux_builder_features": [([], ()), (["kvm", "nixos-test"], ("kvm", "nixos-test")), ("kvm", ("kvm",))],
    "linux_builder_use_substitutes": [
        *((each, True) for each in (True, "true", "True", "yes", "on", "y", "1", 1)),
        *((each, False) for each in (False, "false", "False", "no", "Off", "n", "0", 0)),
    ],
    "linux_builder_host_key": [(STOCK_HOST_KEY, STOCK_HOST_KEY), (RSA, RSA)],
    "linux_builder_key_rotation": [("", ""), ("2026-11", "2026-11"), ("after.anna_left", "after.anna_left")],
    "linux_builder_certificates": [("/etc/ssl/cert.pem", "/etc/ssl/cert.pem")],
    "linux_builder_daemon_proxy": [(True, True), ("no", False)],
    "linux_builder_start_limit": [(10, 10), (3600, 3600)],
    "linux_builder_build": [("after changes", "after changes"), ("always", "always"), ("never", "never")],
}

SIZES = ["6", 6, 6.0, "6GB", "6G", "0GiB", "-6GiB", "six", "", None, True, ["6GiB"]]
WHOLE = ["08", "+8", " 8", "8 ", "1_0", 0, -1, 4.0, "4.0", "0", "-4", "٤", "four", "", True, None, [4], 10**9]
BAD: dict[str, tuple[str, list[Any]]] = {
    "nix_state": ("it is one of present, absent", ["Present", "", None, True, ["present"], {}]),
    "nix_installer_version": ("a version such as 2.35.2", ["2.35", "v2.35.2", "2.35.2-rc1", 2.35, None, "٢.٣.٤", "2.3.4\n"]),
    "nix_installer_source": ("an http.s. URL, or the absolute path", ["ftp://x/y", "nix", "", "https://a b", "/a'b", None]),
    "nix_installer_sha256": ("64 hexadecimal digits in lower case", ["A1" * 32, "a1" * 31, "sha256-abc=", None, 5]),
    "nix_extra_conf": (
        "a line for nix.conf|a text of one line",
        [None, [5], ["a\nb"], [""], {"a": "b"}, ["garbage line"], ["a=b"], ["include"], ["a = b", "\\"], "garbage"],
    ),
    "nix_proxy": ("it is the URL of an HTTP proxy", ["proxy:3128", "socks5://p", 5, None, "http://a b", "http://a'b"]),
    "linux_builder_state": ("it is one of present, absent", ["gone", None]),
    "linux_builder_nixpkgs": (
        "a locked flake reference, such as github:NixOS/nixpkgs/<40|without blanks, quotes",
        ["nixpkgs", "github:NixOS/nixpkgs/nixos-25.11", "github:NixOS/nixpkgs", f"github:NixOS/nixpkgs/{REVISION}0",
         f"github:NixOS/nixpkgs/{REVISION[:39]}", f"github:N/n/{REVISION}?x=`id`", f"github:N/n/{REVISION}?x=\"",
         f"github:N/n/{REVISION}?x=$y", f"github:N/n/{REVISION}?x=a b", None, 5],
    ),
    "linux_builder_nixpkgs_release": ("a release in quotes, such as", ["25.5", "unstable", 25.11, None]),
    "linux_builder_cores": ("a whole number from 1 to 64", [*WHOLE, 65]),
    "linux_builder_memory": ("size|unit|write|256MiB or more", [*SIZES, "255MiB"]),
    "linux_builder_disk": ("size|unit|write|1GiB or more", [*SIZES, "1MiB", "1023MiB"]),
    "linux_builder_port": ("a whole number from 1024 to 65535", [*WHOLE, 1023, 65536]),
    "linux_builder_systems": (
        "aarch64-linux or x86_64-linux", ["aarch64-darwin", ["aarch64-darwin"], ["linux"], None, [None], "linux,"]
    ),
    "linux_builder_max_jobs": ("a whole number from 1 to 64", [each for each in WHOLE if each is not None]),
    "linux_builder_speed_factor": ("a whole number from 1 to 1000", [*WHOLE, 1001, 1.5]),
    "linux_builder_features": ("the name of a feature", ["a b", ["a b"], ["a,b"], ["-"], [""], None]),
    "linux_builder_use_substitutes": ("it is true or false", ["maybe", "", 2, -1, 1.0, None, [True]]),
    "linux_builder_host_key": (
        "one line of a public key", ["AAAA", "", "ssh-ed25519", f"{STOCK_HOST_KEY}\nmore", None, "ssh-rsa A;B",
         "ssh-ed25519 AAAA", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJBWcxb/Blaqt1auOtE+F8QUWrUotiC5qBJ+Uu x",
         STOCK_HOST_KEY.replace("ed25519", "rsa"), RSA.replace("ssh-rsa ", "ssh-ed25519 "), RSA[:-8], f"from=x {RSA}"]
    ),
    "linux_builder_key_rotation": ("a word such as 2026-11", ["two words", "-x", "a;b", "a'b", "a\n", 2026, None, True]),
    "linux_builder_certificates": ("the absolute path of a file", ["cert.pem", "/a b", "/a'b", "/", "", None]),
    "linux_builder_daemon_proxy": ("it is true or false", ["http://proxy.example", None]),
    "linux_builder_start_limit": ("a whole number from 10 to 3600", [*WHOLE, 9, 3601]),
    "linux_builder_build": ("one of after changes, always, never", ["after-changes", True, None]),
}  # fmt: skip


def test_every_variable_is_tested() -> None:
    names = [variable.name for variable in VARIABLES]
    assert len(set(names)) == len(names)
    assert list(GOOD) == names == list(BAD)
    assert all(name.startswith(PREFIXES) for name in names)


@pytest.mark.parametrize(
    ("name", "value", "read"), [(name, value, read) for name, pairs in GOOD.items() for value, read in pairs]
)
def test_a_good_value(name: str, value: Any, read: Any) -> None:
    found, wrong = values({name: value})
    assert (found[name], wrong) == (read, ())


@pytest.mark.parametrize(
    ("name", "value", "right"), [(name, value, right) for name, (right, bad) in BAD.items() for value in bad]
)
def test_a_bad_value_is_refused_with_what_would_be_right(name: str, value: Any, right: str) -> None:
    found, (wrong,) = values({name: value})
    assert name not in found
    assert str(wrong).startswith(f"{name}: ")
    assert re.search(right, wrong.problem), wrong.problem


@pytest.mark.parametrize("name", [*GOOD, "nix_access_token", "linux_builder_pass"])
@pytest.mark.parametrize("value", ["s3cr3t-T0KEN 5GB", ["s3cr3t-T0KEN\n"], {"s3cr3t-T0KEN": "s3cr3t-T0KEN"}])
def test_a_value_is_never_said(name: str, value: Any) -> None:
    """It may be a vault's, or what a task registered."""
    _, wrong = values({name: value})
    assert "T0KEN" not in "\n".join(map(str, wrong))


def test_the_defaults_are_good() -> None:
    found, wrong = values({})
    assert (list(found), wrong) == (list(DEFAULTS), ())
    assert all(DEFAULTS[name] in (value, str(value)) for name, value in found.items())


def test_everything_that_is_wrong_is_said_at_once() -> None:
    found, wrong = values(
        {"linux_builder_cores": "many", "linux_builder_port": 22, "nix_foo": 1, "nix_state": "absent"}
    )
    assert {each.name for each in wrong} == {"linux_builder_cores", "linux_builder_port", "nix_foo"}
    assert found["nix_state"] == "absent"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("linux_builder_core", "linux_builder_cores was meant?"),
        ("linux_builder_momory", "linux_builder_memory was meant?"),
        ("nix_instaler_sha256", "nix_installer_sha256 was meant?"),
        ("nix_out", "they are nix_state, nix_installer_version, .*linux_builder_build"),
        ("nix_github_token", "they are nix_state, .*Names that begin with nix_ are builderfleet's"),
    ],
)
def test_a_name_that_only_begins_like_ours_is_most_likely_a_slip(name: str, meant: str) -> None:
    _, (wrong,) = values({name: "s3cr3t"})
    assert wrong.name == name and "s3cr3t" not in str(wrong)
    assert re.search(f"^there is no such variable; {meant}", wrong.problem), wrong.problem


@pytest.mark.parametrize(
    "name", ["nixos_version", "linux_build", "my_linux_builder_cores", "ansible_host", "NIX_STATE"]
)
def test_other_names_are_left_alone(name: str) -> None:
    found, wrong = values({name: object()})
    assert wrong == ()
    assert name not in found


# --- the document --------------------------------------------------------------------------------------------------


def yaml_of(text: str) -> Any:
    return YAML(typ="safe").load(text)


def documented() -> dict[str, tuple[str, Any]]:
    """What inventory/group_vars/macs.yml says of each variable: its text, and its value or default.

    What is commented out is a default; a comment without a value is the text of the variable below it.
    """
    found: dict[str, tuple[str, Any]] = {}
    text: list[str] = []
    for line in DOCUMENT.read_text().splitlines():
        entry = re.fullmatch(rf"(?:# )?((?:{'|'.join(PREFIXES)})\w+): (.*)", line)
        if entry:
            found[entry[1]] = (" ".join(text), yaml_of(entry[2]))
        elif line.startswith("# "):
            text.append(line[2:])
            continue
        text = []
    return found


def test_every_variable_is_explained_and_nothing_else() -> None:
    assert list(documented()) == list(DEFAULTS)
    assert set(yaml_of(DOCUMENT.read_text()) or {}) <= {*DEFAULTS, "ansible_python_interpreter"}


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda each: each.name)
def test_a_variable_is_explained_as_it_is(variable: Any) -> None:
    text, default = documented()[variable.name]
    assert text == variable.about
    set_there = variable.name in (yaml_of(DOCUMENT.read_text()) or {})
    if set_there:  # what the fleet is given instead of the default has to be good at least
        assert values({variable.name: default})[1] == ()
    else:
        assert (tuple(default) if isinstance(default, list) else default) == variable.default


def test_the_readme_explains_every_variable() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for variable in VARIABLES:
        (row,) = [line for line in readme.splitlines() if line.startswith(f"| `{variable.name}` |")]
        assert row.endswith(f"| {variable.about} |")
