# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe, really run by each kind of sh: what it says of files, commands and servers, and what it does not know."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.asking import (
    MOST_READ,
    Answers,
    Question,
    Replies,
    Request,
    Unknown,
    greet,
    look,
    probe_of,
    read,
    run,
)
from builderfleet.plugin_utils.questions.file import File, Kind, Metadata
from builderfleet.plugin_utils.questions.key_pair import KeyPair
from builderfleet.plugin_utils.questions.launchd import LaunchdJob
from builderfleet.plugin_utils.questions.network import Greeting
from builderfleet.plugin_utils.transcript import Transcript

TOKEN = "b7a0c4e1"
SHELLS = ("dash", "bash --posix", "bash")
NOBODY = 65534


@pytest.fixture(params=SHELLS)
def sh(request: pytest.FixtureRequest) -> str:
    if shutil.which(request.param.split()[0]) is None:
        pytest.skip(f"there is no {request.param.split()[0]} here")
    return str(request.param)


@dataclass(frozen=True)
class Raw:
    """Requests, and as their answer what was recorded for each."""

    wanted: tuple[Request, ...]

    def requests(self) -> tuple[Request, ...]:
        return self.wanted

    def answer(self, replies: Replies) -> Replies:
        return replies


def ask(sh: str, *questions: Any, user: int | None = None) -> Answers:
    probe = probe_of(questions)
    script = shell.wrap(probe.script(TOKEN)).encode()
    ran = subprocess.run([*sh.split(), "-s"], input=script, capture_output=True, user=user, timeout=50, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    return probe.answers(Transcript.parse(ran.stdout.decode(), TOKEN))


def replies(sh: str, *requests: Request, user: int | None = None) -> Replies:
    return ask(sh, Raw(requests), user=user)[Raw(requests)]


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user can go into."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


# --- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"one\ntwo", bytes(range(256)) * 3, "Grüße\n".encode(), b"x" * 300_000]
)
def test_a_file_comes_whole_whatever_it_holds(sh: str, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "it"
    path.write_bytes(content)
    path.chmod(0o640)
    found = ask(sh, File(str(path)))[File(str(path))]
    assert (found.kind, found.content, found.mode) == (Kind.FILE, content, 0o640)
    assert (found.uid, found.gid) == (os.getuid(), os.getgid())


@pytest.mark.parametrize("name", ["with a blank", "quote'\"$HOME`id`", "-n", "ünï", "PROBE", "back\\slash", "#;&|*?"])
def test_names_are_only_names(sh: str, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"here")
    assert ask(sh, File(f"{tmp_path}/{name}"))[File(f"{tmp_path}/{name}")].content == b"here"


def test_every_kind_of_thing_is_told_apart(sh: str, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir(mode=0o2750)
    (tmp_path / "directory").chmod(0o2750)
    (tmp_path / "link").symlink_to("directory")
    (tmp_path / "dangling").symlink_to("/nowhere/at all")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"text")
    names = ("directory", "link", "dangling", "fifo", "absent", "file/below", "absent/below")
    answers = ask(sh, *(File(f"{tmp_path}/{name}") for name in names))
    found = {name: answers[File(f"{tmp_path}/{name}")] for name in names}
    assert {name: each.kind.value for name, each in found.items()} == {
        "directory": "directory",
        "link": "link",
        "dangling": "link",
        "fifo": "special file",
        "absent": "absent",
        "file/below": "absent",
        "absent/below": "absent",
    }
    assert found["directory"].mode == 0o2750
    assert (found["link"].target, found["link"].resolves) == ("directory", True)
    assert (found["dangling"].target, found["dangling"].resolves) == ("/nowhere/at all", False)
    assert all(each.content is None for each in found.values())


def test_looking_does_not_read(sh: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"private")
    fields = replies(sh, look(f"{tmp_path}/secret")).fields(0)
    assert fields["kind"] == b"file"
    assert b"private" not in b"".join(fields.values())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can ask as somebody else")
def test_what_may_not_be_read_is_unknown_and_never_absent(sh: str, public: Path) -> None:
    (public / "file").write_bytes(b"text")
    (public / "file").chmod(0o600)
    (public / "closed").mkdir(mode=0o700)
    file, below = File(f"{public}/file"), File(f"{public}/closed/below")
    answers = ask(sh, file, below, Metadata(file.path), user=NOBODY)
    assert answers[Metadata(file.path)].kind is Kind.FILE
    with pytest.raises(Unknown, match=f"cannot read {file.path}: Permission denied"):
        answers[file]
    with pytest.raises(Unknown, match=f"cannot look at {below.path}: Permission denied"):
        answers[below]


# --- commands ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("/bin/echo", "one", "two  three"), (0, "one two  three\n", "")),
        (("/bin/sh", "-c", "echo out; echo err >&2; exit 3"), (3, "out\n", "err\n")),
        (("/bin/sh", "-c", "exit 255"), (255, "", "")),
        (("/bin/sh", "-c", "kill -TERM $$"), (128 + 15, "", "")),
        (("/bin/sh", "-c", "printf '\\377\\0x'"), (0, "\ufffd\0x", "")),
        (("/bin/sh", "-c", "cat; echo done"), (0, "done\n", "")),  # nothing to read
        (("/no/such/command",), (127, "", "")),
        (("/etc",), (126, "", "")),
        (("/bin/echo", "$HOME", "`id`", "a'b\"c", "*"), (0, "$HOME `id` a'b\"c *\n", "")),
    ],
)
def test_what_came_of_a_command(sh: str, command: tuple[str, ...], expected: tuple[int, str, str]) -> None:
    ran = replies(sh, run(*command)).ran(0)
    assert (ran.status, ran.output, ran.errors) == expected


def test_much_output_on_both_sides(sh: str) -> None:
    program = 'print "x" x 300000; print STDERR "y" x 300000; print "end\\n"'
    ran = replies(sh, run("/usr/bin/perl", "-e", program)).ran(0)
    assert (ran.output, ran.errors) == ("x" * 300_000 + "end\n", "y" * 300_000)


def test_what_takes_too_long_is_unknown_and_ended_with_all_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    stubborn = f"trap '' TERM HUP INT; sleep 300 & echo $! $$ > {pid}; while :; do sleep 300; done"
    began = time.monotonic()
    with pytest.raises(Unknown, match="/bin/sh took longer than 2 seconds and was ended"):
        replies(SHELLS[0], run("/bin/sh", "-c", stubborn, limit=2)).ran(0)
    assert time.monotonic() - began < 10
    for each in pid.read_text().split():
        assert _ends(int(each)), f"process {each} outlived the probe"


def _ends(pid: int) -> bool:
    """Whether a process ends within two seconds (the kernel takes a moment)."""
    until = time.monotonic() + 2
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_command_that_hangs_is_no_other_commands_trouble() -> None:
    hangs = tuple(run("/bin/sleep", f"30{number}", limit=2) for number in range(2))
    quick = tuple(run("/bin/echo", str(number), limit=2) for number in range(3))
    late = tuple(run("/bin/sh", "-c", f"sleep 2.5; echo {number}", limit=9) for number in range(3))
    began = time.monotonic()
    found = replies(SHELLS[0], *hangs, *quick, *late)
    assert time.monotonic() - began < 8, "they did not run side by side"
    assert [found.ran(number).output for number in range(2, 8)] == ["0\n", "1\n", "2\n"] * 2
    for number in range(2):
        with pytest.raises(Unknown, match="took longer"):
            found.ran(number)


def test_a_command_that_closes_its_output_is_limited_as_well() -> None:
    began = time.monotonic()
    with pytest.raises(Unknown, match="took longer"):
        replies(SHELLS[0], run("/bin/sh", "-c", "exec >&- 2>&-; exec sleep 20", limit=1)).ran(0)
    assert time.monotonic() - began < 10


def test_a_child_that_runs_away_does_not_hold_the_probe(tmp_path: Path) -> None:
    """It left its process group with the output in its hands: the answer may be unknown, but there is one."""
    runaway = f"setsid sleep 20 & echo $! > {tmp_path}/pid; echo done"
    began = time.monotonic()
    try:
        assert replies(SHELLS[0], run("/bin/sh", "-c", runaway, limit=1)).ran(0).output == "done\n"
    except Unknown as unknown:
        assert "took longer" in str(unknown)
    finally:
        os.kill(int((tmp_path / "pid").read_text()), 9)
    assert time.monotonic() - began < 10


# --- servers -------------------------------------------------------------------------------------------------------


@contextmanager
def server(says: bytes | None) -> Iterator[int]:
    """A TCP server on 127.0.0.1 that says something and goes, or (None) accepts and is silent; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                held.append(connection)
                if says is not None:
                    with connection:
                        connection.sendall(says)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            for connection in held:
                connection.close()


@pytest.mark.parametrize("says", [b"SSH-2.0-OpenSSH_9.9\r\n", b"\0\xff", b""])
def test_a_server_that_speaks(sh: str, says: bytes) -> None:
    with server(says) as port:
        assert ask(sh, Greeting(port))[Greeting(port)] == says


def test_a_server_that_accepts_and_is_silent_is_not_up() -> None:
    """QEMU accepts before its guest listens."""
    with server(None) as port:
        fields = replies(SHELLS[0], greet(port, limit=1)).fields(0)
    assert (fields["open"], fields["said"]) == (b"1", b"")


def test_a_port_where_nobody_listens(sh: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    fields = replies(sh, greet(port)).fields(0)
    assert (fields["open"], fields["said"]) == (b"0", b"")


# --- what is printed ------------------------------------------------------------------------------------------------


def test_the_probe_begins_a_line_of_its_own() -> None:
    """A profile may print something without a line end."""
    probe = probe_of([File("/etc/hosts")])
    script = f"printf 'Welcome!'\n{probe.script(TOKEN)}"
    printed = subprocess.run(["/bin/sh", "-s"], input=script, capture_output=True, text=True, check=True).stdout
    assert probe.answers(Transcript.parse(printed, TOKEN))[File("/etc/hosts")].kind is Kind.FILE


@pytest.mark.parametrize("status", ["0", "76", "255"])
def test_the_probe_records_the_status_of_what_ran_before(sh: str, status: str) -> None:
    script = shell.wrap(f"( exit {status} )\nstatus=$?\n" + probe_of([]).script(TOKEN, '"$status"'))
    printed = subprocess.run([*sh.split(), "-s"], input=script, capture_output=True, text=True, check=True).stdout
    assert Transcript.parse(printed, TOKEN).fields("script") == {"status": status.encode()}


# --- questions and answers -----------------------------------------------------------------------------------------


def test_equal_questions_are_asked_once() -> None:
    label = "org.builderfleet.linux-builder"
    probe = probe_of([File("/a"), File("/a"), Metadata("/a"), LaunchdJob(label), LaunchdJob("org.nixos.nix-daemon")])
    lines = [line.split("\t", 1)[1] for line in probe.script(TOKEN).splitlines() if line[:1].isdigit() and "\t" in line]
    assert lines == [
        "look\t/a",
        "read\t/a",
        "run\t10\t/bin/launchctl\tprint\tsystem/org.builderfleet.linux-builder",
        "run\t10\t/bin/launchctl\tprint\tsystem/org.nixos.nix-daemon",
        "run\t10\t/bin/launchctl\tprint-disabled\tsystem",
    ]


def test_the_same_questions_make_the_same_script() -> None:
    questions: list[Question[Any]] = [File("/a"), KeyPair("/k"), Greeting(22), Metadata("/b")]
    assert probe_of(questions).script(TOKEN) == probe_of(reversed(questions)).script(TOKEN)


def test_a_probe_that_asks_nothing(sh: str) -> None:
    with pytest.raises(Unknown, match=r"^/etc/hosts: it was not asked"):
        ask(sh)[File("/etc/hosts")]


@pytest.mark.parametrize("word", ["", "a\tb", "a\nb", "a\rb", "a\0b"])
def test_words_that_could_not_travel_are_refused(word: str) -> None:
    with pytest.raises(ValueError, match="words are not empty and hold no tab"):
        read(word)


def test_unknown_is_never_a_default() -> None:
    """Whoever needs an answer that is not there gets an exception, every time, and the question's name."""
    answers = Answers.given({File("/a"): "given"})
    assert answers[File("/a")] == "given"  # type: ignore[comparison-overlap]
    for _ in range(2):
        with pytest.raises(Unknown, match=r"^/b: it was not asked"):
            answers[File("/b")]


def test_supposing_changes_only_what_is_given() -> None:
    answers = Answers.given({File("/a"): 1, File("/b"): 2})
    supposed = answers.supposing({File("/a"): 3})
    assert (supposed[File("/a")], supposed[File("/b")], answers[File("/a")]) == (3, 2, 1)  # type: ignore[comparison-overlap]


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": b"furniture"},
        {"kind": b"file"},
        {"kind": b"file", "mode": b"9x", "uid": b"0", "gid": b"0"},
        {"mode": b"644"},
        {"unknown": b"cannot read /a: Input/output error"},
        {},
    ],
)
def test_a_reply_that_makes_no_sense_is_unknown(fields: Mapping[str, bytes]) -> None:
    with pytest.raises(Unknown):
        File("/a").answer(Replies((fields,)))


# --- a full disk ---------------------------------------------------------------------------------------------------

FULL = """mount -t tmpfs -o size=4k full /tmp && ! head -c 9000 /dev/zero 2>/dev/null >/tmp/filler
exec zsh --emulate sh -s
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a full disk")
def test_a_mac_whose_disk_is_full_answers() -> None:
    """zsh writes here-documents to a file as macOS's sh, bash 3.2, does, and Debian's bash does not."""
    if shutil.which("zsh") is None:
        pytest.skip("there is no zsh here")

    def on_a_full_disk(script: str) -> subprocess.CompletedProcess[str]:
        command = ["unshare", "--mount", "sh", "-c", FULL]
        return subprocess.run(command, input=script, capture_output=True, text=True, timeout=50, check=False)

    here = on_a_full_disk(shell.wrap("cat <<'X'\nsaid\nX\n"))
    assert "no space left" in here.stderr
    probe = probe_of([File("/etc/passwd")])
    ran = on_a_full_disk(shell.wrap(probe.script(TOKEN)))
    assert (ran.returncode, ran.stderr) == (0, "")
    answers = probe.answers(Transcript.parse(ran.stdout, TOKEN))
    assert answers[File("/etc/passwd")].kind is Kind.FILE


def test_a_file_too_long_to_be_read_is_said_to_be_so(sh: str, tmp_path: Path) -> None:
    path = tmp_path / "machines"
    with path.open("wb") as file:
        file.truncate(MOST_READ + 1)
    found = ask(sh, File(str(path)))
    with pytest.raises(Unknown, match=rf"^{path}: it has {MOST_READ + 1} bytes, and of nothing so long .*shorten it"):
        found[File(str(path))]


def test_a_long_file_over_a_slow_connection_makes_no_command_late(tmp_path: Path) -> None:
    """It takes its time to be printed; that is none of a command's."""
    path = tmp_path / "machines"
    path.write_bytes(b"x" * 2**20)
    question = Raw((read(str(path)), run("/bin/echo", "done", limit=1)))
    probe = probe_of([question])
    script = shell.wrap(probe.script(TOKEN)).encode()
    process = subprocess.Popen(["sh", "-s"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin and process.stdout
    process.stdin.write(script)
    process.stdin.close()
    time.sleep(1.6)  # nobody reads what it prints meanwhile
    text = process.stdout.read().decode()
    process.wait()
    assert probe.answers(Transcript.parse(text, TOKEN))[question].ran(1).output == "done\n"
