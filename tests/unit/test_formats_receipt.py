# SPDX-License-Identifier: GPL-3.0-or-later
"""Receipts of the Rust installers: whole, unfinished, of older releases, and broken ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from builderfleet.plugin_utils.formats import receipt
from builderfleet.plugin_utils.formats.receipt import ReceiptError
from hypothesis import given
from hypothesis import strategies as st


def written(*states: str, **changes: Any) -> bytes:
    actions = [{"action": {"action_name": f"action_{n}", "x": 1}, "state": state} for n, state in enumerate(states)]
    planner = {"planner": "macos", "settings": {"add_channel": False}, "root_disk": "disk3"}
    return json.dumps({"version": "2.35.1", "actions": actions, "planner": planner} | changes).encode()


def test_a_finished_one() -> None:
    seen = receipt.parse(written("Completed", "Skipped"))
    assert seen == receipt.Receipt(
        version="2.35.1",
        planner="macos",
        actions=(("action_0", "Completed"), ("action_1", "Skipped")),
        settings={"add_channel": False},
    )
    assert seen.complete
    assert seen.unfinished == ()


@pytest.mark.parametrize("state", ["Progress", "Uncompleted"])
def test_an_unfinished_one(state: str) -> None:
    seen = receipt.parse(written("Completed", state, "Uncompleted"))
    assert not seen.complete
    assert seen.unfinished == ("action_1", "action_2")


def test_a_plan_without_actions_installed_nothing() -> None:
    assert not receipt.parse(written()).complete


def test_the_older_name_of_an_action() -> None:
    data = written(
        actions=[{"action": {"action": "create_apfs_volume"}, "state": "Completed"}], planner={"planner": "macos"}
    )
    assert receipt.parse(data).actions == (("create_apfs_volume", "Completed"),)
    assert receipt.parse(data).settings == {}


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"", "JSON"),
        (written("Completed")[:-1], "JSON"),
        (b"[]", "planner"),
        (b"\xff", "JSON"),
        (written(version=3), "'version' in the receipt"),
        (written(planner="macos"), "'planner' in the receipt"),
        (written(planner={"planner": "macos", "settings": []}), r"'settings' in \.planner"),
        (written(actions={}), "'actions' in the receipt"),
        (written("Completed", "Sideways"), r"\.actions\[1\]\.state"),
        (written(actions=[{"state": "Completed"}]), r"'action' in \.actions\[0\]"),
        (written(actions=[{"state": "Completed", "action": {}}]), r"in \.actions\[0\]\.action"),
        (written(actions=["Completed"]), r"'state' in \.actions\[0\]"),
    ],
)
def test_what_is_no_receipt_is_refused_with_the_place(data: bytes, where: str) -> None:
    with pytest.raises(ReceiptError, match=where) as refused:
        receipt.parse(data)
    assert "wanted" in str(refused.value)
    assert "saw" in str(refused.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["version", "actions", "planner", "state"]), inner),
)


@given(JSON.map(json.dumps).map(str.encode) | st.binary())
def test_nothing_else_is_raised(data: bytes) -> None:
    with pytest.raises(ReceiptError):
        receipt.parse(data)
