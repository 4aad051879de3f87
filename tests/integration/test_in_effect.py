# SPDX-License-Identifier: GPL-3.0-or-later
"""That "converged" is a promise that Nix would build there: what keeps it from doing so is seen, though our files are right.

Each kind is done to a Mac with a working builder, looked at through one front end and run through the other, in turn; mended, the
Mac is converged again.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any

import pytest
from builderfleet.plugin_utils.questions.nix import ASK_DAEMON
from builderfleet.plugin_utils.resources.nix_daemon import SAME_MOMENT

from tests.simulated_mac import SimulatedMac

from .harness import Ansible, FrontEnd, Pyinfra, writes_since

NIX, VM = "org.nixos.nix-daemon", "org.builderfleet.linux-builder"
MACHINES, CUSTOM, ROOTS = "/etc/nix/machines", "/etc/nix/nix.custom.conf", "/var/root/.config/nix"
PLIST, LEDGER = f"/Library/LaunchDaemons/{NIX}.plist", "/var/lib/builderfleet/ledger.json"
PROOF = "/var/lib/builderfleet/proved"
RELOAD = f"launchctl bootout system/{NIX}; until launchctl bootstrap system {PLIST}; do sleep 1; done"
ANSWERS = f"until {shlex.join(ASK_DAEMON)}; do sleep 0.1; done"
ENVIRONMENT = "<key>EnvironmentVariables</key><dict><key>NIX_CONFIG</key><string>builders =</string></dict>"
KEEP, BACK = f"cp -p {MACHINES} /var/db/kept", f"mv /var/db/kept {MACHINES}"
PERSON, CHANGED, FAILED = ("needs a person", 4), ("changed", 0), ("failed", 1)


@dataclass(frozen=True)
class Kind:
    """What is done to the Mac, how the run ends, what it says, and how it is mended if the run does not.

    `after` is how the run ends that comes after a person has mended it. `looks` is how a dry run ends, where not in the same way.
    """

    name: str
    done: str
    ends: tuple[str, int]
    says: tuple[str, ...]
    mended: str = ""
    after: tuple[str, int] = ("converged", 0)
    looks: tuple[str, int] | None = None
    faults: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


KINDS = [
    Kind("a store that Nix does not take", f"{KEEP}; echo 'ssh://a:b x86_64-linux' >> {MACHINES}", PERSON,
         (f"{MACHINES}, line 2: ", "does not read it (Cannot parse Nix store …)", "not builderfleet's"), BACK),
    Kind("a line that no Nix takes", f"{KEEP}; echo 'ssh://a - - many' >> {MACHINES}", PERSON,
         (f"{MACHINES}, line 2: the fourth field", "no builder at all"), BACK),
    Kind("TOML without a version", f"{KEEP}; printf '[machines.a]\\nuri = \"ssh://a\"\\n' > {MACHINES}", PERSON,
         (f"{MACHINES} is written in TOML", "one machine on a line"), BACK),
    Kind("a builder that is switched off stops nothing", f"{KEEP}; echo 'ssh://old x86_64-linux - 0' >> {MACHINES}",
         ("converged", 0), (), BACK),
    Kind("a locked machines file", f"{KEEP}; : > {MACHINES}; chflags uchg {MACHINES}", PERSON, (MACHINES, "chflags"),
         f"chflags nouchg {MACHINES}; {BACK}", looks=("would change", 2)),  # that it is locked shows when it is written
    Kind("a machines file without end", f"{KEEP}; yes '# a comment that says nothing' | head -n 400000 >> {MACHINES}", FAILED,
         ("of nothing so long", "shorten it"), BACK),
    Kind("the daemon is not loaded", f"launchctl bootout system/{NIX}", CHANGED, (f"load {NIX}, without which",)),
    Kind("a login item of Nix's is off", "true", PERSON, (f"{NIX} is switched off in this Mac's login items", "System Settings"),
         faults={"login-item-off": NIX}),
    Kind("our login item is off", "true", PERSON, (f"{VM} is switched off in this Mac's login items", "System Settings"),
         faults={"login-item-off": VM}),
    Kind("root's own nix.conf", f"mkdir -p {ROOTS}; echo 'builders =' > {ROOTS}/nix.conf", PERSON,
         (f"{ROOTS}/nix.conf, line 1, ", "builders"),
         f"sleep {SAME_MOMENT + 2}; rm {ROOTS}/nix.conf", CHANGED),
    # No time of a file tells this one apart: the proof shows it.
    Kind("a daemon that was started a moment too early", f"mkdir -p {ROOTS}; echo 'builders =' > {ROOTS}/nix.conf; {RELOAD}; "
         f"{ANSWERS}; rm {ROOTS}/nix.conf {PROOF}", FAILED,
         ("builds when root asks it alone", "the next run restarts Nix's daemon"), "true", CHANGED, looks=("converged", 0)),
    Kind("a foreign value that Nix does not take", f"cp -p {CUSTOM} /var/db/kept; echo 'max-jobs = foo' >> {CUSTOM}", PERSON,
         (f"{CUSTOM}, line ", "sets max-jobs to what Nix does not take"), f"mv /var/db/kept {CUSTOM}", CHANGED),
    Kind("NIX_CONFIG of the daemon", f"cp -p {PLIST} /var/db/kept; perl -0pi -e "
         f"'s,<dict>,<dict>{ENVIRONMENT},' {PLIST}; {RELOAD}", PERSON, ("environment of Nix's daemon (NIX_CONFIG",),
         f"mv /var/db/kept {PLIST}; {RELOAD}"),
    Kind("host keys that are not checked", "printf 'Host *\\n  StrictHostKeyChecking no\\n  UserKnownHostsFile /dev/null\\n'"
         " > /etc/ssh/ssh_config.d/010-mine.conf", PERSON,
         ("/etc/ssh/ssh_config.d/010-mine.conf, line 2", "host keys are not checked as they have to be"),
         "rm /etc/ssh/ssh_config.d/010-mine.conf"),
    Kind("a file that others may write", f"chmod o+w {MACHINES}", PERSON, (MACHINES, "chmod go-w"), f"chmod o-w {MACHINES}"),
    Kind("a ledger that is garbage", f"cp -p {LEDGER} /var/db/kept; echo '{{' > {LEDGER}", PERSON, (LEDGER, "is damaged"),
         f"mv /var/db/kept {LEDGER}"),
    Kind("a ledger that is gone", f"rm {LEDGER}", CHANGED, (f"write {LEDGER} again, which was gone",)),
    Kind("certificates that are nowhere", "true", FAILED, ("linux_builder_certificates", "there is no such file on this Mac"),
         variables={"linux_builder_certificates": "/etc/ssl/nowhere.pem"}),
    Kind("launchd that fails for a moment", f"launchctl bootout system/{VM}", CHANGED, (f"load launchd daemon {VM}",),
         faults={"kickstart-5": 2}),
    Kind("a job that launchd forgets to start", f"launchctl bootout system/{VM}", CHANGED, (f"load launchd daemon {VM}",),
         faults={"spawn-lost": 1}),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_what_keeps_nix_from_building_is_seen(
    converged: SimulatedMac, pyinfra: Pyinfra, ansible: Ansible, kind: Kind
) -> None:
    looks: FrontEnd
    runs: FrontEnd
    looks, runs = (pyinfra, ansible) if KINDS.index(kind) % 2 else (ansible, pyinfra)
    converged.run(kind.done)
    for fault, value in kind.faults.items():
        converged.break_(fault, value)
    mark = converged.mark()
    dry = looks.run(converged, dry=True, **kind.variables)
    assert writes_since(converged, mark) == []
    run = runs.run(converged, **kind.variables)
    for fault in kind.faults:
        converged.mend(fault)
    converged.run(kind.mended or "true")
    assert (run.outcome, run.code) == kind.ends, run.output
    expected = kind.looks or (("would change", 2) if kind.ends == CHANGED else kind.ends)
    assert (dry.outcome, dry.code) == expected, dry.output
    assert [words for words in kind.says if words not in run.output] == [], run.output
    assert kind.looks or [words for words in kind.says if words not in dry.output] == [], dry.output
    after = looks.run(converged)
    assert (after.outcome, after.code) == kind.after, after.output
    assert runs.run(converged).outcome == "converged"
