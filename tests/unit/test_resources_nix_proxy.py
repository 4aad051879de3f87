# SPDX-License-Identifier: GPL-3.0-or-later
"""NixProxy: two variables in the job of Nix's daemon, which is somebody else's file, and comes back as it was."""

from __future__ import annotations

import json
import plistlib
from typing import Any

import pytest
from builderfleet.plugin_utils.ledger import LEDGER
from builderfleet.plugin_utils.questions.file import NOTHING, File
from builderfleet.plugin_utils.questions.launchd import LaunchdJob
from builderfleet.plugin_utils.questions.nix import DAEMONS
from builderfleet.plugin_utils.resource import Change
from builderfleet.plugin_utils.resources.nix_installation import plist_of
from builderfleet.plugin_utils.resources.nix_proxy import PART, NixProxy

from tests.unit.answers import THERE, Case, Person, World, carried, file, ledger_of, link, loaded, remembered

UPSTREAM = DAEMONS[1]
PATH = plist_of(UPSTREAM).path
URL = "http://somebody:secret@proxy.example:3128"
PROXY, NONE = NixProxy(URL), NixProxy()
CERTIFICATES = {"NIX_SSL_CERT_FILE": "/etc/ssl/corp.pem"}
GIVE = f"give {UPSTREAM} the proxy, which ends the builds that run in it"
TAKE = f"take the proxy from {UPSTREAM}"


def definition(**environment: str) -> str:
    value: dict[str, Any] = {"Label": UPSTREAM, "RunAtLoad": True, "EnvironmentVariables": CERTIFICATES | environment}
    return plistlib.dumps(value, sort_keys=False).decode()


STOCK, SET = definition(), definition(http_proxy=URL, https_proxy=URL)


def world(data: str, **environment: str) -> World:
    job = loaded(UPSTREAM)
    assert job.job is not None
    job.job.environment.update(environment)
    return {plist_of(UPSTREAM): THERE, File(PATH): file(data), LaunchdJob(UPSTREAM): job}


GIVEN = world(SET, http_proxy=URL, https_proxy=URL)
KEPT: World = {LEDGER: ledger_of(remembered(PATH, STOCK, SET, former={PART: None}))}

CASES = [
    Case("no Nix yet", PROXY, expected=(GIVE,)),
    Case("not asked for", NONE, world(STOCK)),
    Case("asked for", PROXY, world(STOCK), (GIVE,)),
    Case("given", PROXY, GIVEN | KEPT),
    Case("another one", PROXY, world(definition(http_proxy="http://old", https_proxy="http://old")), (GIVE,)),
    Case("in the file, and not in the job that is loaded", PROXY, world(SET) | KEPT, (GIVE,)),
    Case("in the file of somebody else", NONE, GIVEN),
    Case("no more", NONE, GIVEN | KEPT, (TAKE,)),
    Case("no more, and Nix is gone", NONE, GIVEN | KEPT | {File(PATH): NOTHING}, (TAKE,)),
    Case("no property list", PROXY, world("rubbish"), (Person("is no property list", "Repair this Nix"),)),
    Case("a link", PROXY, world(STOCK) | {File(PATH): link("/etc/static/x")}, (Person("link", ""),)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_it_says(case: Case) -> None:
    case.check()


def only(name: str) -> Change:
    (change,) = next(case for case in CASES if case.name == name).changes()
    return change


def test_what_else_is_in_the_file_stays() -> None:
    assert plistlib.loads(carried(only("asked for").script)[PATH]) == plistlib.loads(SET.encode())


def test_a_proxy_of_the_owners_comes_back_though_the_file_was_edited_since() -> None:
    mine, ours = definition(https_proxy="http://mine"), definition(http_proxy=URL, https_proxy=URL)
    (given,) = Case("", PROXY, world(mine)).changes()
    former = json.loads(carried(given.script)[LEDGER.path])["files"][PATH]["former"]
    assert former == {PART: json.dumps({"https_proxy": "http://mine"})}
    edited = ours.replace("RunAtLoad", "KeepAlive")
    (taken,) = Case(
        "", NONE, world(edited) | {LEDGER: ledger_of(remembered(PATH, mine, ours, former=former))}
    ).changes()
    assert plistlib.loads(carried(taken.script)[PATH])["EnvironmentVariables"] == CERTIFICATES | {
        "https_proxy": "http://mine"
    }


def test_what_the_proxy_holds_is_not_shown() -> None:
    change = only("asked for")
    shown = "\n".join(line for each in change.diffs for line in each.lines)
    assert "proxy.example" in shown
    assert "secret" not in change.summary + shown + repr(PROXY)


def test_a_file_that_nobody_touched_since_goes_back_byte_for_byte() -> None:
    assert "shasum" in only("no more").script and f"load {UPSTREAM}" in only("no more").script


def test_of_one_that_somebody_touched_only_the_proxy_goes() -> None:
    touched = SET.replace("<true/>", "<false/>")
    (change,) = Case("", NONE, world(touched, http_proxy=URL, https_proxy=URL) | KEPT).changes()
    assert plistlib.loads(carried(change.script)[PATH]) == {
        "Label": UPSTREAM,
        "RunAtLoad": False,
        "EnvironmentVariables": CERTIFICATES,
    }
