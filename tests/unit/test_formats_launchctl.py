# SPDX-License-Identifier: GPL-3.0-or-later
"""launchctl's texts: the traps of macos_commands §2.2, and a reader that gets back what a writer was given."""

from __future__ import annotations

import pytest
from builderfleet.plugin_utils.formats import launchctl
from builderfleet.plugin_utils.formats.launchctl import Job, LaunchctlError
from hypothesis import given
from hypothesis import strategies as st

LABEL = "org.builderfleet.linux-builder"
PRINTED = """\
system/org.builderfleet.linux-builder = {
	active count = 1
	path = /Library/LaunchDaemons/org.builderfleet.linux-builder.plist
	type = LaunchDaemon
	state = running

	program = /bin/sh
	arguments = {
		/bin/sh
		-c
		wait4path /nix/store
	state = not running
	pid = 1
}
exec run
	}

	default environment = {
		PATH => /usr/bin:/bin
	}

	environment = {
		KEYS => /var/lib/builderfleet/keys
		EMPTY =>\x20
		OPTIONS => a => b
	}

	domain = system
	runs = 3
	pid = 383
	checked allocations = 0 (queried = 1)
	last exit code = 78: EX_CONFIG

	resource coalition = {
		ID = 397
		state = active
		pid = 999
		runs = 999
	}

	spawn type = daemon (3)
}
"""


def test_a_running_job_with_the_traps() -> None:
    assert launchctl.parse_print(PRINTED) == Job(
        label=LABEL,
        path=f"/Library/LaunchDaemons/{LABEL}.plist",
        state="running",
        pid=383,
        runs=3,
        last_exit_code=78,
        program="/bin/sh",
        arguments=("/bin/sh", "-c", "wait4path /nix/store\n\tstate = not running\n\tpid = 1\n}\nexec run"),
        environment={"KEYS": "/var/lib/builderfleet/keys", "EMPTY": "", "OPTIONS": "a => b"},
    )


@pytest.mark.parametrize(
    ("line", "code", "signal"),
    [
        ("last exit code = (never exited)", None, None),
        ("last exit code = 0", 0, None),
        ("last exit code = 1", 1, None),
        ("last exit code = 78: EX_CONFIG", 78, None),
        ("last terminating signal = Killed: 9", None, "Killed: 9"),
    ],
)
def test_how_it_ended(line: str, code: int | None, signal: str | None) -> None:
    job = launchctl.parse_print(f"system/a = {{\n\tstate = not running\n\t{line}\n}}\n")
    assert (job.last_exit_code, job.last_signal, job.pid, job.runs) == (code, signal, None, None)


def test_only_lines_with_one_tab_are_the_jobs_own() -> None:
    job = launchctl.parse_print("system/a = {\n\tstate = exited\n\t\tpid = 7\nruns = 7\n}\n")
    assert (job.pid, job.runs) == (None, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Bad request.\n",
        PRINTED[: PRINTED.index("\tdomain")],
        PRINTED[: PRINTED.index("	default")].rsplit("\t}", 1)[0] + "}\n",
        "system/a = {\n\truns = 1\n}\n",
        "system/a = {\n\tstate = running\n\tpid = many\n}\n",
        "system/a = {\n\tstate = running\n\tlast exit code = odd\n}\n",
    ],
)
def test_a_text_that_is_not_whole_is_refused(text: str) -> None:
    with pytest.raises(LaunchctlError, match=r"wanted .* saw "):
        launchctl.parse_print(text)


PLAIN = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1)
ARGUMENT = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n\t{}"), min_size=1)
JOBS = st.builds(
    Job,
    label=st.just(LABEL),
    path=st.none() | PLAIN.filter(lambda text: text != "{"),
    state=st.sampled_from(["running", "not running", "spawn scheduled", "SIGTERMed", "languishing", "exited"]),
    pid=st.none() | st.integers(1, 99999),
    runs=st.none() | st.integers(0, 99),
    last_exit_code=st.none() | st.integers(0, 255),
    program=st.none() | PLAIN.filter(lambda text: text != "{"),
    arguments=st.lists(ARGUMENT.filter(lambda text: "\n\t\t" not in text and "\n\t}" not in text)).map(tuple),
    environment=st.dictionaries(PLAIN.filter(lambda name: " => " not in name + " "), PLAIN),
)


def printed(job: Job) -> str:
    lines = [f"system/{job.label} = {{", f"\tstate = {job.state}"]
    lines += [f"\tpath = {job.path}"] if job.path is not None else []
    lines += [f"\tprogram = {job.program}"] if job.program is not None else []
    lines += ["\targuments = {", *(f"\t\t{argument}" for argument in job.arguments), "\t}", ""]
    lines += ["\tenvironment = {", *(f"\t\t{name} => {value}" for name, value in job.environment.items()), "\t}", ""]
    lines += [f"\tpid = {job.pid}"] if job.pid is not None else []
    lines += [f"\truns = {job.runs}"] if job.runs is not None else []
    code = "(never exited)" if job.last_exit_code is None else job.last_exit_code
    return "\n".join([*lines, f"\tlast exit code = {code}", "\tcoalition = {", "\t\tstate = active", "\t}", "}", ""])


@given(JOBS)
def test_what_launchctl_would_print_is_read_back(job: Job) -> None:
    assert launchctl.parse_print(printed(job)) == job


@given(JOBS, st.data())
def test_a_text_that_was_cut_off_is_refused(job: Job, data: st.DataObject) -> None:
    text = printed(job)
    cut = text[: data.draw(st.integers(0, len(text) - 3))]
    if cut.rstrip().endswith("\n}"):
        return  # an argument's own line of a single brace; the transcript's end mark is what guards against that
    with pytest.raises(LaunchctlError):
        launchctl.parse_print(cut)


NEW = """\
	disabled services = {
		"a.b" => disabled
		"c" => enabled
	}
	login item associations = {
		"x" => "y"
	}
"""
OLD = 'disabled services = {\n\t"a.b" => true\n\t"c" => false\n}\n'


@pytest.mark.parametrize("text", [NEW, OLD])
def test_both_dialects_of_print_disabled(text: str) -> None:
    assert launchctl.parse_disabled(text) == {"a.b": True, "c": False}


@pytest.mark.parametrize("text", ["\tdisabled services = {\n\t}\n", "\n\tdisabled services = (no disabled services)\n"])
def test_nothing_overridden(text: str) -> None:
    assert launchctl.parse_disabled(text) == {}


@pytest.mark.parametrize("state", ["SIGTERMed", "SIGKILLed"])
def test_a_job_that_was_booted_out_is_leaving(state: str) -> None:
    assert Job(label="x", path=None, state=state).is_leaving
    assert not Job(label="x", path=None, state="running").is_leaving


@pytest.mark.parametrize(
    "text", ["", NEW[: NEW.index("\n\t}")], OLD.replace("true", "maybe"), OLD.replace('"a.b"', "a.b")]
)
def test_an_unknown_dialect_is_refused(text: str) -> None:
    with pytest.raises(LaunchctlError, match=r"wanted .* saw "):
        launchctl.parse_disabled(text)
