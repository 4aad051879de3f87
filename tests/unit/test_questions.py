# SPDX-License-Identifier: GPL-3.0-or-later
"""What the questions make of what commands say: answers where it makes sense, Unknown where it does not."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

import pytest
from builderfleet.plugin_utils import questions, shell
from builderfleet.plugin_utils.asking import Question, Replies, Request, Unknown, probe_of
from builderfleet.plugin_utils.questions.key_pair import KeyPair
from builderfleet.plugin_utils.questions.launchd import LaunchdJob
from builderfleet.plugin_utils.questions.mac import Mac
from builderfleet.plugin_utils.questions.network import Listeners
from builderfleet.plugin_utils.questions.nix import NIX, NixConfiguration, NixVersion
from builderfleet.plugin_utils.questions.power import InternalBattery
from builderfleet.plugin_utils.questions.ssh import EffectiveSshConfig
from builderfleet.plugin_utils.resources import builder_vm
from builderfleet.plugin_utils.transcript import Transcript

from tests.unit.answers import APPLE_SILICON, PUBLIC
from tests.unit.sandbox import Sandbox

Reply = Mapping[str, bytes]
LABEL = "org.builderfleet.linux-builder"
ABSENT: Reply = {"kind": b"absent"}
HUNG: Reply = {"unknown": b"/bin/x took longer than 10 seconds and was ended"}


def ran(output: str = "", status: int = 0, errors: str = "") -> Reply:
    return {"output": output.encode(), "errors": errors.encode(), "status": str(status).encode()}


def answer(question: Question[Any], *replies: Reply) -> Any:
    assert len(replies) == len(question.requests())
    return question.answer(Replies(replies))


# --- the Mac -------------------------------------------------------------------------------------------------------

SYSCTL = """hw.memsize: 17179869184
hw.ncpu: 8
hw.optional.arm64: 1
kern.hv_support: 1
kern.hv_vmm_present: 0
sysctl.proc_translated: 0
"""
MAC = {
    "-s": ran("Darwin\n"),
    "-productVersion": ran("15.5\n"),
    "hw": ran(SYSCTL, 1),
    "-u": ran("0\n"),
    "-c": ran("SQLite format 3\0"),
    "-m": ran("arm64\n"),
}


def mac(**changed: Reply) -> Any:
    names = {"kernel": "-s", "version": "-productVersion", "oids": "hw", "user": "-u", "privacy": "-c", "machine": "-m"}
    replies = MAC | {names[name]: reply for name, reply in changed.items()}
    by_request = {request: _of(request, replies) for request in Mac().requests()}
    return answer(Mac(), *by_request.values())


def _of(request: Request, replies: Mapping[str, Reply]) -> Reply:
    return next(reply for word, reply in replies.items() if any(each.startswith(word) for each in request.words[2:3]))


def test_a_mac() -> None:
    assert mac() == APPLE_SILICON


def test_an_intel_mac_has_fewer_oids() -> None:
    oids = ran("hw.memsize: 8589934592\nhw.ncpu: 4\nkern.hv_support: 1\n", 1, "unknown oid 'hw.optional.arm64'\n")
    intel = mac(oids=oids, machine=ran("x86_64\n"))
    assert (intel.apple_silicon, intel.translated, intel.linux_system) == (False, False, "x86_64-linux")


@pytest.mark.parametrize(
    ("privacy", "access"),
    [
        (ran("SQLite format 3\0"), True),
        (ran("", 1, "head: /Library/Application Support/com.apple.TCC/TCC.db: Operation not permitted\n"), False),
        (ran(""), None),
        (ran("no database, ..."), None),
        (ran("", 1, "head: /Library/Application Support/com.apple.TCC/TCC.db: No such file or directory\n"), None),
    ],
)
def test_full_disk_access_shows_in_what_root_reads_of_the_privacy_database(privacy: Reply, access: bool | None) -> None:
    assert mac(privacy=privacy).full_disk_access is access


def test_what_is_no_mac_is_known_by_its_kernel_alone() -> None:
    nothing = ran("", 127)
    linux = mac(kernel=ran("Linux\n"), version=nothing, oids=nothing, user=nothing, privacy=nothing, machine=nothing)
    assert linux.kernel == "Linux"


@pytest.mark.parametrize(
    "changed",
    [
        {"kernel": ran("", 1)},
        {"version": ran("", 1, "boom\n")},
        {"version": ran("fifteen\n")},
        {"oids": ran("")},
        {"oids": ran(SYSCTL.replace("8\n", "eight\n"))},
        {"user": ran("root\n")},
        {"user": HUNG},
        {"privacy": HUNG},
    ],
)
def test_a_mac_that_cannot_be_told(changed: Mapping[str, Reply]) -> None:
    with pytest.raises(Unknown):
        mac(**changed)


BATTERY = " -InternalBattery-0 (id=22806627)\t83%; charging; 1:00 remaining present: true\n"
MAINS = "Now drawing from 'AC Power'\n"


@pytest.mark.parametrize(
    ("text", "there"),
    [
        (MAINS + BATTERY, True),
        ("Now drawing from 'Battery Power'\n" + BATTERY, True),
        (MAINS, False),
        (MAINS + " -UPS CP1500 (id=4653056)\t100%; charging present: true\n", False),
    ],
)
def test_a_battery(text: str, there: bool) -> None:
    assert answer(InternalBattery(), ran(text)) is there


@pytest.mark.parametrize("reply", [ran("", 127), ran(MAINS, 1), ran("rubbish\n"), ran(""), HUNG])
def test_a_battery_that_cannot_be_told(reply: Reply) -> None:
    with pytest.raises(Unknown):
        answer(InternalBattery(), reply)


# --- processes that listen -----------------------------------------------------------------------------------------

LISTENING = (
    "p411\ng400\nR1\ncqemu-system-aarch64\nf12\nn127.0.0.1:31422\nf13\nn[::1]:31422\np9\ng9\nR8\ncnc\nf3\nn*:31422\n"
)


def test_who_listens() -> None:
    first, second = answer(Listeners(31422), ran(LISTENING))
    assert (first.pid, first.group, first.parent, first.command) == (411, 400, 1, "qemu-system-aarch64")
    assert first.addresses == ("127.0.0.1:31422", "[::1]:31422")
    assert (second.pid, second.command, second.addresses) == (9, "nc", ("*:31422",))
    assert answer(Listeners(31422), ran("", 1)) == ()


@pytest.mark.parametrize(
    "reply", [ran("", 2), ran("", 127), ran("p411\n", 1), ran("p411\n"), ran("px\ng1\nR1\ncx\n"), HUNG]
)
def test_who_listens_cannot_be_told(reply: Reply) -> None:
    with pytest.raises(Unknown):
        answer(Listeners(31422), reply)


# --- launchd -------------------------------------------------------------------------------------------------------

PRINTED = f"system/{LABEL} = {{\n\tpath = /x.plist\n\tstate = running\n\tpid = 411\n}}\n"
OVERRIDES = f'\n\tdisabled services = {{\n\t\t"{LABEL}" => disabled\n\t}}\n'


def test_a_job() -> None:
    there = answer(LaunchdJob(LABEL), ran(PRINTED), ran("disabled services = {\n}\n"))
    assert (there.job.pid, there.job.path, there.disabled) == (411, "/x.plist", False)
    gone = answer(LaunchdJob(LABEL), ran("", 113, "Could not find service\n"), ran(OVERRIDES))
    assert (gone.job, gone.disabled) == (None, True)


@pytest.mark.parametrize(
    ("printed", "overrides"),
    [
        (ran("", 1), ran(OVERRIDES)),
        (ran("", 127), ran(OVERRIDES)),
        (HUNG, ran(OVERRIDES)),
        (ran(PRINTED[:-4]), ran(OVERRIDES)),
        (ran(""), ran(OVERRIDES)),
        (ran("", 113), ran("", 1)),
        (ran("", 113), ran("")),
        (ran("", 113), HUNG),
    ],
)
def test_a_job_that_cannot_be_told(printed: Reply, overrides: Reply) -> None:
    with pytest.raises(Unknown):
        answer(LaunchdJob(LABEL), printed, overrides)


# --- keys, Nix, ssh ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("derived", "expected"),
    [
        (ran(f"{PUBLIC} a comment\n"), PUBLIC),
        (ran(f"{PUBLIC}\n"), PUBLIC),
        (ran("", 255, "Load key: error in libcrypto\n"), ""),
        (ran("", 1, "No such file\n"), ""),
        (ran(""), ""),
    ],
)
def test_a_key_pair(derived: Reply, expected: str) -> None:
    found = answer(KeyPair("/k"), ABSENT, ABSENT, derived)
    assert (found.derived, found.usable) == (expected, bool(expected))


@pytest.mark.parametrize("derived", [ran("", 127), ran("", 137), HUNG])
def test_a_key_pair_that_cannot_be_told_is_not_unusable(derived: Reply) -> None:
    with pytest.raises(Unknown):
        answer(KeyPair("/k"), ABSENT, ABSENT, derived)


def test_the_private_half_is_not_read() -> None:
    assert [request.verb for request in KeyPair("/k").requests() if "/k" in request.words] == ["look", "run"]


def test_the_configuration_of_nix() -> None:
    found = answer(NixConfiguration(), ran("builders = @/etc/nix/machines\nempty =\nodd = a = b\ncores = 4 \n"))
    assert found.settings == {"builders": "@/etc/nix/machines", "empty": "", "odd": "a = b", "cores": "4"}
    assert (found.installed, found.error) == (True, "")


SHOWN = """access-tokens = github.com=ghp_SECRET
builders = @/etc/nix/machines
builders-use-substitutes = true
keep-outputs = false
netrc-file = /etc/nix/netrc
trusted-users =
"""
NEW_NIX = f'[ "$3 $4" = "config show" ] || exit 64\ncat <<X\n{SHOWN}X'
OLD_NIX = f'if [ "$3" = config ]; then echo "config is not a command" >&2; exit 1; fi\ncat <<X\n{SHOWN}X'


@pytest.mark.parametrize("nix", [NEW_NIX, OLD_NIX], ids=["config show", "show-config"])
def test_only_the_settings_that_are_needed_leave_the_mac(sandbox: Sandbox, nix: str) -> None:
    sandbox.double(f"{NIX}/nix", nix)
    questions = (NixConfiguration(), NixConfiguration.of("keep-outputs"))
    probe = probe_of(questions)
    done = sandbox.run(shell.wrap(probe.script("token")))
    transcript = Transcript.parse(done.stdout, "token")
    needed = {"builders": "@/etc/nix/machines", "builders-use-substitutes": "true", "trusted-users": ""}
    assert [probe.answers(transcript)[each].settings for each in questions] == [
        needed,
        needed | {"keep-outputs": "false"},
    ]
    assert not any(b"SECRET" in value for fields in transcript.records.values() for value in fields.values())


def test_a_setting_that_is_asked_in_any_case_is_asked_once() -> None:
    assert NixConfiguration.of("builders") == NixConfiguration()


def test_why_nix_shows_nothing_is_told(sandbox: Sandbox) -> None:
    sandbox.double(f"{NIX}/nix", "echo 'error: illegal line' >&2; exit 3")
    probe = probe_of([NixConfiguration()])
    done = sandbox.run(shell.wrap(probe.script("token")))
    found = probe.answers(Transcript.parse(done.stdout, "token"))[NixConfiguration()]
    assert (found.installed, found.error) == (True, "error: illegal line")


def test_a_nix_that_is_not_there_or_does_not_read_its_configuration() -> None:
    assert not answer(NixConfiguration(), ran("", 127)).installed
    broken = answer(NixConfiguration(), ran("", 1, "error: syntax error\n"))
    assert (broken.installed, dict(broken.settings), broken.error) == (True, {}, "error: syntax error")


@pytest.mark.parametrize("question", [NixConfiguration(), NixVersion(), EffectiveSshConfig("x")])
def test_what_hangs_is_unknown(question: Question[Any]) -> None:
    with pytest.raises(Unknown, match="took longer"):
        answer(question, *[HUNG] * len(question.requests()))


def test_versions() -> None:
    assert answer(NixVersion(), ran("nix (Nix) 2.35.2\n")) == "nix (Nix) 2.35.2"
    assert answer(NixVersion(), ran("", 127)) == ""


def test_every_question_says_in_words_what_it_asks() -> None:
    """What cannot be told names its question, to people."""
    modules = [
        importlib.import_module(f"{questions.__name__}.{each.name}")
        for each in pkgutil.iter_modules(questions.__path__)
    ]
    kinds = {
        kind
        for module in (*modules, builder_vm)
        for kind in vars(module).values()
        if isinstance(kind, type) and hasattr(kind, "requests") and not getattr(kind, "_is_protocol", False)
    }
    assert {Mac, LaunchdJob, builder_vm.RootNames} <= kinds
    for kind in kinds:
        assert "__str__" in vars(kind), kind
        wanted = {"int": 31422, "str": "/it"}
        given = [wanted.get(str(each.type), ()) for each in fields(kind) if each.default is MISSING]
        assert kind.__name__ not in str(kind(*given)) and "=" not in str(kind(*given))
