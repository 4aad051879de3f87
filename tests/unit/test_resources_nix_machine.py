# SPDX-License-Identifier: GPL-3.0-or-later
"""NixMachine: one line among others, every byte of which is somebody's; and an inline setting that hides it."""

from __future__ import annotations

import pytest
from builderfleet.plugin_utils.formats import machines
from builderfleet.plugin_utils.ledger import LEDGER
from builderfleet.plugin_utils.questions.file import NOTHING, Found, Pointed
from builderfleet.plugin_utils.questions.mac import Mac
from builderfleet.plugin_utils.questions.nix import (
    Configuration,
    NixBuildHook,
    NixConfiguration,
    NixSources,
    NixVersion,
    Source,
)
from builderfleet.plugin_utils.resource import Change
from builderfleet.plugin_utils.resources.nix_machine import MACHINES, NixMachine
from builderfleet.plugin_utils.resources.nix_setting import CUSTOM_CONF, NIX_CONF

from tests.unit.answers import (
    FIFO,
    INTEL,
    Case,
    Person,
    World,
    carried,
    directory,
    file,
    ledger_of,
    link,
    nix,
    remembered,
)
from tests.unit.real_files import RealFiles
from tests.unit.sandbox import Sandbox

URI = "ssh-ng://builder@builderfleet"
WANTED = NixMachine(
    uri=URI,
    ssh_key="/etc/nix/builderfleet_ed25519",
    max_jobs=4,
    supported_features=("benchmark", "big-parallel"),
    host_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJBWcxb/Blaqt1auOtE+F8QUWrUotiC5qBJ+UuEWdVCb root@nixos",
)
UNWANTED = NixMachine(uri=URI, present=False)
OTHERS = "# the farm\nssh://farm x86_64-linux /k 8 2 kvm - -\n"
OURS = (
    f"{URI} aarch64-linux /etc/nix/builderfleet_ed25519 4 1 benchmark,big-parallel - "
    + machines.encoded_host_key(WANTED.host_key)
    + "\n"
)

CONF, CUSTOM, ROOTS = NIX_CONF.path, CUSTOM_CONF.path, "/var/root/.config/nix/nix.conf"
OLD, NEW, LIX = "nix (Nix) 2.8.0", "nix (Nix) 2.34.8", "nix (Lix, like Nix) 2.95.3"

REGISTER = f"register {URI} in /etc/nix/machines"
UNREGISTER = f"take {URI} out of /etc/nix/machines"
SHOW = "set builders in /etc/nix/nix.conf"
HIDE = "put builders in /etc/nix/nix.conf back as it was"
INCLUDE = "@/etc/nix/machines"


def world(found: Found, configuration: Configuration | None = None, conf: str = "") -> World:
    return {MACHINES: found, NIX_CONF: file(conf), NixConfiguration(): configuration or nix(builders=INCLUDE)}


def edited(now: Found, before: str | None = OTHERS, uri: str = URI) -> World:
    """A Mac on which the machine was registered."""
    return world(now) | {
        LEDGER: ledger_of(remembered(MACHINES.path, before, (before or "") + OURS, former={uri: None}))
    }


def shown(now: str) -> World:
    """A Mac whose inline builders were made to show the machines file."""
    entry = remembered(NIX_CONF.path, "builders = ssh://x\n", now, former={"builders": " ssh://x"})
    return world(NOTHING, nix(builders=f"ssh://x;{INCLUDE}"), now) | {LEDGER: ledger_of(entry)}


TOML = '[machines.x]\nuri = "ssh://x"\nsupported-features = ["kvm", "benchmark"]\n'
TOML_OURS = f'{TOML}[machines.ours]\nuri = "{URI}"\n'


def with_nix(version: str, found: Found, hook: str = "") -> World:
    """A Mac whose Nix has that version, and whose build hook says this of the machines."""
    return world(found) | {NixVersion(): version, NixBuildHook(): hook}


def sources(*lines: Source, builders: str = "", ours: str = "") -> World:
    """A Mac whose builders are set by these lines; where `ours` is, the ledger says that it is builderfleet's."""
    book = {LEDGER: ledger_of(remembered(ours, "", "x", former={"builders": None}))} if ours else {}
    return world(file(OURS), nix(builders=builders)) | {NixSources(): lines} | book


THEIRS = Source(CONF, 3, "builders")
COPY = Source(CUSTOM, 1, "builders", Source.ALL)
COPIED = "ssh://old x86_64-linux;@/etc/nix/machines"

CASES = [
    Case("fresh", WANTED, world(NOTHING), (REGISTER,)),
    Case("no Nix yet", WANTED, expected=(REGISTER,)),
    Case("others only", WANTED, world(file(OTHERS)), (REGISTER,)),
    Case("converged", WANTED, world(file(OTHERS + OURS))),
    Case("converged in other words", WANTED, world(file(f"  {OURS.strip()}   # mine\n"))),
    Case("other jobs", WANTED, world(file(OURS.replace(" 4 1 ", " 2 1 "))), (REGISTER,)),
    Case("other key", WANTED, world(file(OURS.replace("/etc/nix/b", "/root/b"))), (REGISTER,)),
    Case("there twice", WANTED, world(file(OURS + OTHERS + OURS)), (REGISTER,)),
    Case("commented out", WANTED, world(file(f"#{OURS}")), (REGISTER,)),
    Case("not readable for all", WANTED, world(file(OURS, 0o600)), ("let everybody read /etc/nix/machines",)),
    Case("somebodys file", WANTED, world(file(OURS, uid=501, gid=20))),
    Case("Intel", WANTED, world(file(OURS)) | {Mac(): INTEL}, (REGISTER,)),
    Case("binary foreign lines", WANTED, world(file(b"\xff\xfe # \0\n" + OURS.encode()))),
    Case(
        "inline builders",
        WANTED,
        sources(THEIRS, builders="ssh://x"),
        (
            Person(
                "nix.conf, line 3, sets builders, which hides /etc/nix/machines", "Put `;@/etc/nix/machines` at the end"
            ),
        ),
    ),
    Case(
        "inline builders of root",
        WANTED,
        sources(Source(ROOTS, 1, "builders"), builders="ssh://x"),
        (Person(f"{ROOTS}, line 1, sets builders", "Put `;@/etc/nix/machines` at the end"),),
    ),
    Case(
        "root hides all builders",
        WANTED,
        sources(Source(CONF, 2, Source.END), Source(ROOTS, 1, "builders", Source.EMPTY)),
        (Person(f"{ROOTS}, line 1, which Nix reads after that, sets builders again", "builders = @/etc/nix/machines"),),
    ),
    Case(
        "no builders at all",
        WANTED,
        world(file(OURS), nix(builders=""), "builders =\n")
        | {NixSources(): (Source(CONF, 1, "builders", Source.EMPTY),)},
        (SHOW,),
    ),
    *(
        Case(
            f"the environment sets builders to {value!r}",
            WANTED,
            world(file(OURS), nix(builders=value)),
            (Person("the environment of Nix's daemon .NIX_CONFIG", "EnvironmentVariables in the daemon's plist"),),
        )
        for value in ("", "ssh://x", "@/other")
    ),
    Case("inline with the file", WANTED, world(file(OURS), nix(builders=f"ssh://x;{INCLUDE}"))),
    Case(
        "inline with the file behind a blank, which this Nix drops",
        WANTED,
        sources(THEIRS, builders=f"ssh://x ; {INCLUDE}") | {NixVersion(): OLD},
        (Person("sets builders, which hides", "without a blank"),),
    ),
    Case(
        "inline with the file behind a blank",
        WANTED,
        sources(THEIRS, builders=f"ssh://x ; {INCLUDE}") | {NixVersion(): NEW},
    ),
    Case(
        "a copy of ours does not follow its owner",
        WANTED,
        sources(THEIRS, COPY, builders=COPIED, ours=CUSTOM),
        (
            Person(
                "nix.conf, line 3, sets builders, but has no effect.*nix.custom.conf, line 1",
                "builderfleet's line goes",
            ),
        ),
    ),
    Case(
        "a copy of ours that has become superfluous",
        WANTED,
        sources(Source(CONF, 3, "builders", Source.ALL), COPY, builders=COPIED, ours=CUSTOM),
        ("put builders in /etc/nix/nix.custom.conf back as it was",),
    ),
    Case(
        "ours shows what an empty line hides",
        WANTED,
        sources(Source(CONF, 3, "builders", Source.EMPTY), COPY, builders=INCLUDE, ours=CUSTOM),
    ),
    Case(
        "both",
        WANTED,
        sources(THEIRS, builders="ssh://x") | {MACHINES: NOTHING},
        (REGISTER, Person("sets builders", "Put")),
    ),
    Case(
        "nix-darwins link",
        WANTED,
        world(link("/etc/static/nix/machines")),
        (
            Person(
                "is a link .to /etc/static.*another tool", "write this line.*distributedBuilds = true.*buildMachines"
            ),
        ),
    ),
    Case(
        "a link to what is wanted",
        WANTED,
        world(link("machines.real")) | {Pointed(MACHINES.path): (OTHERS + OURS).encode()},
    ),
    Case("a directory", WANTED, world(directory()), (Person("should be a file, but is a directory", "."),)),
    Case("a fifo", WANTED, world(FIFO), (Person("should be a file, but is a special file", "."),)),
    Case("TOML", WANTED, with_nix(LIX, file(TOML)), (Person("TOML, which Lix reads from 2.95 on", "Add.*by hand"),)),
    Case("TOML with it", WANTED, with_nix(LIX, file(TOML_OURS))),
    Case(
        "TOML with it, switched off",
        WANTED,
        with_nix(LIX, file(f"{TOML_OURS}enable = false\n")),
        (Person("TOML", "Add"),),
    ),
    Case(
        "TOML for another Nix",
        WANTED,
        with_nix(NEW, file(TOML_OURS)),
        (Person("2.34.8. does not read", "one machine"),),
    ),
    Case(
        "a blank line",
        WANTED,
        with_nix(OLD, file(f"{OURS}   \n"), "error: bad machine specification: store URL was not found … a row: '   '"),
        (Person("machines, line 2: nothing but blanks", "."),),
    ),
    Case("a blank line for Lix", WANTED, with_nix(LIX, file(f"{OURS}   \n")), (Person("machines, line 2", "."),)),
    Case("a blank line that this Nix does not mind", WANTED, with_nix(NEW, file(f"{OURS}   \n"))),
    Case(
        "a key in the wrong field",
        WANTED,
        with_nix(
            NEW, file(f"{OURS}ssh-ng://a aarch64-linux ssh-ed25519 AAAAC3Nz me 1 1 kvm\n"), "error: bad machine …"
        ),
        (
            Person(
                "machines, line 2: the fourth field, how many jobs it takes, is no whole number", "not builderfleet's"
            ),
        ),
    ),
    Case(
        "a store that this Nix does not take",
        WANTED,
        with_nix(NEW, file(f"{OURS}ssh://a:b x86_64-linux\n"), "error: Cannot parse Nix store 'ssh://a:b'"),
        (
            Person(
                r"machines, line 2: nix .Nix. 2.34.8 does not read it .Cannot parse Nix store …\)", "not builderfleet's"
            ),
        ),
    ),
    Case(
        "what this Nix does not take is in another file",
        WANTED,
        with_nix(NEW, file(f"{OURS}@/etc/more\n"), "error: Cannot parse Nix store 'ssh://SECRET:b'"),
        (
            Person(
                r"does not read which builders there are .Cannot parse Nix store …\)",
                "named there with @, or in `builders`",
            ),
        ),
    ),
    Case(
        "our own line is what this Nix does not take",
        WANTED,
        with_nix(NEW, file(OURS.replace(" 4 ", " many ")), "error: bad machine specification: … a row: 'ssh-ng …'"),
        (REGISTER,),
    ),
    Case(
        "a configuration that is not read",
        WANTED,
        with_nix(NEW, file(OURS), "error: syntax error in configuration line 'x'")
        | {NixConfiguration(): nix("error: syntax error", builders=INCLUDE)},
    ),
    Case("a builder that is switched off", WANTED, with_nix(NEW, file(f"{OURS}ssh://old x86_64-linux - 0\n"))),
    Case(
        "a byte order mark",
        WANTED,
        with_nix(NEW, file(f"\ufeff# mine\n{OURS}"), "error: Cannot parse Nix store 'ssh://\ufeff'"),
        (Person("machines, line 1: .*byte order mark", "."),),
    ),
    Case("a byte order mark for an old Nix", WANTED, with_nix(OLD, file(f"\ufeff# mine\n{OURS}"))),
    Case("nothing to take out", UNWANTED, world(NOTHING)),
    Case("others stay", UNWANTED, world(file(OTHERS))),
    Case("taken out", UNWANTED, edited(file(OTHERS + OURS)), (UNREGISTER,)),
    Case("taken out, there was no file", UNWANTED, edited(file(OURS), None), (UNREGISTER,)),
    Case("taken out without a ledger", UNWANTED, world(file(OTHERS + OURS)), (UNREGISTER,)),
    Case("others edited it since", UNWANTED, edited(file(OTHERS + OURS + "ssh://new\n")), (UNREGISTER,)),
    Case("somebody took it out", UNWANTED, edited(file(OTHERS)), (UNREGISTER,)),
    Case("somebody removed the file", UNWANTED, edited(NOTHING), (UNREGISTER,)),
    Case("its entry is of another machine", UNWANTED, edited(file(OTHERS), uri="ssh://builder@another")),
    Case("it is a link since", UNWANTED, edited(link("/x")), (Person("is a link", "take .* out"),)),
    Case("nix-darwins link is not ours", UNWANTED, world(link("/etc/static/nix/machines"))),
    Case("TOML is not ours", UNWANTED, with_nix(LIX, file(TOML))),
    Case("inline put back", UNWANTED, shown(f"builders = ssh://x;{INCLUDE}\n"), (HIDE,)),
    Case("inline that is not ours", UNWANTED, world(NOTHING, nix(builders=f"ssh://x;{INCLUDE}"))),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_it_says(case: Case) -> None:
    case.check()


def only(name: str) -> Change:
    (change,) = next(case for case in CASES if case.name == name).changes()
    return change


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("fresh", OURS.rstrip("\n") + "\n"),
        ("others only", OTHERS + OURS),
        ("there twice", OURS + OTHERS),
        ("other jobs", OURS),
        ("Intel", OURS.replace("aarch64-linux", "x86_64-linux")),
        ("taken out without a ledger", OTHERS),
        ("others edited it since", OTHERS + "ssh://new\n"),
    ],
)
def test_what_it_writes(name: str, content: str) -> None:
    assert carried(only(name).script)[MACHINES.path].decode().rstrip("\n") == content.rstrip("\n")


def test_a_file_that_was_not_there_goes_again() -> None:
    assert f"discard {MACHINES.path} " in only("taken out, there was no file").script


def test_a_file_that_nobody_could_read_becomes_readable_and_keeps_its_owner() -> None:
    case = Case("", WANTED, world(file(OTHERS, 0o600, uid=501, gid=20)))
    (change,) = case.changes()
    assert f"stage {MACHINES.path} {case.world[MACHINES].seen} 0644 501 20" in change.script


@pytest.mark.parametrize("original", [None, b"", OTHERS.encode(), b"ssh://farm \xff no end"])
@pytest.mark.parametrize("second_first", [False, True])
def test_two_machines_are_taken_back_one_by_one(
    dash_sandbox: Sandbox, original: bytes | None, second_first: bool
) -> None:
    mac = RealFiles(dash_sandbox, {NixConfiguration(): nix(builders=INCLUDE)})
    for folder in ("/var/lib", "/etc/nix"):
        (dash_sandbox / folder).mkdir()
    if original is not None:
        (dash_sandbox / MACHINES.path).write_bytes(original)
    uris = (URI, "ssh-ng://builder@second")
    for uri in uris:
        assert mac.converge(NixMachine(uri=uri)) == [f"register {uri} in {MACHINES.path}"]
    gone, stays = reversed(uris) if second_first else uris
    before = mac.content(MACHINES.path) or b""

    assert mac.converge(NixMachine(uri=gone, present=False)) == [f"take {gone} out of {MACHINES.path}"]
    assert mac.content(MACHINES.path) == machines.without_machine(before, gone)
    assert mac.converge(NixMachine(uri=stays)) == []
    assert mac.book().files[MACHINES.path].former == {stays: None}

    assert mac.converge(NixMachine(uri=stays, present=False)) == [f"take {stays} out of {MACHINES.path}"]
    assert (mac.content(MACHINES.path), mac.forgot(MACHINES.path)) == (original, True)
