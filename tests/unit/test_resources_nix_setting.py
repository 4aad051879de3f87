# SPDX-License-Identifier: GPL-3.0-or-later
"""NixSetting: set where it belongs, tried before it is installed, and the daemon restarted only when it has to be."""

from __future__ import annotations

import pytest
from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.ledger import BACKUPS, LEDGER, PARENT
from builderfleet.plugin_utils.questions.file import NOTHING, Found
from builderfleet.plugin_utils.questions.nix import NIX, Configuration, NixConfiguration, NixSources, Source
from builderfleet.plugin_utils.resource import Change
from builderfleet.plugin_utils.resources.nix_setting import CUSTOM_CONF, NIX_CONF, RESTART_DUE, SEEN, NixSetting

from tests.unit.answers import (
    THERE,
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
from tests.unit.sandbox import Sandbox

NAME = "builders-use-substitutes"
WANTED, UNWANTED = NixSetting(setting=NAME, value="true"), NixSetting(setting=NAME, value="true", present=False)
CONF, CUSTOM = NIX_CONF.path, CUSTOM_CONF.path
SET, SET_CUSTOM = f"set {NAME} in {CONF}", f"set {NAME} in {CUSTOM}"
BACK, BACK_CUSTOM = f"put {NAME} in {CONF} back as it was", f"put {NAME} in {CUSTOM} back as it was"
RESTART = "restart the Nix daemon, which has not read its configuration since it changed"
LINE = f"{NAME} = true\n"
STOCK = "build-users-group = nixbld\n"
INCLUDES = f"{STOCK}!include nix.custom.conf\n"
OFF, ON = nix(builders_use_substitutes="false"), nix(builders_use_substitutes="true")


def world(
    conf: str | Found, custom: str | Found = NOTHING, configuration: Configuration = OFF, *, due: bool = False
) -> World:
    as_found = [file(each) if isinstance(each, str) else each for each in (conf, custom)]
    return {
        NIX_CONF: as_found[0],
        CUSTOM_CONF: as_found[1],
        NixConfiguration(): configuration,
        RESTART_DUE: THERE if due else NOTHING,
    }


def edited(now: str | Found, before: str | None = STOCK, former: str | None = None) -> World:
    """A Mac on which it was set in nix.conf."""
    entry = remembered(CONF, before, (before or "") + LINE, former={NAME: former})
    return world(now, configuration=ON) | {LEDGER: ledger_of(entry)}


CASES = [
    Case("no Nix yet", WANTED, expected=(SET_CUSTOM,)),
    Case("no nix.conf", WANTED, world(NOTHING), (SET,)),
    Case("set in nix.conf", WANTED, world(STOCK), (SET,)),
    Case("set in what it includes", WANTED, world(INCLUDES), (SET_CUSTOM,)),
    Case("included by its whole path", WANTED, world(f"include {CUSTOM}\n", ""), (SET_CUSTOM,)),
    Case("in effect", WANTED, world(STOCK + LINE, configuration=ON)),
    Case("in effect by another file", WANTED, world(STOCK, configuration=ON)),
    Case("other value", WANTED, world(f"{NAME} = false # mine\n"), (SET,)),
    Case("restart is due", WANTED, world(STOCK + LINE, configuration=ON, due=True), (RESTART,)),
    Case("restart comes with the change", WANTED, world(STOCK, due=True), (SET,)),
    Case("written wrongly by somebody, ours", WANTED, world(f"{NAME}=true\n", configuration=nix("error")), (SET,)),
    Case(
        "a foreign line that Nix does not read",
        WANTED,
        world("cores 4\n", configuration=nix("syntax error")),
        (Person(r"nix.conf, line 1, `cores …`.*no nix command works", "not builderfleet's.*correct it"),),
    ),
    Case(
        "a foreign line in what is included",
        WANTED,
        world(INCLUDES, "\n\ncores=4\n", nix("syntax error")),
        (Person(r"nix.custom.conf, line 3, `cores …`", "correct it"),),
    ),
    Case("a bad file that Nix does not read", WANTED, world(STOCK, "cores=4\n"), (SET,)),
    Case(
        "overridden, nobody knows by what",
        WANTED,
        world(INCLUDES, LINE),
        (Person(f"sets {NAME} as it is wanted, but another value is in effect", "environment of its daemon"),),
    ),
    Case(
        "overridden after the include, before anything is written",
        WANTED,
        world(f"{INCLUDES}{NAME} = false\n")
        | {
            NixSources(): (Source(CONF, 2, Source.OPTIONAL, CUSTOM), Source(CONF, 3, NAME), Source(CONF, 3, Source.END))
        },
        (Person(f"would be set in {CUSTOM}, but {CONF}, line 3, which Nix reads after that, sets", f"{NAME} = true"),),
    ),
    Case(
        "overridden by root's own file",
        WANTED,
        world(STOCK) | {NixSources(): (Source(CONF, 1, Source.END), Source("/var/root/.config/nix/nix.conf", 1, NAME))},
        (Person("/var/root/.config/nix/nix.conf, line 1", "take it out"),),
    ),
    Case(
        "set before ours is",
        WANTED,
        world(f"{NAME} = false\n{INCLUDES}", "")
        | {NixSources(): (Source(CONF, 1, NAME), Source(CUSTOM, 0, Source.END), Source(CONF, 3, Source.END))},
        (SET_CUSTOM,),
    ),
    Case(
        "an include of nothing",
        WANTED,
        world(STOCK, configuration=nix("error: file 'x' not found"))
        | {NixSources(): (Source(CONF, 2, Source.MISSING, "/etc/nix/x.conf"), Source(CONF, 2, Source.END))},
        (Person(f"{CONF}, line 2, includes /etc/nix/x.conf, which is not there", "Put that file back.*!include"),),
    ),
    *(
        Case(
            f"{said}, foreign",
            WANTED,
            world(STOCK, configuration=nix(said))
            | {NixSources(): (Source("/etc/nix/more", 4, "max-jobs"), Source(CONF, 2, Source.END))},
            (Person("/etc/nix/more, line 4, sets max-jobs to what Nix does not take", "not builderfleet's"),),
        )
        for said in sorted({said for texts in SEEN.values() for said in texts})
    ),
    Case(
        "a value of ours that somebody wrote wrongly",
        WANTED,
        world(
            f"{STOCK}{NAME} = maybe\n", configuration=nix(f"error: Boolean setting '{NAME}' has invalid value 'maybe'")
        )
        | {NixSources(): (Source(CONF, 3, NAME), Source(CONF, 3, Source.END))},
        (SET,),
    ),
    Case(
        "a foreign line in a file that is included",
        WANTED,
        world(STOCK, configuration=nix("error"))
        | {NixSources(): (Source("/etc/nix/tokens", 4, Source.UNREADABLE), Source(CONF, 2, Source.END))},
        (Person("/etc/nix/tokens, line 4, is neither", "correct it"),),
    ),
    Case(
        "a setting that this Nix does not have",
        NixSetting(setting="keep-outptus", value="true"),
        world(STOCK) | {NixConfiguration("keep-outptus"): nix(cores="4")},
        (Person("has no setting keep-outptus", "nix config show"),),
    ),
    Case(
        "an addition",
        NixSetting(setting="extra-trusted-users", value="admin"),
        world(STOCK, configuration=nix(trusted_users="root")),
        (f"set extra-trusted-users in {CONF}",),
    ),
    Case(
        "an addition in effect",
        NixSetting(setting="extra-trusted-users", value="admin"),
        world(f"{STOCK}extra-trusted-users = admin\n", configuration=nix(trusted_users="root admin")),
    ),
    Case(
        "an addition that a later line throws away",
        NixSetting(setting="extra-trusted-users", value="admin"),
        world(INCLUDES, "", configuration=nix(trusted_users="root"))
        | {
            NixSources(): (Source(CUSTOM, 0, Source.END), Source(CONF, 4, "trusted-users"), Source(CONF, 4, Source.END))
        },
        (Person(f"{CONF}, line 4, which Nix reads after that, sets trusted-users again", "."),),
    ),
    Case(
        "somebody adds to it",
        NixSetting(setting="trusted-users", value="root"),
        world("extra-trusted-users = me\n", configuration=nix(trusted_users="root me"))
        | {NixSources(): (Source(CONF, 1, "extra-trusted-users"), Source(CONF, 1, Source.END))},
        (Person(f"{CONF}, line 1, which Nix reads after that, adds to it", "."),),
    ),
    Case(
        "Nix does not work, nobody knows why",
        WANTED,
        world(LINE, configuration=nix("error: bad magic")),
        (Person("Nix does not read its configuration: error: bad magic", "."),),
    ),
    Case(
        "nix-darwins link",
        WANTED,
        world(link("/etc/static/nix/nix.conf")),
        (Person("is a link.*nix-darwin", "that tool.*distributedBuilds = true"),),
    ),
    Case(
        "a directory",
        WANTED,
        world(directory()),
        (Person("/etc/nix/nix.conf should be a file, but is a directory", "move it away"),),
    ),
    Case("nothing to take back", UNWANTED, world(STOCK)),
    Case("set by somebody else", UNWANTED, world(LINE, configuration=ON)),
    Case("taken back", UNWANTED, edited(STOCK + LINE), (BACK,)),
    Case("taken back, there was no file", UNWANTED, edited(LINE, None), (BACK,)),
    Case("others edited it since", UNWANTED, edited(STOCK + LINE + "cores = 4\n"), (BACK,)),
    Case(
        "somebody set it otherwise since",
        UNWANTED,
        edited(f"{STOCK}{NAME} = false\n"),
        (f"leave {NAME} in {CONF} as somebody has set it since",),
    ),
    Case(
        "taken back whatever it says", NixSetting(setting=NAME, present=False), edited(STOCK + LINE + "# x\n"), (BACK,)
    ),
    Case("former value", UNWANTED, edited(LINE + "cores = 4\n", f"{NAME} =  false\n", "  false"), (BACK,)),
    Case("somebody removed the file", UNWANTED, edited(NOTHING), (BACK,)),
    Case("restart is due after a taking back", UNWANTED, world(STOCK, due=True), (RESTART,)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_it_says(case: Case) -> None:
    case.check()


def only(name: str) -> Change:
    (change,) = next(case for case in CASES if case.name == name).changes()
    return change


@pytest.mark.parametrize(
    ("name", "path", "content"),
    [
        ("set in nix.conf", CONF, STOCK + LINE),
        ("set in what it includes", CUSTOM, LINE),
        ("other value", CONF, f"{NAME} = true # mine\n"),
        ("written wrongly by somebody, ours", CONF, LINE),
        ("others edited it since", CONF, STOCK + "cores = 4\n"),
        ("taken back whatever it says", CONF, STOCK + "# x\n"),
        ("former value", CONF, f"{NAME} =  false\ncores = 4\n"),
    ],
)
def test_what_it_writes(name: str, path: str, content: str) -> None:
    assert carried(only(name).script)[path].decode() == content


def test_what_somebody_set_otherwise_since_stays() -> None:
    assert CONF not in carried(only("somebody set it otherwise since").script)


def test_which_foreign_line_is_said_does_not_depend_on_chance() -> None:
    case = Case("", WANTED, world(f"cores=1\n{INCLUDES}", "cores=4\n"), (Person("nix.conf, line 1, `cores …`", "."),))
    case.check()


# --- really done ---------------------------------------------------------------------------------------------------


class Mac:
    """A sandbox with a Nix of the test's, and what it would answer."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        (sandbox / "/etc/nix").mkdir()
        sandbox.double(
            "/bin/launchctl", 'echo "launchctl $*" >> /calls; [ "$2" != system/systems.determinate.nix-daemon ]'
        )
        sandbox.double(f"{NIX}/nix-store", 'echo "nix-store $1 $2" >> /calls')
        # It refuses a line with `bad`, and shows the settings of nix.conf as they are.
        sandbox.double(f"{NIX}/nix", 'if grep bad "$NIX_CONF_DIR"/*.conf; then echo "error: bad line" >&2; exit 1; fi')

    def found(self, path: str) -> Found:
        here = self.sandbox / path
        if not here.exists():
            return NOTHING
        return directory() if here.is_dir() else file(here.read_bytes(), here.stat().st_mode & 0o7777)

    def world(self, **settings: str) -> World:
        text = (self.sandbox / CONF).read_text() if (self.sandbox / CONF).exists() else ""
        pairs = dict(line.split(" = ") for line in text.splitlines() if " = " in line)
        return {each: self.found(each.path) for each in (NIX_CONF, CUSTOM_CONF, RESTART_DUE, LEDGER, PARENT)} | {
            NixConfiguration(): Configuration(
                installed=True, settings={"builders": "@/etc/nix/machines", NAME: "false", **pairs}
            )
        }

    def make(self, *settings: NixSetting) -> str:
        """Do what they say, one after the other; what the scripts said."""
        said = ""
        for setting in settings:
            for change in Case("", setting, self.world()).changes():
                ran = self.sandbox.run(shell.wrap(f"set -eu\n{shell.LIBRARY}\n{change.script}"))
                assert ran.returncode == 0, ran.stderr
                said += ran.stderr
            assert Case("", setting, self.world()).steps() == [], "it did not stick"
        return said

    def conf(self, text: str | None = None) -> str:
        if text is not None:
            (self.sandbox / CONF).write_text(text)
        return (self.sandbox / CONF).read_text()


BUILDERS = NixSetting(setting="builders", value="ssh://x;@/etc/nix/machines")
NO_BUILDERS = NixSetting(setting="builders", value="ssh://x;@/etc/nix/machines", present=False)
MINE = f"# mine\n{NAME} = false\nbuilders = ssh://x\n"


def test_it_is_set_and_the_daemon_restarted_once_it_answers(sandbox: Sandbox) -> None:
    mac = Mac(sandbox)
    mac.conf(STOCK)
    mac.make(WANTED)
    assert mac.conf() == STOCK + LINE
    calls = (sandbox / "/calls").read_text().splitlines()
    assert calls[-2:] == ["launchctl kickstart -k system/org.nixos.nix-daemon", "nix-store --store daemon"]
    assert not (sandbox / RESTART_DUE.path).exists()


def test_what_nix_refuses_is_not_installed(sandbox: Sandbox) -> None:
    mac = Mac(sandbox)
    mac.conf("bad\n" + STOCK)
    (change,) = Case(
        "", NixSetting(setting="builders", value="ssh://bad"), {**mac.world(), NIX_CONF: file("")}
    ).changes()
    mac.conf("")
    ran = sandbox.run(shell.wrap(f"set -eu\n{shell.LIBRARY}\n{change.script}"))
    assert ran.returncode == 1
    assert "Nix refuses the new configuration: error: bad line" in ran.stderr
    assert mac.conf() == ""
    assert sandbox.files("/tmp") == {}


@pytest.mark.parametrize("included", ["tokens/github", "../nix-extra", "../../opt/nix/extra", "/etc/nix-extra"])
def test_the_trial_finds_what_is_included_wherever_that_is(sandbox: Sandbox, included: str) -> None:
    mac = Mac(sandbox)
    follows = 'sed -n "s/^include //p" "$NIX_CONF_DIR/nix.conf" | while read -r path; do\n'
    follows += 'case $path in /*) ;; *) path=$NIX_CONF_DIR/$path ;; esac; cat "$path" >/dev/null || exit 1; done'
    for path in ("/etc/nix/tokens/github", "/etc/nix-extra", "/opt/nix/extra"):
        (sandbox / path).parent.mkdir(parents=True, exist_ok=True)
        (sandbox / path).touch()
    mac.conf(f"include {included}\n{STOCK}")
    sandbox.double(f"{NIX}/nix", follows)
    (change,) = Case("", WANTED, mac.world()).changes()
    ran = sandbox.run(shell.wrap(f"set -eu\n{shell.LIBRARY}\n{change.script}"))
    assert "refuses" not in ran.stderr and LINE in mac.conf(), ran.stderr


@pytest.mark.parametrize("program", ["cp", "ln", "mkdir"])
def test_what_cannot_be_tried_is_not_installed(sandbox: Sandbox, program: str) -> None:
    mac = Mac(sandbox)
    mac.conf(STOCK)
    (change,) = Case("", WANTED, mac.world()).changes()
    script = f"set -eu\n{shell.LIBRARY}\n{program}() {{ echo 'no space left' >&2; return 1; }}\n{change.script}"
    ran = sandbox.run(shell.wrap(script))
    assert program in change.script + shell.LIBRARY
    assert ran.returncode == 1 and mac.conf() == STOCK, ran.stderr


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((WANTED, UNWANTED), MINE),
        ((WANTED, BUILDERS, UNWANTED, NO_BUILDERS), MINE),
        ((WANTED, BUILDERS, NO_BUILDERS, UNWANTED), MINE),
        ((WANTED, BUILDERS, NO_BUILDERS), MINE.replace("false", "true")),
        ((WANTED, BUILDERS, UNWANTED), MINE.replace("ssh://x", "ssh://x;@/etc/nix/machines")),
        ((BUILDERS, WANTED, UNWANTED, WANTED, UNWANTED, NO_BUILDERS), MINE),
    ],
)
def test_settings_of_one_file_come_and_go_alone(
    dash_sandbox: Sandbox, settings: tuple[NixSetting, ...], expected: str
) -> None:
    mac = Mac(dash_sandbox)
    mac.conf(MINE)
    mac.make(*settings)
    assert mac.conf() == expected
    if expected == MINE:
        assert dash_sandbox.files(BACKUPS) == {}


@pytest.mark.parametrize("when", range(1, 4))
def test_what_somebody_adds_in_between_stays(dash_sandbox: Sandbox, when: int) -> None:
    mac = Mac(dash_sandbox)
    mac.conf(MINE)
    for number, setting in enumerate((WANTED, BUILDERS, UNWANTED, NO_BUILDERS)):
        if number == when:
            mac.conf(mac.conf() + "cores = 4\n")
        mac.make(setting)
    assert mac.conf() == MINE + "cores = 4\n"
