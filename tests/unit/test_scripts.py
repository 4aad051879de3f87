# SPDX-License-Identifier: GPL-3.0-or-later
"""Every script that any resource can ask to be run: it parses, is clean, is what a Mac understands, and tells no secret.

They are collected from the cases of all resources' tests, so a new case is a new script here.
"""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.asking import probe_of
from builderfleet.plugin_utils.resource import Change
from builderfleet.plugin_utils.resources.builder_vm import KEY
from builderfleet.plugin_utils.session import Session

from tests.unit import (
    test_resources_builder_vm,
    test_resources_doctor,
    test_resources_key_rotation,
    test_resources_launchd_daemon,
    test_resources_linux_build,
    test_resources_linux_builder,
    test_resources_mac_requirements,
    test_resources_memory,
    test_resources_nix_daemon,
    test_resources_nix_installation,
    test_resources_nix_machine,
    test_resources_nix_proxy,
    test_resources_nix_setting,
    test_resources_ssh_host,
    test_resources_ssh_keypair,
    test_resources_trusted_files,
)
from tests.unit.answers import Case

SESSION = Session((), who="anna's laptop (pid 1)", run="0" * 16)


def cases() -> Iterator[Case]:
    for module in (
        test_resources_builder_vm,
        test_resources_key_rotation,
        test_resources_launchd_daemon,
        test_resources_linux_build,
        test_resources_mac_requirements,
        test_resources_memory,
        test_resources_nix_daemon,
        test_resources_nix_installation,
        test_resources_nix_machine,
        test_resources_nix_proxy,
        test_resources_nix_setting,
        test_resources_ssh_host,
        test_resources_ssh_keypair,
        test_resources_trusted_files,
    ):
        yield from module.CASES
    whole = test_resources_linux_builder
    for every in (whole.PRESENT, whole.NIX_ABSENT):
        for world in (whole.FRESH, whole.CONVERGED):
            yield from (Case(each.title, each, world) for each in every)


def _changes() -> dict[str, Change]:
    """Each script once, by what it is for."""
    scripts: dict[str, Change] = {}
    for case in cases():
        for change in case.changes():
            scripts.setdefault(change.script, change)
    return {f"{number}-{change.summary.replace(' ', '-')}": change for number, change in enumerate(scripts.values())}


CHANGES = _changes()
QUESTIONS = list(
    dict.fromkeys(
        question
        for resource in (*test_resources_linux_builder.PRESENT, test_resources_doctor.DOCTOR)
        for question in resource.questions()
    )
)
REQUESTS = list(dict.fromkeys(request for question in QUESTIONS for request in question.requests()))
PROBE = shell.wrap(probe_of(QUESTIONS).script("token"))


def within(program: str, option: str) -> dict[str, str]:
    """The programs that requests hand to an interpreter, by what they are of."""
    return {
        f"{number}-asked-of-{'-'.join(request.words[1:3])}": words[2]
        for number, request in enumerate(REQUESTS)
        for words in zip(request.words, request.words[1:], request.words[2:], strict=False)
        if words[:2] == (program, option)
    }


SCRIPTS = {
    **{name: SESSION.apply(change) for name, change in CHANGES.items()},
    **within("/bin/sh", "-c"),
    "probe": PROBE,
    "release": SESSION.release(),
    "the-start-script-of-the-VM": test_resources_builder_vm.WANTED.wrapper(),
}
EVERY = pytest.mark.parametrize("name", SCRIPTS)


def test_there_are_many() -> None:
    assert len(CHANGES) > 60


def said(command: Sequence[str], script: str) -> tuple[int, str]:
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} here")
    ran = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


@EVERY
@pytest.mark.parametrize("command", ["dash -n", "bash -n", "bash --posix -n"])
def test_it_parses(name: str, command: str) -> None:
    assert said(command.split(), SCRIPTS[name]) == (0, "")


def without_carried(script: str) -> str:
    """A script with the bytes that it carries left out: they say nothing about the script."""
    return re.sub(r"(<<'BYTES'\n)(?:.*\n)*?(BYTES)$", r"\1\2", script, flags=re.MULTILINE)


def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    """All of them in one go. Not meant: functions of the library that a script does not use, and data in quotes.

    Scripts that differ in digests alone are one: that is a third of them, and of the time that it takes.
    """
    scripts = {re.sub(r"\b[0-9a-f]{16,64}\b", "0" * 16, without_carried(script)) for script in SCRIPTS.values()}
    for number, script in enumerate(sorted(scripts)):
        (tmp_path / f"{number}.sh").write_text(script)
    files = map(str, sorted(tmp_path.iterdir()))
    assert said(["shellcheck", "-s", "sh", "-e", "SC2317,SC2329,SC2016", "-f", "gcc", *files], "") == (0, "")


# What GNU's or Linux's tools have and macOS's do not, and what bash has and POSIX does not.
FOREIGN = {
    "GNU options": r"\b(sed [^;|\n]*-[a-zA-Z]*[ir]|grep .*-[a-zA-Z]*P|stat .*-[cL]+|date .*-d|base64 .*-[dDwi]\w*|xargs .*-[rd]|"
    r"(head|tail) -[nc] ?-|(mv|cp|ln) (.* )?-[a-zA-Z]*[TtrD]|install (.* )?-D|find .*-(printf|readable)|sort .*-[a-zA-Z]*V|"
    r"touch .*-d|du .*-b)\b",
    "commands": r"(?<![\w/.-])(timeout|setsid|flock|readlink|realpath|sha256sum|md5sum|nproc|tac|seq|getent|systemctl|"
    r"python\d?)\b",
    "Linux paths": r"(?<![\w.])/proc/(?!sys/kernel)|/sys/|/dev/shm|(?<!/var)/run/(?!current-system)",
    "bash": r"\[\[|(?<![\w$])(local|function|declare|source|let|shopt) \w|\$'|<\(|<<<|&>|\bread -[a-zA-Z]*[ptnd]\b|"
    r"\becho -[neE]|\$\{\w+(\^|,|/|:\d|\[)|\[ [^]\n]* == |\bset -o pipefail|\$RANDOM",
}
# What bash 3.2, the sh of every Mac, gets wrong, or what looks safe and is not, in any shell.
TRAPS = {
    # An unset variable ends a script that has one with the trap's status, 0.
    "a trap at the exit": r"\btrap\b.*\b(EXIT|0)\b",
    # `set -e` is off in all of it, so that it goes on after what failed.
    "a compound command left of || or &&": r"(?m)^[^#\n]*(?:^|[;\s])(\)|\}|done|fi|esac) *(\|\||&&)",
    "a compound command as a condition": r"(?m)^\s*(if|while|until|elif)\s+(!\s*)?[({]",
    "a case in a command substitution": r"\$\([^()]*\bcase\b",
}
LONG_OPTIONS = re.compile(r"^(?!.*(curl|nix|ssh-keygen|build root)\b).*\s--[a-z][a-z-]+", re.MULTILINE)


ASKED = re.compile(r"""printf %s '([^']*)\n__END__\n(?:[^']|'"'"')*' \| (?=/usr/bin/perl - )""")


def shell_of(script: str) -> str:
    """The shell of a script: without comments, perl programs, words for people, and the bytes that it carries."""
    without = re.sub(r"(?m)^\s*#.*$", "", ASKED.sub("", without_carried(script)))
    without = re.sub(r"(?m)^(lock|lease) .*$", r"\1", without)
    return re.sub(r"(/usr/bin/perl(?: -\S+)* -\w*e) '[^']*'", r"\1 ''", without)


@pytest.mark.parametrize("kind", FOREIGN)
def test_it_is_what_a_mac_understands(kind: str) -> None:
    found = {match[0] for script in SCRIPTS.values() for match in re.finditer(FOREIGN[kind], shell_of(script))}
    assert found == set()


def test_no_long_options_but_of_programs_that_are_the_same_everywhere() -> None:
    scripts = (shell_of(script).replace("\\\n", " ") for script in SCRIPTS.values())
    assert {match[0].strip() for script in scripts for match in LONG_OPTIONS.finditer(script)} == set()


@pytest.mark.parametrize("kind", TRAPS)
def test_it_holds_no_form_that_goes_on_after_a_failure(kind: str) -> None:
    found = {match[0] for script in SCRIPTS.values() for match in re.finditer(TRAPS[kind], shell_of(script))}
    assert found == set()


def test_no_function_of_several_commands_is_where_set_e_is_off_in_it() -> None:
    """Left of `||` or `&&`, or as a condition, a function goes on after a command of its own that failed."""
    found = set()
    for script in SCRIPTS.values():
        text = shell_of(script)
        bodies = re.findall(r"(?m)^(\w+)\(\) \{(?: (.*) \}$|\n((?:.*\n)*?)\})", text)
        several = {name for name, short, long in bodies if not _stops_by_itself(short or long)}
        for name in several:
            tested = rf"(?m)^\s*(?:if |while |until |elif |! )*{name}\b[^\n|]*(?:\|\||&&|; (?:then|do))|(?:\|\||&&) {name}\b.*&&"
            found |= {match[0].strip() for match in re.finditer(tested, text)}
    assert found == set()


def _stops_by_itself(body: str) -> bool:
    """Whether a function's commands each say what a failure of theirs means, or there is but one."""
    joined = body.strip().replace("\\\n", " ")
    commands = [each.strip() for line in joined.splitlines() for each in re.split(r";(?!;)", line) if each.strip()]
    return len(commands) < 2 or all(
        re.search(r"\|\| |\bexit\b|\breturn\b|^(while|until|done|do|if|then|fi)\b|^\w+=|^\[ ", each)
        for each in commands
    )


def test_what_only_asks_writes_nothing_anywhere() -> None:
    """bash 3.2 writes a here-document to a file: a Mac whose disk is full could not be asked."""
    for script in (PROBE, SCRIPTS["release"]):
        assert not re.search(r"<<|(?<![0-9&])>(?!&| ?/dev/null)", shell_of(script))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("a trap at the exit", "trap 'rm -rf x' EXIT"),
        ("a trap at the exit", "trap - 0"),
        ("a compound command left of || or &&", "(\nfalse\ntrue\n) || exit 1"),
        ("a compound command left of || or &&", "{ false; true; } || fail x"),
        ("a compound command left of || or &&", "for x in a; do y; done && z"),
        ("a compound command as a condition", "if (a; b); then"),
        ("a case in a command substitution", "x=$(case y in a) ;; esac)"),
    ],
)
def test_those_checks_find_what_they_look_for(kind: str, text: str) -> None:
    assert re.search(TRAPS[kind], text)


@pytest.mark.parametrize(
    "text",
    ["sed -i x", "grep -P x", "base64 -w0", "head -n -1", "mv -T a b", "xargs -r", "timeout 5 x", "readlink -f x", "[[ a ]]",
     "[ a == b ]", "echo -n x", "local x", "cat <<< x", "x=${y//a}", "cat /proc/1/stat", "date -d x", "stat -c %a x"],
)  # fmt: skip
def test_that_check_finds_what_it_looks_for(text: str) -> None:
    assert any(re.search(pattern, text) for pattern in FOREIGN.values())


PERL = sorted(
    {
        program
        for script in SCRIPTS.values()
        for program in re.findall(r"/usr/bin/perl(?: -\S+)* -\w*e '([^']*)'", ASKED.sub("", script))
    }
    | {ASKED.findall(PROBE)[0], *within("/usr/bin/perl", "-e").values()}
)


def test_every_perl_program_is_known() -> None:
    """Each is in single quotes, and so holds none; or it is a word of a request."""
    assert len(PERL) >= 5
    for script in SCRIPTS.values():
        text = ASKED.sub("", without_carried(script))  # what is asked are those `within`
        assert text.count("/usr/bin/perl") == len(
            re.findall(r"(?m)/usr/bin/perl(?: -\S+)* (?:-\w*e '[^']*'|- \S+ \S+$)", text)
        )


@pytest.mark.parametrize("program", PERL, ids=lambda program: " ".join(program.split())[:40])
def test_perl_takes_it(program: str) -> None:
    assert said(["perl", "-c", "-"], program) == (0, "- syntax OK\n")


@EVERY
def test_it_tells_no_secret(name: str) -> None:
    script = SCRIPTS[name]
    carried = b"\n".join(base64.b64decode(text) for text in re.findall(r"<<'BYTES'\n((?:.*\n)*?)BYTES\n", script))
    for text in (script, carried.decode("utf-8", "replace")):
        assert "PRIVATE KEY" not in text
        assert not re.search(rf"(\b(cat|base64|cp|read|stage)\b[^\n|;]*[ \t]|< ?){re.escape(KEY)}(?!\.pub|\S)", text)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_said_in_one_line_and_has_its_time(change: Change) -> None:
    assert "\n" not in change.summary
    assert change.summary[0].islower()
    assert 0 < change.limit <= 3600
    assert change.slow or change.limit <= 600
    assert max([0, *map(int, re.findall(r"^.*\blimit (\d+) /", change.script, re.MULTILINE))]) < change.limit


def test_all_scripts_of_resources_run_under_the_lock_and_the_probe_does_not() -> None:
    for name, change in CHANGES.items():
        assert f"\nlock {SESSION.run} " in SCRIPTS[name].split(change.script.strip())[0]
    assert shell.LOCK_FILE not in PROBE
