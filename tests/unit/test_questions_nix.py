# SPDX-License-Identifier: GPL-3.0-or-later
"""What Nix's daemon reads: which file and line sets what, followed as Nix follows it; and since when it runs."""

from __future__ import annotations

import time
from typing import Any

import pytest
from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.asking import Question, Replies, Unknown, probe_of
from builderfleet.plugin_utils.questions.file import Pointed
from builderfleet.plugin_utils.questions.nix import (
    NIX,
    NixBuildHook,
    NixConfiguration,
    NixDaemonStart,
    NixSources,
    Source,
)
from builderfleet.plugin_utils.transcript import Transcript

from tests.unit.sandbox import Sandbox

CONF, CUSTOM, ROOTS = "/etc/nix/nix.conf", "/etc/nix/nix.custom.conf", "/var/root/.config/nix/nix.conf"


def ask(sandbox: Sandbox, question: Question[Any]) -> Any:
    probe = probe_of([question])
    done = sandbox.run(shell.wrap(probe.script("token")))
    transcript = Transcript.parse(done.stdout, "token")
    assert not any(b"SECRET" in value for fields in transcript.records.values() for value in fields.values())
    return probe.answers(transcript)[question]


def write(sandbox: Sandbox, files: dict[str, str]) -> None:
    for path, text in files.items():
        (sandbox / path).parent.mkdir(parents=True, exist_ok=True)
        (sandbox / path).write_text(text)


def sources(sandbox: Sandbox, files: dict[str, str]) -> list[tuple[str, int, str, str]]:
    write(sandbox, files)
    found: tuple[Source, ...] = ask(sandbox, NixSources())
    for each in found:
        if each.name == Source.END:
            assert each.changed == int(
                (sandbox / each.file if each.line else (sandbox / each.file).parent).stat().st_ctime
            )
    return [(each.file, each.line, each.name, each.other) for each in found]


def test_no_nix_has_no_files(sandbox: Sandbox) -> None:
    assert sources(sandbox, {}) == []


def test_every_line_that_counts_is_named_in_its_order_and_no_value(sandbox: Sandbox) -> None:
    assert sources(
        sandbox,
        {
            CONF: (
                "# builders = none\naccess-tokens = SECRET\n include sub/tokens # SECRET\n!include nix.custom.conf\n"
                "!include nothing\ncores=SECRET\ninclude /etc/nix/gone\nbuilders =\n"
            ),
            "/etc/nix/sub/tokens": "extra-access-tokens = git.a=SECRET github.com=SECRET gitlab.com=PAT:S=\n!include more\n",
            "/etc/nix/sub/more": "cores = 4",
            CUSTOM: "builders = ssh://SECRET;@/etc/nix/machines\n",
            ROOTS: "builders = ssh://SECRET\n",
        },
    ) == [
        (CONF, 2, "access-tokens", ""),
        ("/etc/nix/sub/tokens", 1, "extra-access-tokens", "github.com gitlab.com"),
        ("/etc/nix/sub/more", 1, "cores", ""),
        ("/etc/nix/sub/more", 1, Source.END, ""),
        ("/etc/nix/sub/tokens", 2, Source.END, ""),
        (CUSTOM, 1, "builders", Source.ALL),
        (CUSTOM, 1, Source.END, ""),
        (CONF, 5, Source.OPTIONAL, "/etc/nix/nothing"),
        (CONF, 6, Source.UNREADABLE, ""),
        (CONF, 7, Source.MISSING, "/etc/nix/gone"),
        (CONF, 8, "builders", Source.EMPTY),
        (CONF, 8, Source.END, ""),
        (ROOTS, 1, "builders", ""),
        (ROOTS, 1, Source.END, ""),
    ]


def test_a_file_that_includes_itself_comes_to_an_end(dash_sandbox: Sandbox) -> None:
    assert sources(dash_sandbox, {CONF: "include nix.conf\n"})[-1] == (CONF, 1, Source.END, "")


def test_the_daemons_own_environment_says_which_files(sandbox: Sandbox) -> None:
    sandbox.double(
        "/bin/launchctl",
        '[ "$2" = system/org.nixos.nix-daemon ] || exit 113\n'
        "printf '\\tenvironment = {\\n\\t\\tNIX_USER_CONF_FILES => /a:/b\\n\\t\\tNIX_SSL_CERT_FILE => /c\\n\\t}\\n'",
    )
    files = {CONF: "", "/a": "builders = x\n", "/b": "builders = y\n", ROOTS: "builders = z\n"}
    assert [each for each in sources(sandbox, files) if each[2] == "builders"] == [
        ("/b", 1, "builders", ""),
        ("/a", 1, "builders", ""),
    ]
    sandbox.double(f"{NIX}/nix", 'echo "builders = $HOME $NIX_USER_CONF_FILES"')
    assert ask(sandbox, NixConfiguration()).settings == {"builders": "/var/root /a:/b"}


def test_all_of_the_daemons_environment_counts_that_says_what_is_in_effect(sandbox: Sandbox) -> None:
    sandbox.double(
        "/bin/launchctl",
        '[ "$2" = system/org.nixos.nix-daemon ] || { echo no service >&2; exit 113; }\n'
        "printf '\\tenvironment = {\\n\\t\\tNIX_CONFIG => builders = ssh://a x\\n\\t\\tNIX_REMOTE_SYSTEMS => /other file\\n'\n"
        "printf '\\t\\tOTHER => SECRET\\n\\t}\\n'",
    )
    sandbox.double(
        f"{NIX}/nix", 'echo "$NIX_CONFIG"; echo "extra-platforms = $NIX_REMOTE_SYSTEMS $OTHER"; echo "cores = 1"'
    )
    found = ask(sandbox, NixConfiguration())
    assert (found.settings, found.error) == ({"builders": "ssh://a x", "extra-platforms": "/other file"}, "")


@pytest.mark.parametrize("place", ["nix", "../libexec/nix/build-remote"])
def test_the_build_hook_is_asked_what_it_reads(sandbox: Sandbox, place: str) -> None:
    """By its link where there is one, otherwise as Nix under another name; with nobody's settings and without a store."""
    sandbox.double(f"{NIX}/nix", "exit 1")
    script = 'echo "$NIX_REMOTE $1 $(wc -c | tr -d " ")" >&2; exit 1'
    (sandbox / f"{NIX}/../libexec/nix").mkdir(parents=True, exist_ok=True)
    sandbox.double(f"{NIX}/{place}", script)
    assert ask(sandbox, NixBuildHook()) == "dummy:// 0 8"
    sandbox.double(f"{NIX}/{place}", "echo warning >&2")
    assert ask(sandbox, NixBuildHook()) == ""


def test_a_hook_of_lix_is_not_started(sandbox: Sandbox) -> None:
    sandbox.double(f"{NIX}/nix", '[ "$1" = --version ] && { echo "nix (Lix, like Nix) 2.95.3"; exit; }; sleep 60')
    assert ask(sandbox, NixBuildHook()) == ""


def test_a_value_that_nix_does_not_take_is_not_told() -> None:
    errors = b"warning: x\nerror: setting 'cores' has invalid value 'SECRET'\nTry 'nix --help' for more information.\n"
    reply = {"output": b"", "errors": errors, "status": b"1"}
    assert NixConfiguration().answer(Replies((reply,))).error == "error: setting 'cores' has invalid value"


def test_where_there_is_no_nix_no_hook_reads_anything(sandbox: Sandbox) -> None:
    assert ask(sandbox, NixBuildHook()) == ""


def test_the_error_of_a_hook_is_found_in_its_log() -> None:
    log = (
        '@nix {"action":"msg","level":0,"msg":"warning: something"}\n@nix {"action":"msg","column":null,"file":null,"level":0,'
        '"line":null,"msg":"\\u001b[31;1merror:\\u001b[0m Cannot parse Nix store \\u001b[35;1mx\\u001b[0m","raw_msg":"Cannot"}\n'
    )
    reply = {"output": b"", "errors": log.encode(), "status": b"1"}
    assert NixBuildHook().answer(Replies((reply,))) == "error: Cannot parse Nix store x"
    assert NixBuildHook().answer(Replies(({**reply, "errors": b""},))) == "status 1"
    with pytest.raises(Unknown, match="makes no sense"):
        NixBuildHook().answer(Replies(({**reply, "errors": b"@nix {"},)))


def test_a_file_that_is_gone_was_there_until_its_directory_was_changed(sandbox: Sandbox) -> None:
    write(sandbox, {ROOTS: "builders =\n", CONF: "!include more\n!include /opt/nix/more\n", "/opt/nix/other": ""})
    (sandbox / ROOTS).unlink()
    assert [each for each in sources(sandbox, {}) if each[2] == Source.END] == [
        ("/opt/nix/more", 0, Source.END, ""),
        (CONF, 2, Source.END, ""),
        (ROOTS, 0, Source.END, ""),
    ]


def test_a_list_that_makes_no_sense_is_unknown() -> None:
    with pytest.raises(Unknown, match="makes no sense"):
        NixSources().answer(Replies(({"output": b"/x\n", "errors": b"", "status": b"0"},)))


@pytest.mark.parametrize(
    ("output", "started"),
    [
        ("1000000 00:05\n", 999995),
        ("1000000    02:00:05\n", 992795),
        ("1000000 1-00:00:01\n", 913599),
        ("1000000 \n", None),
        ("", None),
    ],
)
def test_since_when_the_daemon_runs(output: str, started: int | None) -> None:
    reply = {"output": output.encode(), "errors": b"", "status": b"0"}
    assert NixDaemonStart().answer(Replies((reply,))) == started


def test_ps_in_other_words_is_unknown() -> None:
    with pytest.raises(Unknown, match="in other words"):
        NixDaemonStart().answer(Replies(({"output": b"1000000 long\n", "errors": b"", "status": b"0"},)))


def test_a_running_daemon_is_asked_since_when(sandbox: Sandbox) -> None:
    sandbox.double("/bin/launchctl", "printf '\\tpid = %s\\n' 1")
    started = ask(sandbox, NixDaemonStart())
    assert isinstance(started, int)
    assert abs(started - time.time()) < 60


def test_what_a_link_leads_to(sandbox: Sandbox) -> None:
    write(sandbox, {"/etc/nix/real": "x y\n"})
    for path, target in (("/etc/nix/machines", "real"), ("/etc/nix/nowhere", "gone")):
        (sandbox / path).symlink_to(target)
    assert ask(sandbox, Pointed("/etc/nix/machines")) == b"x y\n"
    assert ask(sandbox, Pointed("/etc/nix/nowhere")) is None
    assert ask(sandbox, Pointed("/etc/nix/real")) is None
