# SPDX-License-Identifier: GPL-3.0-or-later
"""That the benchmarks start, measure what they say, and print their ratios: with the smallest numbers."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmarks import ansible_role, fleet, probe, replayer, round_trips
from benchmarks.delay import DelayingProxy
from benchmarks.macs import BenchmarkError, ConvergedMac
from benchmarks.recording import Recording, record, token_of
from tests.simulated_mac import SimulatedMac

from .harness import REPOSITORY, Pyinfra


@pytest.fixture(scope="module")
def measured(converged: SimulatedMac, pyinfra: Pyinfra) -> ConvergedMac:
    return ConvergedMac(converged, pyinfra)


@pytest.fixture(scope="module")
def recording(measured: ConvergedMac) -> Recording:
    return record(measured)


def _lines(output: str, first: str) -> list[list[str]]:
    return [re.split(r"  +", line) for line in output.splitlines() if line.startswith(first)]


@pytest.mark.parametrize("name", ["ansible_role", "fleet", "probe", "round_trips"])
def test_each_says_what_it_is(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--help"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0 and f"benchmarks.{name}" in done.stdout and "--runs" in done.stdout


def test_fleet(recording: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = replayer.requirements()
    if missing:
        pytest.skip("; ".join(missing))
    recording.save(tmp_path / "recording.json")
    code = fleet.main(["--hosts", "1,3", "--runs", "1", "--recording", str(tmp_path / "recording.json")])
    output = capsys.readouterr().out
    assert code == 0, output
    rows = [line.split() for line in output.splitlines() if re.match(r"[13] +1 ", line)]
    assert [row[0] for row in rows] == ["1", "3"]
    assert all(0.1 < float(row[6]) < 20 for row in rows), output
    assert "Each host more, from 1 to 3: builderfleet" in output


def test_ansible_role(recording: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = replayer.requirements(sudo=True)
    if missing:
        pytest.skip("; ".join(missing))
    recording.save(tmp_path / "recording.json")
    code = ansible_role.main(["--hosts", "1,2", "--runs", "1", "--recording", str(tmp_path / "recording.json")])
    output = capsys.readouterr().out
    assert code == 0, output
    rows = [line.split() for line in output.splitlines() if re.match(r"[12] +cold +1 ", line)]
    assert [row[0] for row in rows] == ["1", "2"] * 4, output  # wall clock, without the hosts, CPU here and there
    assert all(1 < float(row[7]) < 1000 for row in rows[:2]), output
    assert "role, by host: tasks 2; commands 1; new connections 1 " in output
    assert re.search(
        r"^ordinary modules, by host: tasks 18; commands \d\d; new connections 1 ", output, re.MULTILINE
    ), output
    assert output.count("a ratio of at least 20. Measured: ") == 2


def test_ansible_role_refuses_runs_that_fit_no_hosts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        ansible_role.main(["--hosts", "1,2,3", "--runs", "5,3"])
    assert "wanted one number, or 3 as in --hosts, saw 2" in capsys.readouterr().err


def test_fleet_leaves_nothing_behind(recording: Recording) -> None:
    missing = replayer.requirements()
    if missing:
        pytest.skip("; ".join(missing))
    with replayer.Replayer(recording) as hosts:
        leader, directory = hosts.leader, hosts.directory
        assert Path(f"/proc/{leader}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{leader}/ns/net").exists():
        assert time.monotonic() < deadline, f"sshd {leader} still lives"
        time.sleep(0.01)
    assert not directory.exists()


def test_a_recording_of_a_mac_that_is_not_converged_is_refused(recording: Recording) -> None:
    drifted = Recording({**recording.variables, "linux_builder_cores": 2}, recording.records)
    with pytest.raises(BenchmarkError, match=r"would change.*start script"):
        drifted.check()


def test_a_recording_of_another_probe_is_refused(recording: Recording) -> None:
    older = Recording(recording.variables, recording.records[: len(recording.records) // 2])
    with pytest.raises(BenchmarkError, match="recording"):
        older.check()


def test_a_script_without_a_token_is_no_probe() -> None:
    with pytest.raises(BenchmarkError, match="wanted one token"):
        token_of("echo hello\n")


def test_probe(measured: ConvergedMac, capsys: pytest.CaptureFixture[str]) -> None:
    probe.show(measured, 1)
    output = capsys.readouterr().out
    assert [float(row[3]) > 1 for row in _lines(output, "a probe without a question")] == [True], output
    (row,) = _lines(output, "a probe without a question")
    assert row[6] == "4", output  # a shell, its two for the pipe, and a perl
    assert re.search(r"\bperl [1-9]", output) or "strace is missing" in output


def test_probe_counts_what_strace_saw() -> None:
    traced = probe.read_trace(
        '10 execve("/usr/bin/nsenter", ["nsenter"], 0x1) = 0\n10 clone(child_stack=NULL, flags=SIGCHLD) = 11\n'
        '11 execve("/bin/sh", ["sh"], 0x1) = 0\n11 vfork( <unfinished ...>\n'
        '12 execve("/usr/bin/id", ["id"], 0x1 <unfinished ...>\n'
        "11 <... vfork resumed>) = 12\n12 <... execve resumed>) = 0\n"
        '13 execve("/none", ["none"], 0x1) = -1 ENOENT (No such file or directory)\n'
        "12 clone(child_stack=0x1, flags=CLONE_VM|CLONE_THREAD) = 14\n"
    )
    assert traced == probe.Traced(1, {"/bin/sh": 1, "/usr/bin/id": 1})


def test_round_trips(measured: ConvergedMac, capsys: pytest.CaptureFixture[str]) -> None:
    round_trips.show(measured, 0.05, 1)
    output = capsys.readouterr().out
    rows = {line[0]: line[1:] for first in round_trips.KINDS for line in _lines(output, first) if len(line) > 4}
    assert rows["converged"][1:3] == ["1", "1"], output
    assert rows["one echo fact"][1:3] == ["1", "1"], output
    assert rows["drifted (2 changes)"][1] == "1" and int(rows["drifted (2 changes)"][2]) >= 3, output
    assert 4 <= int(rows["converged"][3]) <= 12, output


def test_the_delay_is_one_of_distance() -> None:
    """An answer comes a round trip later than it was asked for, the first one two; and turns are counted."""

    server = socket.create_server(("127.0.0.1", 0))

    def echo() -> None:
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(100):
                connection.sendall(data)

    thread = threading.Thread(target=echo, daemon=True)
    thread.start()
    with (
        DelayingProxy(server.getsockname(), 0.2) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), 10) as client,
    ):
        times = []
        for _ in range(3):
            began = time.monotonic()
            client.sendall(b"x")
            assert client.recv(100) == b"x"
            times.append(time.monotonic() - began)
        assert times[0] >= 0.4 and all(0.2 <= each < 0.4 for each in times[1:]), times
        assert proxy.turns == 2
    server.close()
