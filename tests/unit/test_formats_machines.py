# SPDX-License-Identifier: GPL-3.0-or-later
"""/etc/nix/machines: the laws of editing over generated files, models of both of Nix's parsers, and real Nix once."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest
from builderfleet.plugin_utils.asking import Replies
from builderfleet.plugin_utils.formats import machines
from builderfleet.plugin_utils.formats.machines import Machine
from builderfleet.plugin_utils.questions.nix import NixBuildHook
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.simulated_mac import releases
from tests.simulated_mac.errors import GuestError
from tests.simulated_mac.releases import Release
from tests.unit.foreign_files import files

BAKED_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJBWcxb/Blaqt1auOtE+F8QUWrUotiC5qBJ+UuEWdVCb root@nixos"
BAKED_KEY_ENCODED = (
    "c3NoLWVkMjU1MTkgQUFBQUMzTnphQzFsWkRJMU5URTVBQUFBSUpCV2N4Yi9CbGFxdDFhdU90RStGOFFVV3JVb3RpQzVxQkorVXVFV2RWQ2Ig"
    "cm9vdEBuaXhvcwo="
)
OURS = Machine(
    uri="ssh-ng://builderfleet",
    systems=("aarch64-linux", "x86_64-linux"),
    ssh_key="/etc/nix/builderfleet_ed25519",
    max_jobs=4,
    supported_features=("big-parallel", "kvm"),
    host_key=BAKED_KEY,
)
OTHER = Machine(uri="ssh-ng://builderfleet", max_jobs=2)
FOREIGN_LINES = [
    b"# other builders",
    b"# a ; b",
    b"  # indented comment",
    b"ssh-ng://linux-builder aarch64-linux /etc/nix/builder_ed25519 4 - - - " + BAKED_KEY_ENCODED.encode(),
    b"\tmac2.example\tx86_64-darwin",
    b"ssh://a x86_64-linux;ssh://b",
    b"ssh://a ; ssh://b # both",
    b"ssh://a ; ",
    b"@/etc/nix/more",
    b" @/etc/nix/more",
    b"ssh://a - - 0",
    b"ssh://a - - 1 0.5",
    b"ssh://a - - 1 1 - - not_base64!",
    b"ssh-ng://builderfleet2 aarch64-linux",
]
OUR_LINES = [
    OURS.line(),
    b"  " + OURS.line() + b" # edited by hand",
    OTHER.line(),
    b"ssh-ng://builderfleet - - no-number",
    b"ssh-ng://builderfleet;ssh://theirs x86_64-linux",
    b"ssh://theirs ; ssh-ng://builderfleet # why",
    b"# ssh-ng://builderfleet was here",
]
FOREIGN_FILES = files(FOREIGN_LINES)
FILES = files([*FOREIGN_LINES, *OUR_LINES])
SOUND_FILES = files([line for line in [*FOREIGN_LINES, *OUR_LINES] if not machines.problems(line)])
Fields = tuple[bytes, ...]


def fields(entry: bytes) -> Fields:
    tokens = [token for token in entry.replace(b"\t", b" ").replace(b"\r", b" ").split(b" ") if token]
    if not tokens or tokens[0] == b"-":
        raise ValueError("bad machine specification")
    return tuple(tokens[:8])


def read_by_old_parser(data: bytes) -> list[Fields]:
    """nix_configuration §2, "old": splits at both separators first, strips nothing, then looks for comments."""
    entries = (piece for line in data.split(b"\n") for piece in line.split(b";") if piece)
    codes = [entry.partition(b"#")[0] for entry in entries]
    return [fields(code) for code in codes if code and not code.startswith(b"@")]


def read_by_new_parser(data: bytes) -> list[Fields]:
    """The fixed one: comments first, then `;`, and blanks around an entry mean nothing."""
    entries = (piece.strip(b" \t\r") for line in data.split(b"\n") for piece in line.partition(b"#")[0].split(b";"))
    return [fields(entry) for entry in entries if entry and not entry.startswith(b"@")]


def is_ours(entry: Fields) -> bool:
    return entry[0] == OURS.uri.encode()


@given(FOREIGN_FILES)
@example(b"")
@example(b"no final newline")
def test_what_is_put_in_comes_out_again(data: bytes) -> None:
    edited = machines.with_machine(data, OURS)
    assert edited != data
    assert machines.without_machine(edited, OURS.uri) == data


@given(FILES, st.sampled_from([OURS, OTHER]))
def test_adding_again_changes_nothing(data: bytes, machine: Machine) -> None:
    edited = machines.with_machine(data, machine)
    assert machines.with_machine(edited, machine) == edited
    assert [found for _, found in machines.machines(edited) if found.uri == machine.uri] == [machine]


@given(FILES)
def test_taking_out_again_changes_nothing(data: bytes) -> None:
    without = machines.without_machine(data, OURS.uri)
    assert machines.without_machine(without, OURS.uri) == without
    assert not any(is_ours(entry) for entry in entries_of(without))


def entries_of(data: bytes) -> list[Fields]:
    """Like the fixed parser, but it goes on behind what it cannot read."""
    entries = (piece.strip(b" \t\r") for line in data.split(b"\n") for piece in line.partition(b"#")[0].split(b";"))
    return [tuple(entry.replace(b"\t", b" ").split(b" ")) for entry in entries if entry]


def comments(data: bytes) -> list[bytes]:
    return [line.partition(b"#")[2] for line in data.split(b"\n") if b"#" in line]


@given(FILES, st.sampled_from([OURS, OTHER]))
def test_every_foreign_line_machine_and_comment_survives(data: bytes, machine: Machine) -> None:
    for edited in (machines.with_machine(data, machine), machines.without_machine(data, machine.uri)):
        remaining = iter(edited.split(b"\n"))
        for line in data.split(b"\n"):
            assert OURS.uri.encode() in line or line in remaining, "a foreign line is gone or has moved"
        assert comments(edited) == comments(data)
        assert [e for e in entries_of(edited) if not is_ours(e)] == [e for e in entries_of(data) if not is_ours(e)]


@given(FILES, st.sampled_from([OURS, OTHER]))
def test_no_problem_is_made(data: bytes, machine: Machine) -> None:
    before = sorted(problem.text for problem in machines.problems(data))
    after = [problem.text for problem in machines.problems(machines.with_machine(data, machine))]
    without = [problem.text for problem in machines.problems(machines.without_machine(data, machine.uri))]
    assert len(after) <= len(before)
    assert len(without) <= len(before)


@given(SOUND_FILES)
def test_both_parsers_read_a_file_without_problems_alike(data: bytes) -> None:
    assume(not machines.problems(data))
    edited = machines.with_machine(data, OURS)
    assert read_by_old_parser(edited) == read_by_new_parser(edited)
    (ours,) = [entry for entry in read_by_old_parser(edited) if is_ours(entry)]
    assert machines.parse_line(b" ".join(ours)) == OURS
    foreign = [entry for entry in read_by_old_parser(edited) if not is_ours(entry)]
    assert foreign == [entry for entry in read_by_old_parser(data) if not is_ours(entry)]


@given(FILES)
def test_where_the_parsers_differ_there_is_a_problem(data: bytes) -> None:
    try:
        alike = read_by_old_parser(data) == read_by_new_parser(data)
    except ValueError:
        alike = False
    assert alike or machines.problems(data)


@given(FILES)
def test_every_machine_is_listed_or_is_a_problem(data: bytes) -> None:
    listed = {line for line, _ in machines.machines(data)} | {problem.line for problem in machines.problems(data)}
    for number, line in enumerate(data.split(b"\n"), 1):
        machines_there = [entry for entry in entries_of(line) if not entry[0].startswith(b"@")]
        # A word with odd blanks in it is none of ours, whatever Nix makes of it.
        if any(re.fullmatch(rb"[!-~ ]+", b" ".join(entry)) for entry in machines_there):
            assert number in listed


def test_the_line() -> None:
    assert OURS.line() == (
        b"ssh-ng://builderfleet aarch64-linux,x86_64-linux /etc/nix/builderfleet_ed25519 4 1 big-parallel,kvm - "
        + BAKED_KEY_ENCODED.encode()
    )
    assert OTHER.line() == b"ssh-ng://builderfleet - - 2 1 - - -"
    assert machines.parse_line(OURS.line()) == OURS


def test_the_baked_host_key_has_the_well_known_encoding() -> None:
    assert machines.encoded_host_key(BAKED_KEY) == BAKED_KEY_ENCODED
    assert machines.encoded_host_key(BAKED_KEY + "\n") == BAKED_KEY_ENCODED


def test_our_first_line_is_replaced_in_place_and_others_go() -> None:
    data = b"a\n\tssh-ng://builderfleet x # note\nb\nssh-ng://builderfleet\nssh-ng://builderfleet # second\nc"
    assert machines.with_machine(data, OTHER) == b"a\n\t" + OTHER.line() + b" # note\nb\n# second\nc"


def test_our_line_is_put_right_where_only_newer_parsers_read_it_as_meant() -> None:
    assert machines.with_machine(OTHER.uri.encode() + b"\t-\t-\t2", OTHER) == OTHER.uri.encode() + b"\t-\t-\t2"
    assert machines.with_machine(OTHER.uri.encode() + b" - - 2 1.0", OTHER) == OTHER.line()


def test_a_neighbour_on_the_same_line_stays() -> None:
    assert machines.without_machine(b"ssh://a ; ssh-ng://builderfleet # c\n", OURS.uri) == b"ssh://a # c\n"
    assert machines.without_machine(b"ssh-ng://builderfleet;ssh://a\n", OURS.uri) == b"ssh://a\n"


@pytest.mark.parametrize("rest", [b"", b" ", b" ; ", b"\r"])
def test_no_line_of_blanks_is_left_behind(rest: bytes) -> None:
    line = b" ssh-ng://builderfleet ;" + rest
    assert machines.without_machine(b"a\n" + line + b"\nb", OURS.uri) == b"a\nb"
    assert machines.without_machine(b"a\n" + line + b"# why\nb", OURS.uri) == b"a\n# why\nb"


def test_a_file_of_our_line_alone_becomes_empty() -> None:
    assert machines.without_machine(OURS.line(), OURS.uri) == b""


def test_a_machine_in_a_comment_is_not_one() -> None:
    data = b"# ssh-ng://builderfleet - - 2\n"
    assert machines.machines(data) == ()
    assert machines.without_machine(data, OURS.uri) == data


def test_foreign_machines_are_read_as_nix_reads_them() -> None:
    found = machines.machines(b"mac2 x86_64-darwin - 2 1.5 a,b c\n\n/srv/store\nauto\nssh://x;ssh://y - -\n")
    assert found == (
        (1, Machine("ssh://mac2", ("x86_64-darwin",), "", 2, 1.5, ("a", "b"), ("c",))),
        (3, Machine("/srv/store")),
        (4, Machine("auto")),
        (5, Machine("ssh://x")),
        (5, Machine("ssh://y")),
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"   ", "nothing but blanks"),
        (b"\r", "nothing but blanks"),
        (b"  # comment", "nothing but blanks"),
        (b"ssh://a ; ", "nothing but blanks"),
        (b"# a ; b", "in a comment"),
        (b"ssh://a; @/etc/more", "blank before '@'"),
        (b"- x86_64-linux", "no store in the first field"),
        (b"ssh://a - - many", "the fourth field"),
        (b"ssh://a - - -1", "the fourth field"),
        (b"ssh://a - - 1 -2", "the fifth field"),
        (b"ssh://a - - 1 0.5", "whole number"),
        (b"ssh://a - - 1 1.0", "whole number"),
        (b"ssh://a - - 1 1 - - c3No!", "the eighth field"),
    ],
)
def test_problems_name_the_line_and_what_is_wrong(line: bytes, words: str) -> None:
    (problem,) = machines.problems(b"# fine\nssh://ok\n" + line + b"\nssh://ok2\n")
    assert problem.line == 3
    assert words in problem.reason


@pytest.mark.parametrize(
    "arguments",
    [
        {"uri": "builder"},
        {"uri": ""},
        {"uri": "ssh://a b"},
        {"uri": "ssh://a;b"},
        {"systems": ("a,b",)},
        {"systems": ("",)},
        {"ssh_key": "/a key"},
        {"ssh_key": "/a#key"},
        {"max_jobs": 0},
        {"max_jobs": True},
        {"max_jobs": "4"},
        {"speed_factor": 0},
        {"speed_factor": float("nan")},
        {"supported_features": ("a b",)},
        {"mandatory_features": ("-",)},
        {"host_key": "AAAA"},
        {"host_key": "ssh-ed25519 A\nssh-ed25519 B"},
    ],
)
def test_a_machine_that_cannot_be_written_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"wanted .* saw "):
        Machine(**({"uri": "ssh://a"} | arguments)).line()  # type: ignore[arg-type]


def test_a_broken_speed_factor_is_read_but_not_written() -> None:
    with pytest.raises(ValueError, match="whole number"):
        Machine("ssh://a", speed_factor=1.5).line()


TOML = b'version = 1\n\n[machines.a]\nuri = "ssh://a"\n'


def test_toml_is_recognised_and_refused() -> None:
    assert machines.is_toml(TOML)
    for data in (b"", b"# version = 1\n", OURS.line(), b"\xff", b"ssh://a x86_64-linux\n"):
        assert not machines.is_toml(data)
    with pytest.raises(ValueError, match="TOML"):
        machines.with_machine(TOML, OURS)
    with pytest.raises(ValueError, match="TOML"):
        machines.without_machine(TOML, OURS.uri)


def test_inline_builders() -> None:
    assert machines.inline_builders("ssh://a x - 4 ; @/etc/nix/machines;;ssh://b\n ssh://c # no ; ssh://d") == (
        "ssh://a x - 4",
        "@/etc/nix/machines",
        "ssh://b",
        "ssh://c",
    )
    assert machines.inline_builders("") == ()


NIX = [releases.own, *(partial(releases.release, version) for version in ("2.26", "2.34"))]

HOOKED = [
    b"# fine", b"  # an indented comment", b"# a ; b c", b"@/nonexistent", b"ssh://a x - 0", b"ssh://a x - +1 0",
    b"ssh://a x - 01 01", b"ssh://a x - 1 1e3", b"ssh://a x - 1 .5", b"ssh://a x - 1 5.", b"ssh://a x - 1 inf",
    b"ssh://a x - 1 -0", b"ssh://a x - 1 -1", b"ssh://a x - -1", b"ssh://a - - many", b"- x",
    b"ssh://a - - 1 1 - - not_base64!", b"ssh://a - - 1 1 - - c3NoL", b"ssh://a:b x", b'"ssh://a" x', b"ssh://a%zz x",
    b"ssh://[::1 x", b"://x y", b"ssh://a|b x", "ssh://\ufeffa x".encode(), b"ssh://a\tx\t-\t1", b"ssh://a_b x",
    b"user@host:22 x",
]  # fmt: skip


@pytest.fixture(scope="module", params=NIX, ids=["own", "2.26", "2.34"])
def nix(request: pytest.FixtureRequest) -> Release:
    if shutil.which("nix") is None:
        pytest.skip("no Nix on this machine: the build hook cannot be asked")
    try:
        found: Release = request.param()
    except GuestError as error:
        pytest.skip(f"this Nix cannot be had: {error}")
    return found


@pytest.mark.parametrize("line", HOOKED)
def test_where_the_real_build_hook_fails_the_line_is_found_and_nowhere_else(
    tmp_path: Path, nix: Release, line: bytes
) -> None:
    data = machines.with_machine(b"ssh://nowhere.invalid riscv64-linux - 3 2 one,two two\n" + line + b"\n", OURS)
    said = ask_build_hook(tmp_path, nix, data)
    reader = machines.Reader.of(f"nix (Nix) {nix.nix}")
    found = {problem.line for problem in machines.problems(data, reader)} | set(machines.named(data, said))
    if b";" in line:  # the old parser takes it for a machine, and fails at nothing
        assert said == "" and found == ({2} if reader.strict else set())
    else:
        assert found == ({2} if said else set())


def ask_build_hook(directory: Path, nix: Release, machines_file: bytes) -> str:
    """What the question about the hook makes of a machines file, asked of a real Nix."""
    (directory / "machines").write_bytes(machines_file)
    (directory / "nix.conf").touch()
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(directory),
        "NIX_CONF_DIR": str(directory),
        "NIX_REMOTE": "dummy://",
    }
    command = nix.command("usr/bin/nix", "build-remote")
    command = ("perl", "-e", 'exec { shift } "build-remote", "0"', *command) if nix.own else (*command, "0")
    done = subprocess.run(command, env=environment, input=bytes(8), capture_output=True, timeout=60, check=False)
    reply = {"status": str(done.returncode).encode(), "output": done.stdout, "errors": done.stderr}
    return NixBuildHook().answer(Replies((reply,)))
