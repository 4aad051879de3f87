# SPDX-License-Identifier: GPL-3.0-or-later
"""NixInstallation: installed where there is none, finished where it was ours, and never run over a Nix that is there."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.asking import Answers
from builderfleet.plugin_utils.ledger import LEDGER, PARENT, Ledger, ledger
from builderfleet.plugin_utils.parameters import by_itself
from builderfleet.plugin_utils.questions.file import Metadata
from builderfleet.plugin_utils.questions.launchd import LaunchdJob
from builderfleet.plugin_utils.questions.mac import Mac
from builderfleet.plugin_utils.questions.nix import NixVersion
from builderfleet.plugin_utils.questions.store_volume import NAME, StoreVolume, Volume
from builderfleet.plugin_utils.resources.nix_installation import (
    BEGUN,
    FSTAB,
    INSTALLER,
    RECEIPT,
    SYNTHETIC,
    NixInstallation,
    plist_of,
)

from tests.unit.answers import APPLE_SILICON, THERE, Case, Person, World, answers, directory, file, loaded, receipt
from tests.unit.sandbox import Sandbox

PROGRAM = (
    "#!/bin/sh\necho \"$@\" >> /arguments\nmkdir -p /nix\n[ -e /nix/receipt.json ] || echo '{}' > /nix/receipt.json\n"
)
WANTED = NixInstallation(
    version="2.35.2",
    source="/var/installer",
    sha256=hashlib.sha256(PROGRAM.encode()).hexdigest(),
    extra_conf=("trusted-users = root admin", "cores = $x `y` 'z'"),
)
UNWANTED = replace(WANTED, present=False)

INSTALL, UNINSTALL = "install Nix with nix-installer 2.35.2", "uninstall Nix with its store"
AGAIN = f"{INSTALL}, which was cut off before"
NIX = Metadata("/nix")
DARWIN = {LaunchdJob("org.nixos.activate-system"): loaded("org.nixos.activate-system", pid=None)}

INSTALLED: World = {
    RECEIPT: receipt(),
    INSTALLER: THERE,
    NIX: directory(),
    NixVersion(): "nix (Nix) 2.35.2",
    plist_of("org.nixos.nix-daemon"): THERE,
    plist_of("org.nixos.darwin-store"): THERE,
}
SCRIPT: World = {k: v for k, v in INSTALLED.items() if k not in (RECEIPT, INSTALLER)}
LIX: World = SCRIPT | {NixVersion(): "nix (Lix, like Nix) 2.95.3", Metadata("/nix/lix-installer"): THERE}
DETERMINATE: World = {
    NIX: directory(),
    RECEIPT: receipt(),
    INSTALLER: THERE,
    NixVersion(): "nix (Determinate Nix 3.8.2) 2.30.1",
    Metadata("/usr/local/bin/determinate-nixd"): THERE,
    plist_of("systems.determinate.nix-daemon"): THERE,
}
PARTIAL: World = {RECEIPT: receipt("Progress"), NIX: directory()}
SINGLE: World = {NIX: directory(uid=501), NixVersion(): "nix (Nix) 2.30.0"}
BEGUN_: World = {BEGUN: THERE}
OUT_OF_REACH: World = {plist_of("org.nixos.nix-daemon"): THERE, plist_of("org.nixos.darwin-store"): THERE}
HERE = OUT_OF_REACH | {NIX: directory()}
NO_ACCESS: World = {Mac(): replace(APPLE_SILICON, full_disk_access=False)}
PERHAPS_ACCESS: World = {Mac(): replace(APPLE_SILICON, full_disk_access=None)}
DAMAGED: World = {RECEIPT: file("{")}

CASES = [
    Case("fresh", WANTED, expected=(INSTALL,)),
    Case("an empty nix directory", WANTED, {NIX: directory()}, (INSTALL,)),
    Case("what an uninstaller leaves", WANTED, {NIX: directory(), FSTAB: file("")}, (INSTALL,)),
    Case("what an uninstaller leaves, not wanted", UNWANTED, {NIX: directory(), FSTAB: file("")}),
    Case("no Full Disk Access", WANTED, NO_ACCESS, (Person("Full Disk Access", "Remote Login.*PPPC"),)),
    Case("whether there is Full Disk Access cannot be told", WANTED, PERHAPS_ACCESS, (INSTALL,)),
    Case("converged", WANTED, INSTALLED),
    Case("converged without Full Disk Access", WANTED, INSTALLED | NO_ACCESS),
    Case("another version is adopted", WANTED, INSTALLED | {NixVersion(): "nix (Nix) 2.18.1"}),
    Case("Determinate is adopted", WANTED, DETERMINATE),
    Case("Lix is adopted", WANTED, LIX),
    Case("the script installers is adopted", WANTED, SCRIPT),
    Case("nix-darwins is adopted", WANTED, INSTALLED | DARWIN),
    Case("ours, cut off", WANTED, PARTIAL | BEGUN_, (AGAIN,)),
    Case("ours, cut off at once", WANTED, BEGUN_, (AGAIN,)),
    Case("ours, cut off amid the receipt", WANTED, DAMAGED | BEGUN_, (AGAIN,)),
    Case("ours, finished though cut off", WANTED, INSTALLED | BEGUN_),
    Case("ours went, Lix came", WANTED, LIX | BEGUN_),
    Case("ours went, Determinate came", WANTED, DETERMINATE | BEGUN_),
    Case("ours went, a single user came", WANTED, SINGLE | BEGUN_, (Person("single-user", "multi-user"),)),
    Case(
        "somebodys, cut off",
        WANTED,
        PARTIAL,
        (Person("not done: create_apfs_volume.*not builderfleet's", "Finish or undo"),),
    ),
    Case("single user", WANTED, SINGLE, (Person("/nix belongs to uid 501", "multi-user"),)),
    Case(
        "fstab line left",
        WANTED,
        {FSTAB: file("UUID=1 /nix apfs rw\n")},
        (Person("a line in /etc/fstab", "remove it"),),
    ),
    Case("synthetic.conf left", WANTED, {SYNTHETIC: file("nix\n")}, (Person("a line in /etc/synthetic.conf", "."),)),
    Case(
        "commented out is nothing",
        WANTED,
        {FSTAB: file("# UUID=1 /nix apfs\n"), SYNTHETIC: file("# nix\n")},
        (INSTALL,),
    ),
    Case("a job left", WANTED, {plist_of("org.nixos.darwin-store"): THERE}, (Person("a launchd job", "."),)),
    Case(
        "its volume is not mounted",
        WANTED,
        HERE | {StoreVolume(): Volume("12-34", there=True)},
        (
            Person(
                r"script installer is on this Mac, but the volume .*12-34\) is not mounted", "kickstart .*darwin-store"
            ),
        ),
    ),
    Case(
        "its volume is mounted elsewhere",
        WANTED,
        HERE | {StoreVolume(): Volume(NAME, there=True, mounted_at="/Volumes/Nix Store")},
        (Person(r"Nix Store\) is mounted at /Volumes/Nix Store, and not at /nix", "kickstart .*darwin-store"),),
    ),
    Case(
        "Determinates volume is not mounted",
        WANTED,
        {k: v for k, v in DETERMINATE.items() if k not in (NixVersion(), RECEIPT, INSTALLER)}
        | {StoreVolume(): Volume(NAME, there=True), plist_of("systems.determinate.nix-store"): THERE},
        (
            Person(
                "Determinate Nix is on this Mac, but the volume", "kickstart -k system/systems.determinate.nix-store"
            ),
        ),
    ),
    Case(
        "its volume did not come along",
        WANTED,
        HERE | {StoreVolume(): Volume("12-34", there=False), FSTAB: file("UUID=12-34 /nix apfs rw\n")},
        (
            Person(
                r"volume of its store \(12-34\) is not: .*Migration Assistant",
                "remove .*nix-daemon.plist, .*darwin-store.plist, its line in /etc/fstab on that Mac",
            ),
        ),
    ),
    Case(
        "its volume did not come along nor did its line in synthetic.conf",
        WANTED,
        OUT_OF_REACH | {StoreVolume(): Volume(NAME, there=False)},
        (Person("Migration Assistant", "remove .*nix-daemon.plist"),),
    ),
    Case(
        "whether it has a volume cannot be told",
        WANTED,
        HERE,
        (
            Person(
                "could not be told: nothing says which", "diskutil info .* is there: .*kickstart.* not, it did not come"
            ),
        ),
    ),
    Case(
        "its store is there and Nix is nowhere",
        WANTED,
        HERE | {Metadata("/nix/store"): directory()},
        (Person("with its store, but no Nix runs: neither in .*current-system", "ls -l .*profiles/default"),),
    ),
    Case("too old", WANTED, INSTALLED | {NixVersion(): "nix (Nix) 2.3.16"}, (Person("2.3.16, and 2.4 is", "Upgrade"),)),
    Case("old enough", WANTED, INSTALLED | {NixVersion(): "nix (Nix) 2.4pre20210601_5985b8b"}),
    Case(
        "its line in synthetic.conf went",
        WANTED,
        OUT_OF_REACH | {SYNTHETIC: file("other\n")},
        (Person("synthetic.conf does not ask for /nix any more", "Put the line `nix` back.*restart it"),),
    ),
    Case(
        "macOS was not started since",
        WANTED,
        OUT_OF_REACH | {SYNTHETIC: file("nix\n")},
        (Person("macOS has not made /nix", "Restart this Mac", reboot=True),),
    ),
    Case("receipt makes no sense", WANTED, DAMAGED, (Person("receipt.json cannot be read: .*JSON", "."),)),
    Case("nothing to uninstall", UNWANTED),
    Case("uninstalled", UNWANTED, INSTALLED, (UNINSTALL,)),
    Case("an unfinished one is uninstalled", UNWANTED, PARTIAL | {INSTALLER: THERE}, (UNINSTALL,)),
    Case("nix-darwin first", UNWANTED, INSTALLED | DARWIN, (Person("nix-darwin", "darwin-uninstaller"),)),
    Case("no uninstaller", UNWANTED, SCRIPT, (Person("script installer.*no uninstaller", "by hand"),)),
    Case("damaged receipt is nothing to install over", UNWANTED, DAMAGED | BEGUN_, (Person("cannot be read", "."),)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_it_says(case: Case) -> None:
    case.check()


def refused(wanted: NixInstallation, world: World) -> list[str]:
    return [str(each) for each in wanted.refusals(answers(wanted, world))]


def test_a_mac_on_which_no_nix_can_be_installed() -> None:
    intel: World = {Mac(): replace(APPLE_SILICON, apple_silicon=False)}
    (text,) = refused(WANTED, intel)
    assert text.startswith("nix_state: this Intel Mac has no Nix") and "for Apple silicon" in text
    (text,) = refused(replace(WANTED, sha256=""), {})
    assert text.startswith("nix_installer_sha256: this Mac has no Nix")
    assert refused(WANTED, {}) == []
    for wanted, world in ((WANTED, intel | INSTALLED), (replace(WANTED, sha256=""), INSTALLED), (UNWANTED, intel)):
        assert refused(wanted, world) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"version": "banana"}, "version: it is a version such as 2.35.2"),
        ({"sha256": "xyz"}, "sha256: it is 64 hexadecimal digits in lower case"),
        ({"source": "ftp://x y"}, "source: it is an http"),
        ({"extra_conf": ["garbage line"]}, "extra_conf: each item is a line for nix.conf"),
    ],
)
def test_what_no_installer_can_be_had_by_is_refused(wrong: dict[str, Any], said: str) -> None:
    resources, (refused,) = by_itself(NixInstallation, wrong)
    assert resources == () and str(refused).startswith(said)


# --- really done ---------------------------------------------------------------------------------------------------


def do(sandbox: Sandbox, name: str, resource: NixInstallation = WANTED) -> subprocess.CompletedProcess[str]:
    """Do what a case calls for, on a Mac that has the state directory that the sandbox has by now."""
    case = next(case for case in CASES if case.name == name)
    book = sandbox / LEDGER.path
    state: World = {PARENT: directory(), LEDGER: file(book.read_bytes(), 0o600)} if book.exists() else {}
    (change,) = replace(case, resource=resource, world={**case.world, **state}).changes()
    return sandbox.run(shell.wrap(f"set -eu\n{shell.LIBRARY}\n{change.script}"))


@pytest.fixture
def mac(sandbox: Sandbox) -> Sandbox:
    (sandbox / "/var/installer").write_text(PROGRAM)
    return sandbox


def test_the_installer_runs_with_every_argument_as_it_is(mac: Sandbox) -> None:
    ran = do(mac, "fresh")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (mac / "/arguments").read_text() == (
        "install macos --no-confirm --logger json --extra-conf trusted-users = root admin"
        " --extra-conf cores = $x `y` 'z'\n"
    )
    assert not (mac / BEGUN.path).exists()
    assert mac.files("/tmp") == {}


def test_the_installer_and_its_download_go_through_the_proxy(mac: Sandbox) -> None:
    proxy = "http://somebody:secret@proxy.example:3128"
    said = 'echo "$https_proxy $NIX_INSTALLER_PROXY ${NIX_INSTALLER_SSL_CERT_FILE-}"'
    program = PROGRAM + f"{said} > /installer\n"
    (mac / "/var/installer").write_text(program)
    mac.double(
        "/usr/bin/curl", f'while [ "$1" != --output ]; do shift; done; cp /var/installer "$2"; {said} > /download'
    )
    given = replace(
        WANTED, source="https://example.org/x", sha256=hashlib.sha256(program.encode()).hexdigest(), proxy=proxy
    )
    ran = do(mac, "fresh", replace(given, certificates="/etc/ssl/corp.pem"))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (mac / "/download").read_text().split() == [proxy, proxy]
    assert (mac / "/installer").read_text().split() == [proxy, proxy, "/etc/ssl/corp.pem"]
    assert proxy not in (mac / "/arguments").read_text()


def test_a_directory_above_that_the_installation_made_is_remembered(mac: Sandbox) -> None:
    assert not (mac / PARENT.path).exists()
    assert do(mac, "fresh").returncode == 0
    found = file((mac / LEDGER.path).read_bytes(), 0o600)
    assert ledger(Answers.given({LEDGER: found})) == Ledger({}, (PARENT.path,))


def test_a_directory_above_that_was_there_is_nothing_to_remember(mac: Sandbox) -> None:
    (mac / PARENT.path).mkdir()
    fresh = next(case for case in CASES if case.name == "fresh")
    (change,) = replace(fresh, world={PARENT: directory()}).changes()
    assert mac.run(shell.wrap(f"set -eu\n{shell.LIBRARY}\n{change.script}")).returncode == 0
    assert not (mac / LEDGER.path).exists()


@pytest.mark.parametrize("source", ["/var/installer", "https://example.org/$(touch$IFS/touched)`x`?a=$HOME&b"])
def test_nothing_of_an_installer_that_is_not_the_pinned_one_runs(mac: Sandbox, source: str) -> None:
    mac.double("/usr/bin/curl", 'while [ "$1" != --output ]; do shift; done; echo other > "$2"; echo "$3" > /url')
    (mac / "/var/installer").write_text(PROGRAM.replace("mkdir", "mkfile"))
    ran = do(mac, "fresh", replace(WANTED, source=source))
    assert ran.returncode == 1
    assert f"the installer from {source} is not the one that is pinned" in ran.stderr
    assert WANTED.sha256 in ran.stderr
    assert not (mac / "/arguments").exists()
    assert not (mac / BEGUN.path).exists()
    if source.startswith("https"):
        assert (mac / "/url").read_text() == f"{source}\n"


def test_an_installer_that_cannot_be_had_is_said(mac: Sandbox) -> None:
    (mac / "/var/installer").unlink()
    ran = do(mac, "fresh")
    assert ran.returncode == 1
    assert "cannot get the installer from /var/installer" in ran.stderr


def test_what_was_cut_off_is_remembered_until_it_is_done(mac: Sandbox) -> None:
    broken = PROGRAM + "exit 3\n"
    (mac / "/var/installer").write_text(broken)
    ran = do(mac, "fresh", replace(WANTED, sha256=hashlib.sha256(broken.encode()).hexdigest()))
    assert ran.returncode == 1
    assert "nix-installer ended with status 3" in ran.stderr
    assert (mac / BEGUN.path).exists()
    (mac / "/nix/receipt.json").write_text(json.dumps("of a failure"))
    (mac / "/var/installer").write_text(PROGRAM)
    assert do(mac, "ours, cut off").returncode == 0
    assert not (mac / BEGUN.path).exists()
    assert (mac / "/nix/receipt.json").read_text() == "{}\n"
    assert (mac / "/nix/receipt.json.unfinished").read_text() == '"of a failure"'


@pytest.mark.parametrize(("asks", "status"), [("nix\n", shell.RESTART), ("nixes\n", 1)])
def test_a_nix_directory_that_macos_makes_at_its_next_start(mac: Sandbox, asks: str, status: int) -> None:
    program = "#!/bin/sh\nexit 3\n"
    (mac / "/var/installer").write_text(program)
    (mac / "/etc/synthetic.conf").write_text(asks)
    ran = do(mac, "fresh", replace(WANTED, sha256=hashlib.sha256(program.encode()).hexdigest()))
    assert ran.returncode == status
    assert ("Restart this Mac" in ran.stderr) == (status == shell.RESTART)
    assert (mac / BEGUN.path).exists()


def test_success_without_a_receipt_is_none(mac: Sandbox) -> None:
    liar = "#!/bin/sh\nexit 0\n"
    (mac / "/var/installer").write_text(liar)
    ran = do(mac, "fresh", replace(WANTED, sha256=hashlib.sha256(liar.encode()).hexdigest()))
    assert ran.returncode == 1
    assert "nix-installer succeeded, but left no /nix/receipt.json" in ran.stderr


# What systemextensionsctl of macOS 13 to 15 lists.
EXTENSIONS = """printf '%s\\n' '2 extension(s)' '--- com.apple.system_extension.network_extension'
printf '*\\t*\\tAAA\\torg.example.vpn (1.0/1)\\tvpn\\t[activated enabled]\\n'
printf '%s\\n' '--- com.apple.system_extension.endpoint_security'
printf '*\\t*\\tZMCG7MLDV9\\tcom.northpolesec.santa.daemon (2025.1/1)\\tsantad\\t[activated enabled]\\n'
printf '\\t\\tZMCG7MLDV9\\torg.example.former (1.0/1)\\tformer\\t[terminated waiting to uninstall on reboot]\\n'"""


@pytest.mark.parametrize(
    ("extensions", "said"),
    [
        (EXTENSIONS, "security software there may not allow it (com.northpolesec.santa.daemon). Have whoever manages"),
        ("echo '0 extension(s)'", "no security software is to be seen there; macOS itself ends what"),
        ("exit 1", "no security software is to be seen there"),
    ],
)
def test_an_installer_that_is_killed_is_not_just_a_number(mac: Sandbox, extensions: str, said: str) -> None:
    killed = "#!/bin/sh\nkill -9 $$\n"
    pinned = hashlib.sha256(killed.encode()).hexdigest()
    (mac / "/var/installer").write_text(killed)
    mac.double("/usr/bin/systemextensionsctl", extensions)
    ran = do(mac, "fresh", replace(WANTED, sha256=pinned))
    assert ran.returncode == shell.PERSON
    assert ran.stderr.startswith(f"nix-installer was killed (status 137, SIGKILL): {said}")
    assert ran.stderr.endswith(f"SHA-256 is {pinned}\n") and "log show --last 1h" in ran.stderr


@pytest.mark.parametrize(
    ("dscl", "status"),
    [
        ('case $2 in -read) echo "NFSHomeDirectory: /var/empty" ;; *) echo "$@" >> /changed ;; esac', 0),
        ("echo '<dscl_cmd> DS Error: -14120 (eDSPermissionError)' >&2; exit 40", shell.PERSON),
        ("echo '<dscl_cmd> DS Error: -14009 (eDSUnknownNodeName)' >&2; exit 56", 0),
    ],
)
def test_access_that_could_not_be_told_is_tried_before_anything_is_written(
    mac: Sandbox, dscl: str, status: int
) -> None:
    mac.double("/usr/bin/dscl", dscl)
    ran = do(mac, "whether there is Full Disk Access cannot be told")
    assert (ran.returncode, (mac / "/arguments").exists()) == (status, status == 0)
    assert ("Allow full disk access" in ran.stderr or "Remote Login" in ran.stderr) == (status != 0)
    if "changed" in dscl:
        assert (mac / "/changed").read_text() == ". -change /Users/nobody NFSHomeDirectory /var/empty /var/empty\n"
    assert (mac / BEGUN.path).exists() is False
