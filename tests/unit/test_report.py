# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run says at its end: the table, the files, and how the results of several tasks are put together."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from builderfleet.plugin_utils.outcome import Outcome
from builderfleet.plugin_utils.report import Collected, Result, as_json, as_junit, table

RESULTS = {
    "anna": Result(Outcome.CONVERGED),
    "bert": Result(Outcome.CHANGED, "this\nthat"),
    "carla": Result(Outcome.FAILED, "status 1\nno <such> \x1b[31mthing & more\x00"),
    "dora": Result(Outcome.UNREACHABLE, "timed out"),
    "emil": Result(Outcome.WOULD_CHANGE, "this"),
}


def test_the_table() -> None:
    assert list(table({name: RESULTS[name] for name in ("anna", "bert", "emil")})) == [
        "Outcome",
        "  emil  would change  this",
        "  bert  changed       this",
        "                      that",
        "  anna  converged     no changes",
    ]
    assert list(table({})) == []


def test_the_table_begins_with_the_worst_and_tells_the_same_once() -> None:
    results = {"zoe": RESULTS["bert"], "carla": RESULTS["carla"], "yan": Result(Outcome.CHANGED, "this"), **RESULTS}
    names = [line.split()[0] for line in [*table(results)][1:] if line[2:3].strip()]
    assert names == ["carla", "dora", "emil", "bert", "yan", "zoe", "anna"]
    assert "  zoe    changed       the same as bert" in table(results)


def test_json() -> None:
    found = json.loads(as_json(RESULTS))
    assert found["exit_code"] == 1
    assert found["macs"]["bert"] == {"outcome": "changed", "remarks": ["this", "that"]}
    assert list(found["macs"]) == sorted(RESULTS)


def test_junit_holds_whatever_a_mac_says() -> None:
    suite = ElementTree.fromstring(as_junit(RESULTS))
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    cases = {case.get("name"): case for case in suite}
    assert [child.tag for child in cases["carla"]] == ["error"]
    assert "no <such>" in str(cases["carla"][0].text)
    assert [child.tag for child in cases["anna"]] == ["system-out"]
    assert cases["emil"][0].get("message") == "would change"


PERSON = Result(Outcome.NEEDS_PERSON, "it is off. Switch it on")
WOULD, DONE = Result(Outcome.WOULD_CHANGE, "a\nb"), Result(Outcome.CHANGED, "a\nb")


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ([(WOULD, True)], WOULD),
        ([(WOULD, True), (DONE, False)], DONE),
        ([(Result(Outcome.FAILED, "rubbish"), True), (DONE, False)], DONE),
        ([(WOULD, True), (Result(Outcome.WOULD_CHANGE, "c"), True)], Result(Outcome.WOULD_CHANGE, "a\nb\nc")),
        ([(DONE, False), (Result(Outcome.CONVERGED), False)], DONE),
        ([(Result(Outcome.CONVERGED), False), (DONE, False)], DONE),
        ([(DONE, False), (Result(Outcome.LOCKED, "anna"), False)], Result(Outcome.LOCKED, "a\nb\nanna")),
        ([(DONE, False), (DONE, False)], DONE),
        ([(PERSON, False), (Result(Outcome.CONVERGED), True), (Result(Outcome.CONVERGED), False)], PERSON),
    ],
)
def test_the_results_of_several_tasks(said: list[tuple[Result, bool]], result: Result) -> None:
    collected = Collected()
    for each, dry in said:
        collected.add("mac", each, of="it", dry=dry)
    assert collected.results == {"mac": result}


def test_what_was_done_replaces_what_a_dry_run_said_of_the_same_and_of_nothing_else() -> None:
    collected = Collected()
    for each, of, dry in [(PERSON, "one", True), (WOULD, "other", True), (DONE, "other", False)]:
        collected.add("mac", each, of=of, dry=dry)
    assert collected.results == {"mac": Result(Outcome.NEEDS_PERSON, "it is off. Switch it on\na\nb")}
