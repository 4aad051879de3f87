# SPDX-License-Identifier: GPL-3.0-or-later
"""What root's ssh has in effect: asked of a real OpenSSH, with other people's configuration around ours."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from builderfleet.plugin_utils import shell
from builderfleet.plugin_utils.asking import Answers, probe_of
from builderfleet.plugin_utils.formats import ssh_config
from builderfleet.plugin_utils.resource import Blocked, Change, Step
from builderfleet.plugin_utils.resources.builder_ssh import connection, pinned
from builderfleet.plugin_utils.resources.ssh_host import SSH_CONFIG, SshHost
from builderfleet.plugin_utils.transcript import Transcript

from tests.simulated_mac import releases
from tests.simulated_mac.errors import GuestError
from tests.simulated_mac.releases import Release
from tests.unit.answers import STOCK_SSH_CONFIG
from tests.unit.sandbox import MakeSandbox, Sandbox

PIN = "/var/lib/builderfleet/linux-builder/known_hosts"
OPTIONS = (
    *connection(alias="builderfleet", port=31422, key="/etc/nix/builderfleet_ed25519", known_hosts=PIN),
    *pinned("ssh-ed25519 AAAA builder"),
)
HOST = SshHost(alias="builderfleet", file="150-builderfleet.conf", options=OPTIONS)
BLOCK = ssh_config.Host(HOST.alias, OPTIONS).render().decode()
CORP, LATER, ROOTS = (
    "/etc/ssh/ssh_config.d/000-corp.conf",
    "/etc/ssh/ssh_config.d/fips_ssh_config",
    "/var/root/.ssh/config",
)

HARDENED = """Host *
  Ciphers aes128-gcm@openssh.com
  HostKeyAlgorithms ecdsa-sha2-nistp256
  KexAlgorithms ecdh-sha2-nistp256
  MACs hmac-sha2-256
  PubkeyAcceptedAlgorithms ecdsa-sha2-nistp256
  CASignatureAlgorithms ecdsa-sha2-nistp256
"""
EVERYTHING = """Host *
  AddKeysToAgent yes
  AddressFamily inet6
  BindAddress 192.0.2.1
  CanonicalizeHostname yes
  ConnectionAttempts 9
  ControlMaster auto
  ControlPath /tmp/%C
  ControlPersist 600
  ExitOnForwardFailure yes
  FingerprintHash md5
  ForkAfterAuthentication yes
  ForwardAgent yes
  ForwardX11 yes
  GlobalKnownHostsFile /etc/ssh/corp_known_hosts
  IdentityAgent /tmp/agent
  KnownHostsCommand /usr/bin/false
  LocalForward 8080 127.0.0.1:80
  NoHostAuthenticationForLocalhost yes
  PermitLocalCommand yes
  PKCS11Provider /usr/lib/ssh-keychain.dylib
  PreferredAuthentications password
  ProxyCommand nc --proxy-auth me:SECRET proxy %h %p
  PubkeyAuthentication no
  RemoteCommand tmux
  RequestTTY force
  RevokedHostKeys /nowhere
  ServerAliveInterval 0
  SessionType none
  StdinNull yes
  StrictHostKeyChecking no
  Tunnel yes
  UpdateHostKeys yes
  User me
  UserKnownHostsFile /dev/null
  VerifyHostKeyDNS yes
"""


@pytest.fixture(params=["the machine's", "the newest"])
def ssh_sandbox(dash_sandbox: Sandbox, request: pytest.FixtureRequest) -> Sandbox:
    """A sandbox whose ssh is this machine's, or that of the newest release that can be had."""
    if request.param == "the newest":
        try:
            newest = releases.release("newest")
        except GuestError as error:
            pytest.skip(f"no other ssh can be had: {error}")
        if newest.own:
            pytest.skip("no newer ssh can be had than this machine's")
        within(dash_sandbox, newest)
    return dash_sandbox


def within(sandbox: Sandbox, release: Release) -> None:
    """Put a release's ssh, with what it is linked with, into a sandbox."""
    place = sandbox / "/opt/ssh"
    place.mkdir(parents=True)
    for file in (release.loader, release.root / "usr/bin/ssh", *release.libraries("usr/bin/ssh")):
        shutil.copy(file, place / file.name)
    loader = f"/opt/ssh/{release.loader.name}"
    sandbox.double("/usr/bin/ssh", f'exec {loader} --library-path /opt/ssh --argv0 ssh /opt/ssh/ssh "$@"')


def lay(sandbox: Sandbox, files: Mapping[str, str]) -> None:
    for path, content in {SSH_CONFIG.path: STOCK_SSH_CONFIG, HOST.path: BLOCK, **files}.items():
        (sandbox / path).parent.mkdir(parents=True, exist_ok=True)
        (sandbox / path).write_text(content)
        (sandbox / path).chmod(0o644)


def steps(sandbox: Sandbox) -> list[Step]:
    """What is to happen on a Mac whose files these are, from what the probe hears of them."""
    probe = probe_of(HOST.questions())
    ran = sandbox.run(shell.wrap(probe.script("token")))
    assert ran.returncode == 0, ran.stderr
    answers: Answers = probe.answers(Transcript.parse(ran.stdout, "token"))
    return list(HOST.changes(answers))


def test_on_a_stock_mac_our_block_is_in_effect(ssh_sandbox: Sandbox) -> None:
    lay(ssh_sandbox, {})
    assert steps(ssh_sandbox) == []


@pytest.mark.parametrize("foreign", [HARDENED, EVERYTHING, "Host *\n  ProxyJump bastion.corp\n"])
def test_what_comes_later_is_not_inherited(ssh_sandbox: Sandbox, foreign: str) -> None:
    lay(ssh_sandbox, {LATER: foreign})
    assert steps(ssh_sandbox) == []


def test_what_only_newer_sshs_know_is_inherited_and_said(ssh_sandbox: Sandbox) -> None:
    lay(ssh_sandbox, {LATER: "Host *\n  IgnoreUnknown ChannelTimeout\n  ChannelTimeout session=5m\n"})
    if "channeltimeout" in ssh_sandbox.run("ssh -G x").stdout:
        (blocked,) = steps(ssh_sandbox)
        assert isinstance(blocked, Blocked)
        assert blocked.summary.startswith(f"{LATER}, line 3, channeltimeout session=5m, holds for builderfleet")
        assert "!builderfleet" in blocked.remedy
    else:
        assert steps(ssh_sandbox) == []


HARMLESS = {
    "ignoreunknown", "obscurekeystroketiming", "warnweakcrypto", "channeltimeout",  # the last is not: see `_NOT_PINNED`
    "canonicalizefallbacklocal", "canonicaldomains", "canonicalizemaxdots", "canonicalizepermittedcnames",  # it does not
    "casignaturealgorithms", "certificatefile", "hostbasedacceptedalgorithms", "requiredrsasize", "logverbose",
    "compression", "escapechar", "enableescapecommandline", "forwardx11timeout", "forwardx11trusted", "gatewayports",
    "gssapiauthentication", "gssapidelegatecredentials", "gssapikexalgorithms", "gssapikeyexchange",
    "gssapirenewalforcesrekey", "gssapitrustdns", "hashknownhosts", "host", "hostbasedauthentication", "enablesshkeysign",
    "ipqos", "kbdinteractiveauthentication", "loglevel", "numberofpasswordprompts", "passwordauthentication",
    "permitremoteopen", "proxyusefdpass", "rekeylimit", "securitykeyprovider", "streamlocalbindmask",
    "streamlocalbindunlink", "syslogfacility", "tcpkeepalive", "tunneldevice", "visualhostkey", "xauthlocation",
}  # fmt: skip
"""What others may say: it neither keeps the connection from coming about nor weakens it, the rest being pinned."""


def test_whatever_ssh_knows_is_pinned_or_harmless(ssh_sandbox: Sandbox) -> None:
    lay(ssh_sandbox, {})
    told = ssh_sandbox.run("ssh -G builderfleet").stdout
    pinned_here = {keyword.lower() for keyword, _value in OPTIONS}
    assert {line.split()[0].lower() for line in told.splitlines()} - pinned_here <= HARMLESS
    assert not pinned_here & HARMLESS


@dataclass(frozen=True)
class Overridden:
    """What others wrote, what the message names, and what it does not show."""

    name: str
    files: Mapping[str, str]
    named: tuple[str, ...]
    remedy: str = r"Except builderfleet from that block, as in `Host \* !builderfleet`"
    hidden: str = "SECRET"

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


OVERRIDDEN = [
    Overridden("an earlier ProxyCommand", {CORP: "Host *\n  ProxyCommand nc --auth me:SECRET %h\n"},
               (f"{CORP}, line 2, proxycommand$",)),
    Overridden("an earlier ProxyJump", {CORP: "\n# corp\nHost *\n  ProxyJump bastion\n"}, (f"{CORP}, line 4, proxycommand",)),
    Overridden("a baseline", {CORP: HARDENED},
               ("line 2, ciphers aes128-gcm@", "line 3, hostkeyalgorithms ecdsa", "line 4, kex", "line 5, macs", "line 6, pub")),
    Overridden("another port of root's own", {ROOTS: "Host builderfleet\n  Port 22\n"}, (f"{ROOTS}, line 2, port 22",),
               "root's own configuration"),
    Overridden("a Match of root's own", {ROOTS: "Match exec false\n Port 1\nMatch exec true\n\tport=23\n"},
               (f"{ROOTS}, line 4, port 23",)),
    Overridden("what root includes", {ROOTS: "Host x\n Include no\nHost *\n Include more\n",
                                      "/var/root/.ssh/more": "Host *\n PubkeyAuthentication no\n"},
               ("/var/root/.ssh/more, line 2, pubkeyauthentication (no|false)",)),
    Overridden("weaker checks", {CORP: "Host *\n UserKnownHostsFile /dev/null\n StrictHostKeyChecking no\n"},
               ("host keys are not checked", "line 2, userknownhostsfile /dev/null", "line 3, stricthostkeychecking (no|false)")),
    Overridden("before the Include", {SSH_CONFIG.path: f"ServerAliveInterval 0\n{STOCK_SSH_CONFIG}"},
               (f"{SSH_CONFIG.path}, line 1, serveraliveinterval 0",)),
    Overridden("the first of two", {CORP: "Host *\n Port 1\n", ROOTS: "Host *\n Port 2\n"}, (f"{ROOTS}, line 2, port 2",)),
    Overridden("before our block is there", {CORP: "Host *\n RequestTTY force\n", HOST.path: "", LATER: EVERYTHING},
               (f"because it reads another line first: {CORP}, line 2, requesttty force$",)),
]  # fmt: skip


@pytest.mark.parametrize("case", OVERRIDDEN, ids=str)
def test_what_is_read_first_is_named_with_its_line(case: Overridden, make_sandbox: MakeSandbox) -> None:
    said: set[tuple[str, str]] = set()
    sandbox = make_sandbox("dash")
    lay(sandbox, case.files)
    if case.files.get(HOST.path) == "":
        (sandbox / HOST.path).unlink()
    (step,) = steps(sandbox)
    assert isinstance(step, Blocked)
    said.add((step.summary, step.remedy))
    for named in case.named:
        assert re.search(named, step.summary), step.summary
    assert re.search(case.remedy, step.remedy), step.remedy
    assert case.hidden not in step.summary + step.remedy


@dataclass(frozen=True)
class Fine:
    """What others wrote that does no harm, or that our own change puts right."""

    name: str
    files: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


WRITE = "write ssh host builderfleet"
FINE = [
    Fine("the same value", {CORP: "Host *\n  BatchMode yes\n"}),
    Fine("another host", {CORP: "Host *.corp\n  ProxyJump bastion\n", ROOTS: "Host * !builderfleet\n  Port 22\n"}),
    Fine("one more key", {CORP: "Host *\n  IdentityFile ~/.ssh/corp\n"}),
    Fine("what nobody minds", {ROOTS: "Host *\n  Compression yes\n  SendEnv LANG\n  LogLevel ERROR\n"}),
    Fine("our block was edited", {HOST.path: BLOCK.replace("31422", "22")}, (WRITE,)),
    Fine("our block is no configuration", {HOST.path: "rubbish\n"}, (WRITE,)),
    Fine("a keyword is missing in ours", {HOST.path: BLOCK.replace("  ProxyCommand none\n", ""), LATER: EVERYTHING}, (WRITE,)),
]  # fmt: skip


@pytest.mark.parametrize("case", FINE, ids=str)
def test_what_is_ours_is_put_right_and_the_rest_let_be(case: Fine, ssh_sandbox: Sandbox) -> None:
    lay(ssh_sandbox, case.files)
    found = steps(ssh_sandbox)
    assert [step.summary for step in found] == list(case.changes)
    assert all(isinstance(step, Change) for step in found)


# As OpenSSH 9.2 and 10.6 word them, the second in other words where there are two; 8.7 to 9.1 word them as 9.2 does.
COMPLAINTS = [
    ("UseKeychain yes", "line 1: Bad configuration option: usekeychain"),
    ("Port abc", "line 1: Bad port 'abc'"),
    ("Host *\nPort", 'line 2: no argument after keyword "port"'),
    ("Port 22 33", "line 1: keyword port extra arguments at end of line"),
    ("StrictHostKeyChecking maybe", 'line 1: unsupported option "maybe"'),
    ("Ciphers nope", "line 1: Bad SSH2 cipher spec 'nope'"),
    ('Port "22', "line 1: invalid quotes"),
    ("Match foo", "line 1: Bad Match condition|line 1: missing argument for Match 'foo'"),
]


@pytest.mark.parametrize(("line", "said"), COMPLAINTS)
@pytest.mark.parametrize("path", [CORP, ROOTS])
def test_a_line_that_ssh_refuses_is_named(ssh_sandbox: Sandbox, path: str, line: str, said: str) -> None:
    lay(ssh_sandbox, {path: f"{line}\n"})
    (step,) = steps(ssh_sandbox)
    assert isinstance(step, Blocked)
    refused = f"root's ssh refuses to run, and so Nix gets to no builder: {path}, "
    assert step.summary in {refused + words for words in said.split("|")}
    assert step.remedy == "Correct or remove that line: it is not builderfleet's"


def test_a_file_that_ssh_does_not_trust_is_named(ssh_sandbox: Sandbox) -> None:
    lay(ssh_sandbox, {ROOTS: "Host x\n"})
    (ssh_sandbox / ROOTS).chmod(0o666)
    (step,) = steps(ssh_sandbox)
    assert isinstance(step, Blocked) and f"Bad owner or permissions on {ROOTS}" in step.summary


def test_options_that_ssh_refuses_are_said_before_anything_is_written(ssh_sandbox: Sandbox) -> None:
    lay(ssh_sandbox, {})
    probe = probe_of((wrong := SshHost(alias="x", file="x.conf", options=(("Prot", "22"),))).questions())
    ran = ssh_sandbox.run(shell.wrap(probe.script("token")))
    (step,) = wrong.changes(probe.answers(Transcript.parse(ran.stdout, "token")))
    assert isinstance(step, Blocked) and "Bad configuration option: prot" in step.summary


def test_a_trace_that_is_worded_otherwise_names_no_line() -> None:
    assert list(ssh_config.settings("debug1: Now reading /x\n", "2 port /x\n")) == []


def test_the_script_is_clean() -> None:
    script = HOST.effect.requests()[2].words[3]
    for command in (["dash", "-n"], ["bash", "--posix", "-n"], ["shellcheck", "-s", "sh", "-"]):
        checked = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
