# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of inventory files: what is meant changes, and no other byte does. Read back with PyYAML, as Ansible does."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from builderfleet.inventory_file import EditError, add_host, line_of_host, scalar, set_variable, value_of
from hypothesis import assume, given
from hypothesis import strategies as st

INVENTORY = Path(__file__).parents[2] / "inventory"
FLEET = (INVENTORY / "fleet.yml").read_text()
VARIABLES = (INVENTORY / "group_vars/macs.yml").read_text()


def load(text: str) -> Any:
    """What Ansible's YAML makes of it, whatever tags it has."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        pass

    Loader.add_constructor("!vault", lambda loader, node: ("vault", node.value))
    return yaml.load(text, Loader)


# --- variables -----------------------------------------------------------------------------------------------------


def test_a_default_in_a_comment_is_replaced_where_it_stands() -> None:
    after = set_variable(VARIABLES, "nix_installer_version", "2.36.0")
    assert after == VARIABLES.replace("# nix_installer_version: 2.35.2", "nix_installer_version: 2.36.0")
    again = set_variable(after, "nix_installer_version", "2.36.1")
    assert again == after.replace("2.36.0", "2.36.1")


def test_the_quotes_of_a_default_are_kept() -> None:
    after = set_variable(VARIABLES, "linux_builder_nixpkgs_release", "26.05")
    assert after == VARIABLES.replace(
        '# linux_builder_nixpkgs_release: "25.11"', 'linux_builder_nixpkgs_release: "26.05"'
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: 1.2.3 # why\nb: 2\n", "a: 9.9.9 # why\nb: 2\n"),
        ("a: '1.2.3'  # why\n", "a: '9.9.9'  # why\n"),
        ('# one\na:   "1.2.3"\n', '# one\na:   "9.9.9"\n'),
        ("a: 1.2.3", "a: 9.9.9"),
        ("a:\n# end\n", "a: 9.9.9\n# end\n"),
        ("a: # why\n", "a: 9.9.9 # why\n"),
        ("a: ~\nb: 1\n", "a: 9.9.9\nb: 1\n"),
        ("{a: 1.2.3, b: [x, y]}\n", "{a: 9.9.9, b: [x, y]}\n"),
        ("---\r\n# c\r\na: 1.2.3\r\n", "---\r\n# c\r\na: 9.9.9\r\n"),
        ('---\n"a" : x\n', '---\n"a" : 9.9.9\n'),
        ("# a: 1.2.3  # why\nb: 1\n", "a: 9.9.9  # why\nb: 1\n"),
        ("#a: 1\n", "a: 9.9.9\n"),
        ("# a:\n", "a: 9.9.9\n"),
        ("# a: 1\r\n", "a: 9.9.9\r\n"),
        ("# a: 1\n# a: 2\n", "# a: 1\na: 9.9.9\n"),
        ("  b: 1\n  # a: 1\n", "  b: 1\n  a: 9.9.9\n"),
        ("# a: is prose, see there\n", "# a: is prose, see there\na: 9.9.9\n"),
        ("# ab: 1\n", "# ab: 1\na: 9.9.9\n"),
        ("", "a: 9.9.9\n"),
        ("---\n", "---\na: 9.9.9\n"),
        ("b: 1", "b: 1\na: 9.9.9\n"),
        ("b:\n  a: 1\n", "b:\n  a: 1\na: 9.9.9\n"),
        ("s: !vault |\n  $ANSIBLE_VAULT;1.1\n  61\nt: &t {a: yes}\nu: *t\n# foot\n",
         "s: !vault |\n  $ANSIBLE_VAULT;1.1\n  61\nt: &t {a: yes}\nu: *t\n# foot\na: 9.9.9\n"),
    ],
)  # fmt: skip
def test_a_variable_is_set(before: str, after: str) -> None:
    assert set_variable(before, "a", "9.9.9") == after
    assert load(after)["a"] == "9.9.9"


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("a: [1]\n", "line 1: wanted one value in one line"),
        ("x: 1\na: |\n  text\n", "line 2: wanted one value in one line"),
        ("a: !vault x\n", "saw an anchor, an alias or a tag"),
        ("a: &a x\nb: *a\n", "saw an anchor, an alias or a tag"),
        ("b: &a x\na: *a\n", "saw an anchor, an alias or a tag"),
        ("a: 1\n---\nb: 1\n", "cannot be read as YAML"),
        ("a: [\n", "cannot be read as YAML"),
        ("- a\n", "wanted a mapping, saw YAML's seq"),
        ("b: 1\nb: 2\n", "stands more than once: b"),
        ("{b: 1}\n", "write it as lines"),
        ("b:\n  - c\n# a: 1\n  - d\n", "would not be what was meant"),
        ("b: !vault |\n  6162", "ends within a block of text"),
        ("b: 1\n...\n", "would not be what was meant"),
        ("b: 1\nc: |+\n  text\n\n\n", None),
        ("b: 'c\n\n  # a: 1\n\n  d'\n", None),
    ],
)
def test_an_edit_that_would_be_wrong_is_refused(before: str, said: str | None) -> None:
    if said is None:
        assert load(set_variable(before, "a", "1")) == {**load(before), "a": "1"}
        return
    with pytest.raises(EditError) as refused:
        set_variable(before, "a", "1")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a: x\n", "x"), ("a: '1.5'\n", "1.5"), ("b: 1\n", None), ("", None), ("# a: x\n", None), ("a: '{{ b }}'\n", "{{ b }}")],
)  # fmt: skip
def test_a_value_is_read(text: str, value: str | None) -> None:
    assert value_of(text, "a") == value


@pytest.mark.parametrize("text", ["a: 25.11\n", "a: yes\n", "a: 12\n", "a: [x]\n", "a:\n", "a: !vault x\n"])
def test_a_value_that_is_no_string_says_so(text: str) -> None:
    with pytest.raises(EditError, match=r"line 1: a has to be a string, saw YAML's .*: put it in quotes"):
        value_of(text, "a")


TRICKY = [
    "25.11", "25.10", "1" * 64, "0123", "0x1f", "1e5", "123e456", "1_000", "12:30:45", "yes", "No", "on", "null", "~", "",
    "=", "<<", "2026-01-01", "- a", "a: b", "a #b", "#a", "&a", "*a", "!a", "%a", "@a", "`a", "a, b", "[a]", "{a}", "'a'",
    '"a"', "a'b", 'a"b', "\\n", "a\nb", "a\tb", " a", "a ", "---", "...", "?", ".inf", ".5", "::1", "fe80::1%en0", "ä",
]  # fmt: skip


@pytest.mark.parametrize("value", TRICKY)
@pytest.mark.parametrize("quotes", ["", "'", '"'])
@pytest.mark.parametrize("template", ["a: {}\n", "[{}, b]\n", "{{a: {}, b: c}}\n"])
def test_a_string_is_read_back_as_the_same_string(value: str, quotes: str, template: str) -> None:
    read = yaml.safe_load(template.format(scalar(value, quotes)))
    assert (read["a"] if isinstance(read, dict) else read[0]) == value


def test_what_needs_no_quotes_gets_none() -> None:
    assert scalar("2.35.2") == "2.35.2"
    assert scalar("anna-macbook.example") == "anna-macbook.example"


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n\t"), max_size=20))
def test_any_string_is_read_back_as_the_same_string(value: str) -> None:
    assert yaml.safe_load(f"a: {scalar(value)}\n") == {"a": value}
    assert load(set_variable("b: 1\n", "a", value)) == {"b": 1, "a": value}


# --- any file ------------------------------------------------------------------------------------------------------

COMMENTS = st.sampled_from(["# note", "#", "#: x", "# 'quoted", "# target: old", "# target: 'old'", ""])
VALUES = st.sampled_from(
    ["yes", "'yes'", '"no"', "0644", "[a, 'b']", "{c: d, e: }", "x y", "1.50", "~", "!vault |\n  6162\n  # 63", ">-\n  a\n\n  b",
     "\n  deep: 1 # d\n  # remark\n  deeper:\n    - x\n    -  'y'", "\n- p\n- q # q", "&NAME v", "'it''s'", '"\\u00e4 # no"']
)  # fmt: skip
TAILS = st.sampled_from(["", " # behind", "  #"])


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Top-level variables of all kinds with comments between, and `target` set, in a comment, or not there."""
    lines = [draw(st.sampled_from(["---", "# head", "--- # head"]))]
    names = draw(st.lists(st.sampled_from(["a", "b_c", "'d'", '"e"', "target"]), unique=True, max_size=5))
    for name in names:
        lines += draw(st.lists(COMMENTS, max_size=3))
        value = draw(VALUES if name != "target" else st.sampled_from(["old", "'old'", '"old"', "1.5", ""]))
        anchor = name.strip("'\"")
        gap = "" if value.startswith("\n") else draw(st.sampled_from([" ", "   "]))
        tail = draw(TAILS) if "\n" not in value else ""
        lines.append(f"{name}:{gap}{value.replace('NAME', anchor)}{tail}")
    lines += draw(st.lists(COMMENTS, max_size=3))
    text = "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n\n"]))
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


@given(documents(), st.sampled_from(["new", "25.11", "it's", "1" * 64]))
def test_whatever_stands_in_a_file_survives(text: str, value: str) -> None:
    assume("target" in text or load(text) == load(f"{text}\n"))  # else it is refused
    before, after = text.splitlines(), set_variable(text, "target", value)
    assert load(after) == {**(load(text) or {}), "target": value}
    after_lines = after.splitlines()
    if len(after_lines) == len(before):
        changed = [line for line, now in zip(before, after_lines, strict=True) if line != now]
        assert len(changed) <= 1
        assert all(line.startswith(("target:", "# target:")) for line in changed)
    else:
        assert after_lines[:-1] == before
        assert not [line for line in before if line.startswith("target:")]
    assert set_variable(after, "target", value) == after


# --- hosts ---------------------------------------------------------------------------------------------------------

WITH_A_HOST = FLEET.replace(
    "    laptops:\n      hosts: {}\n",
    "    laptops:\n      hosts:\n        mac-1:\n          ansible_host: 192.0.2.1\n          ansible_user: admin\n",
)


def test_the_first_host_of_the_shipped_inventory() -> None:
    after = add_host(FLEET, "mac-1", ["laptops"], {"ansible_host": "192.0.2.1", "ansible_user": "admin"})
    assert after == WITH_A_HOST
    assert "\n      #   anna-macbook:\n      #     ansible_host: 192.0.2.17\n" in after


def test_more_hosts_and_groups_that_were_not_there() -> None:
    text = add_host(WITH_A_HOST, "mac-2", ["laptops", "intel"], {"ansible_user": "1.5"})
    text = add_host(text, "yes", ["desktops"], {})
    text = add_host(text, "mac-3", ["canary"], {})
    assert load(text) == {
        "macs": {
            "children": {
                "canary": {"hosts": {"mac-3": None}},
                "laptops": {
                    "hosts": {
                        "mac-1": {"ansible_host": "192.0.2.1", "ansible_user": "admin"},
                        "mac-2": {"ansible_user": "1.5"},
                    }
                },
                "intel": {"hosts": {"mac-2": None}},
                "desktops": {"hosts": {"yes": None}},
            }
        }
    }
    assert text.index("#   anna-macbook") < text.index("    intel:\n")
    rest = iter(text.splitlines())
    assert all(line in rest for line in FLEET.splitlines() if line.strip() != "hosts: {}")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "macs:\n  hosts:\n    m:\n      u: x\n"),
        ("---\n# none\n", "---\n# none\nmacs:\n  hosts:\n    m:\n      u: x\n"),
        ("macs:\n", "macs:\n  hosts:\n    m:\n      u: x\n"),
        ("macs: {} # none\n", "macs: # none\n  hosts:\n    m:\n      u: x\n"),
        ("macs:\n  hosts:  # none\n  vars: {a: b}\n", "macs:\n  hosts:  # none\n    m:\n      u: x\n  vars: {a: b}\n"),
        ("macs: {hosts: {a: {}}} # one\n", "macs: {hosts: {a: {}, m: {u: x}}} # one\n"),
        ("macs: {hosts: {a: , }}\n", "macs: {hosts: {a: , m: {u: x} }}\n"),
        ("macs: {hosts: {}}\n", "macs: {hosts: {m: {u: x}}}\n"),
        ("macs:\n  hosts: {a: {},\n    b: {} # b\n  }\n", "macs:\n  hosts: {a: {},\n    b: {} # b\n  , m: {u: x}}\n"),
        ("macs:\n    hosts:\n        a:\n            v: 1\n            # of a\n\n    # foot\nx: 1",
         "macs:\n    hosts:\n        a:\n            v: 1\n            # of a\n        m:\n            u: x\n\n    # foot\nx: 1"),
        ("macs:\r\n  hosts:\r\n    a:", "macs:\r\n  hosts:\r\n    a:\r\n    m:\r\n      u: x\r\n"),
        ("macs:\n  hosts:\n    a:\n      v: |\n        text\n        # text\nx: 1\n",
         "macs:\n  hosts:\n    a:\n      v: |\n        text\n        # text\n    m:\n      u: x\nx: 1\n"),
        ("macs:\n  hosts:\n    a: &a {v: !vault x}\n    b: *a\n",
         "macs:\n  hosts:\n    a: &a {v: !vault x}\n    b: *a\n    m:\n      u: x\n"),
        ("x: 1\n", "x: 1\nmacs:\n  hosts:\n    m:\n      u: x\n"),
    ],
)  # fmt: skip
def test_a_host_is_added(before: str, after: str) -> None:
    assert add_host(before, "m", ["macs"], {"u": "x"}) == after
    expected = copy.deepcopy(load(before) or {})
    place = expected
    for step in ("macs", "hosts"):
        place[step] = place.get(step) or {}
        place = place[step]
    place["m"] = {"u": "x"}
    assert load(after) == expected


def test_a_group_is_found_however_deep() -> None:
    text = "macs:\n  children:\n    north:\n      children:\n        laptops:\n          hosts:\n            a:\n"
    assert add_host(text, "m", ["laptops"], {}) == text + "            m:\n"


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("macs: [a]\n", "line 1: wanted a mapping below macs, saw YAML's seq"),
        ("macs:\n  hosts: a\n", "line 2: wanted a mapping below macs.hosts, saw YAML's str"),
        ("macs:\n  hosts: []\n", "line 2: wanted a mapping below hosts, saw YAML's seq"),
        ("macs:\n  hosts:\n    m:\n", "line 3: macs.hosts.m is there already"),
        ("macs:\n  hosts: &h {}\nx: *h\n", "line 2: to add m, the value of hosts has to stand there itself"),
        ("x: &h {a: }\nmacs:\n  hosts: *h\n", "other values would change with it"),
        ("[macs]\n", "wanted a mapping"),
    ],
)
def test_a_host_that_cannot_be_added(before: str, said: str) -> None:
    with pytest.raises(EditError) as refused:
        add_host(before, "m", ["macs"], {})
    assert said in str(refused.value)


HOSTS = st.sampled_from(["a", "'b'", "c.example", "1.5", "d[1:3]"])
HOST_VALUES = st.sampled_from(["", " {}", " {v: 'w'} # w", "\n{}  v: yes # y\n{}  # of it", "\n{}  w: 'x'\n"])


@st.composite
def inventories(draw: st.DrawFn) -> str:
    """`macs` with groups, some empty, some with hosts, some with variables, and remarks at every depth."""
    remark = st.lists(
        st.sampled_from(["# r", "", "        # deep", "    # less", "  # example:\n  #   x: y"]), max_size=2
    )
    lines = ["---", *draw(remark), "macs:", "  children:"]
    for group in ("laptops", "canary", "studio")[: draw(st.integers(1, 3))]:
        lines += [*draw(remark), f"    {group}:"]
        if draw(st.booleans()):
            lines.append("      vars: {a: 'b', c: yes}")
        names = draw(st.lists(HOSTS, unique=True, max_size=3))
        lines.append(
            "      hosts:"
            if names
            else draw(st.sampled_from(["      hosts: {}", "      hosts: {}  # none", "      hosts:"]))
        )
        for name in names:
            lines += [f"        {name}:{draw(HOST_VALUES).replace('{}  ', ' ' * 10)}", *draw(remark)]
        lines += draw(remark)
    return "\n".join(lines) + draw(st.sampled_from(["", "\n"]))


@given(inventories(), st.lists(st.sampled_from(["laptops", "canary", "intel"]), min_size=1, unique=True))
def test_whatever_stands_in_an_inventory_survives(text: str, groups: list[str]) -> None:
    after = add_host(text, "new", groups, {"ansible_host": "::1"})
    expected = copy.deepcopy(load(text))
    for number, group in enumerate(groups):
        children = expected["macs"]["children"]
        children[group] = children.get(group) or {}
        children[group]["hosts"] = (children[group].get("hosts") or {}) | {
            "new": None if number else {"ansible_host": "::1"}
        }
    assert load(after) == expected
    emptied = [line for line in text.splitlines() if line.strip().startswith("hosts: {}")]
    now = iter(after.splitlines())
    assert all(line in now for line in text.splitlines() if line not in emptied)


def test_where_a_host_is_named() -> None:
    assert line_of_host(WITH_A_HOST, "mac-1") == WITH_A_HOST.splitlines().index("        mac-1:") + 1
    assert line_of_host(WITH_A_HOST, "mac-2") is None
    assert line_of_host("macs:\n  vars: {mac-2: }\n  hosts: {'mac-[1:3]': }\n", "mac-2") is None
    assert line_of_host("", "mac-1") is None
