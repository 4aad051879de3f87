# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run says at its end: how it stands with each Mac, as a table for people and as files for machines."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from xml.etree import ElementTree

from .masked import only_masked
from .outcome import WORST_FIRST, Outcome, exit_code


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended on a Mac; `remark` says what was changed or would be, why it failed, what to do: a line each."""

    outcome: Outcome
    remark: str = ""

    def __post_init__(self) -> None:
        only_masked(self, "remark")


Results = Mapping[str, Result]
"""By the names of the Macs."""


class ReportError(Exception):
    """A report was not written. The text says which, why, and what to do."""


def write(results: Results, paths: Mapping[str, str | None]) -> None:
    """Write the reports that are asked for: `paths` has "json" and "junit", each with a path or nothing.

    Raises ReportError.
    """
    for kind, written in (("json", as_json), ("junit", as_junit)):
        if path := paths.get(kind):
            try:
                Path(path).write_text(written(results), encoding="utf-8")
            except OSError as error:
                raise ReportError(
                    f"The report cannot be written to {path}: {error.strerror}. Name a file that can be."
                ) from error


class Collected:
    """The results of several tasks or operations, put together by Mac."""

    def __init__(self) -> None:
        self._found: dict[
            str, dict[Hashable, tuple[Result, bool]]
        ] = {}  # by Mac and by what was asked: and whether dry

    def add(self, name: str, result: Result, *, of: Hashable, dry: bool = False) -> None:
        """One more. What was really done replaces what a dry run `of` the same said would be; else the worse counts, and
        all is told.
        """
        found = self._found.setdefault(name, {})
        former, was_dry = found.get(of, (None, False))
        if former is None or (was_dry and not dry):
            found[of] = result, dry
        else:
            found[of] = worse(former, result), was_dry and dry

    @property
    def only_looked_at(self) -> set[str]:
        """The names of those of which nothing but a dry run was told."""
        return {name for name, found in self._found.items() if all(dry for _result, dry in found.values())}

    @property
    def results(self) -> dict[str, Result]:
        return {name: reduce(worse, (each for each, _dry in found.values())) for name, found in self._found.items()}


def worse(one: Result, other: Result) -> Result:
    """Two results of a Mac put together: the worse outcome counts, and all is told."""
    remarks = dict.fromkeys((*one.remark.splitlines(), *other.remark.splitlines()))
    return Result(min(one.outcome, other.outcome, key=_rank), "\n".join(remarks))


def _rank(outcome: Outcome) -> tuple[int, bool]:
    return WORST_FIRST.index(outcome.code), outcome is Outcome.CONVERGED


def table(results: Results) -> Iterator[str]:
    """The lines of the table that ends a run: the worst first, then by name. Lines that are another's too are told once."""
    if not results:
        return
    yield "Outcome"
    names, words = max(map(len, results)), max(len(each.outcome.word) for each in results.values())
    told: dict[Result, str] = {}
    for name, result in sorted(results.items(), key=lambda each: (_rank(each[1].outcome), each[0])):
        remark = result.remark
        if result.outcome is Outcome.CONVERGED:
            remark = "; ".join(["no changes", *remark.splitlines()])
        first, *more = remark.split("\n")
        if more and told.setdefault(result, name) != name:
            first, more = f"{AS}{told[result]}", []
        yield f"  {name:<{names}}  {result.outcome.word:<{words}}  {first}".rstrip()
        for line in more:
            yield f"  {'':<{names}}  {'':<{words}}  {line}"


AS = "the same as "
"""How the table refers to another Mac's lines."""


def as_json(results: Results) -> str:
    """The same as JSON: `{"exit_code": 2, "macs": {"anna": {"outcome": "would change", "remarks": ["..."]}}}`."""
    macs = {
        name: {"outcome": result.outcome.word, "remarks": result.remark.splitlines()}
        for name, result in sorted(results.items())
    }
    return (
        json.dumps({"exit_code": exit_code(each.outcome for each in results.values()), "macs": macs}, indent=2) + "\n"
    )


def as_junit(results: Results) -> str:
    """The same as JUnit's XML: a test case a Mac. What is not as desired is a failure, and a Mac that sleeps is skipped."""
    suite = ElementTree.Element("testsuite", name="builderfleet", tests=str(len(results)))
    counts = {"failure": 0, "error": 0, "skipped": 0}
    for name, result in sorted(results.items()):
        case = ElementTree.SubElement(suite, "testcase", classname="builderfleet", name=name)
        kind = _JUNIT.get(result.outcome)
        if kind is None:
            ElementTree.SubElement(case, "system-out").text = _printable(f"{result.outcome.word}\n{result.remark}")
            continue
        counts[kind] += 1
        ElementTree.SubElement(case, kind, message=result.outcome.word).text = _printable(result.remark)
    suite.set("failures", str(counts["failure"]))
    suite.set("errors", str(counts["error"]))
    suite.set("skipped", str(counts["skipped"]))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


_JUNIT = {
    Outcome.FAILED: "error",
    Outcome.WOULD_CHANGE: "failure",
    Outcome.REBOOT_NEEDED: "failure",
    Outcome.NEEDS_PERSON: "failure",
    Outcome.LOCKED: "failure",
    Outcome.UNREACHABLE: "skipped",
}


def _printable(text: str) -> str:
    """Without what XML 1.0 cannot hold."""
    return re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "�", text)
