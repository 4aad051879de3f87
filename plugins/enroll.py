# SPDX-License-Identifier: GPL-3.0-or-later
"""`builderfleet enroll`: adds Macs to the inventory, each in the groups that its own answers put it in.

Each Mac is asked over OpenSSH, with the user's own configuration of it, as the user who logs in; nothing is written on
it. What was edited is read by Ansible before the inventory is replaced.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import secrets
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from . import inventory_file
from .edited_file import EditedFile, FileProblem
from .host_key import HostKey, KeyProblem, shown
from .inventory_file import MACS, EditError
from .openssh import Destination
from .plugin_utils import shell
from .plugin_utils.asking import Answers, Unknown, probe_of
from .plugin_utils.connection import not_connected
from .plugin_utils.outcome import Outcome, exit_code
from .plugin_utils.questions.mac import Mac, MacFacts
from .plugin_utils.questions.nix import NixVersion
from .plugin_utils.questions.power import InternalBattery
from .plugin_utils.report import Result, table, worse
from .plugin_utils.resources.linux_builder import desired
from .plugin_utils.resources.mac_requirements import MacRequirements
from .plugin_utils.transcript import Transcript, TranscriptError
from .shared_inventory import InventoryError, InventoryHost, load

ABOUT = "Add Macs to the inventory: ask each what it is, and put it into the right groups."
LAPTOPS, DESKTOPS, INTEL = "laptops", "desktops", "intel"
ASK_LIMIT = 60  # seconds for one Mac; the slowest question gives up after 20
AT_ONCE = 32

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_ADDRESS = re.compile(r"[A-Za-z0-9:_][A-Za-z0-9.:%_-]*")
_GROUP = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Nobody types here, nothing but the answers is wanted, and no master connection may be left behind with our pipes.
_SSH_OPTIONS = (
    "BatchMode=yes",
    "ConnectTimeout=10",
    "ControlMaster=no",
    "ClearAllForwardings=yes",
    "RemoteCommand=none",
)
PROBE = probe_of((Mac(), NixVersion(), InternalBattery()))


@dataclass(frozen=True, slots=True)
class Host:
    """A Mac as it is named on the command line."""

    name: str
    address: str = ""

    @classmethod
    def parse(cls, text: str) -> Host:
        name, equals, address = text.partition("=")
        if not _NAME.fullmatch(name) or (equals and not _ADDRESS.fullmatch(address)):
            raise argparse.ArgumentTypeError(
                f"wanted NAME or NAME=ADDRESS, such as anna-macbook=192.0.2.17, saw {text!r}: a name has letters, "
                "digits, dots, hyphens and underscores; the user goes to --user, a port to ~/.ssh/config"
            )
        return cls(name, address)


class Refusal(Exception):
    """A Mac that is not enrolled. The text says why and what to do; `unknown_key` that ssh does not know its host key."""

    def __init__(self, message: str, outcome: Outcome = Outcome.FAILED, *, unknown_key: bool = False) -> None:
        super().__init__(message)
        self.outcome, self.unknown_key = outcome, unknown_key


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("hosts", nargs="+", type=Host.parse, metavar="HOST", help="NAME or NAME=ADDRESS")
    parser.add_argument("--group", type=_group, help=f"instead of {LAPTOPS} or {DESKTOPS}, such as canary")
    parser.add_argument(
        "--new-group", action="store_true", help="make that group, which the inventory does not have yet"
    )
    parser.add_argument(
        "--accept-key",
        action="append",
        type=_fingerprint,
        default=[],
        metavar="SHA256:...",
        help="take this host key, which is not known yet, into known_hosts; again for each Mac",
    )
    parser.add_argument("--user", help="the account on the Macs, if it is not the one that ssh takes by itself")
    parser.add_argument("--inventory", type=Path, default=Path("inventory/fleet.yml"), help="default: %(default)s")
    parser.add_argument(
        "--ssh-option",
        action="extend",
        type=shlex.split,
        default=[],
        metavar="WORDS",
        help="words for ssh, kept as ansible_ssh_common_args; again and again: --ssh-option='-o ProxyJump=bastion'",
    )
    parser.add_argument("--dry", action="store_true", help="show what would be written, and write nothing")


def _group(text: str) -> str:
    if not _GROUP.fullmatch(text):
        raise argparse.ArgumentTypeError(f"wanted a group's name of letters, digits and underscores, saw {text!r}")
    return text


def _fingerprint(text: str) -> str:
    if not re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}=?", text):
        raise argparse.ArgumentTypeError(f"wanted a fingerprint as ssh-keygen -l says it, SHA256:..., saw {text!r}")
    return text.rstrip("=")


def run(given: argparse.Namespace) -> int:
    """Run the command; the return value is its exit code."""
    names = [host.name for host in given.hosts]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        print(f"failed: {', '.join(twice)} is named more than once: name each Mac once", file=sys.stderr)
        return Outcome.FAILED.code
    try:
        file = EditedFile.read(given.inventory)
        known = _known(given.inventory)
        there = inventory_file.groups(file.text)
        if given.group and given.group not in (*there, LAPTOPS, DESKTOPS, INTEL) and not given.new_group:
            raise EditError(_no_such_group(given.group, given.inventory, there))
    except (FileProblem, InventoryError, EditError) as problem:
        print(f"failed: {problem}", file=sys.stderr)
        return Outcome.FAILED.code
    enrollment = Enrollment(file, known, given.group, given.user, tuple(given.ssh_option), frozenset(given.accept_key))
    results = enrollment.enroll(given.hosts)
    try:
        changed = Outcome.WOULD_CHANGE if given.dry else Outcome.CHANGED
        results |= {name: Result(changed, remark) for name, remark in enrollment.read_back().items()}
        print(file.diff(enrollment.text), end="")
        for name, result in enrollment.accept(given.dry).items():
            results[name] = result if name not in results else worse(results[name], result)
        if enrollment.added and not given.dry:
            file.replace(enrollment.text)
    except (FileProblem, InventoryError, EditError, KeyProblem) as problem:
        print(f"failed: {problem}", file=sys.stderr)
        return Outcome.FAILED.code
    print("\n" + "\n".join(table({name: results[name] for name in names})))
    return exit_code(result.outcome for result in results.values())


def _no_such_group(name: str, inventory: Path, there: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, there, 1)
    meant = f"{near[0]} was meant? " if near else ""
    return f"{inventory} has no group {name}, it has {', '.join(there) or 'none'}. {meant}--new-group makes a new one"


def _known(inventory: Path) -> dict[str, InventoryHost]:
    return {host.name: host for host in load([str(inventory)])}


class Enrollment:
    """An inventory file to which Macs are added: `text` as it is to be, `added` with what each Mac answered."""

    def __init__(
        self,
        file: EditedFile,
        known: Mapping[str, InventoryHost],
        group: str | None,
        user: str | None,
        ssh: tuple[str, ...] = (),
        accepted: frozenset[str] = frozenset(),
    ) -> None:
        self.file, self.known, self.group, self.user, self.ssh, self.accepted = file, known, group, user, ssh, accepted
        self.text = file.text
        self.added: dict[str, tuple[tuple[str, ...], Answers]] = {}
        self._keys: dict[str, tuple[Destination, HostKey]] = {}  # that are to be taken, by the Mac's name

    def enroll(self, hosts: Sequence[Host]) -> dict[str, Result]:
        """Ask all at once, add one by one. The results are those of the Macs that are not added."""
        results = {}
        heard = []
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            for host in hosts:
                if refused := self._named_before(host, hosts):
                    results[host.name] = refused
                else:
                    heard.append((host, pool.submit(self._ask, host)))
        for host, future in heard:
            try:
                if host.name in self.known:
                    future.result()
                    results[host.name] = Result(Outcome.CONVERGED, self._where(host.name))
                else:
                    self._add(host, future.result())
            except Refusal as refusal:
                results[host.name] = Result(refusal.outcome, str(refusal))
        return results

    def accept(self, dry: bool) -> dict[str, Result]:
        """Take the keys that were accepted into known_hosts, of the Macs that are enrolled. Raises KeyProblem."""
        found = {}
        for name, (destination, key) in self._keys.items():
            if name in self.added or name in self.known:
                if not dry:
                    key.remember(destination)
                outcome = Outcome.WOULD_CHANGE if dry else Outcome.CHANGED
                found[name] = Result(outcome, f"{key.kind} host key {key.fingerprint} accepted")
        return found

    def _named_before(self, host: Host, hosts: Sequence[Host]) -> Result | None:
        """What there is to say of a Mac before it is asked: that it is known, or that another one has its address."""
        if host.name in self.known:
            wrong = self._differs(host, self.known[host.name])
            if wrong or not self.accepted:
                text = f"{self._where(host.name)}{f', {wrong}: edit it there' if wrong else ''}"
                return Result(Outcome.FAILED if wrong else Outcome.CONVERGED, text)
            return None
        address = self._address(host)
        others = {each.name: self._address(each) for each in hosts if each.name != host.name}
        others |= {name: each.address for name, each in self.known.items()}
        same = [name for name, other in others.items() if other.lower() == address.lower()]
        if same:
            text = f"{address} is the address of {', '.join(same)} as well: one Mac has one name"
            return Result(Outcome.FAILED, text)
        return None

    def _differs(self, host: Host, known: InventoryHost) -> str:
        """What was said of a Mac that is otherwise in the inventory."""
        if host.address and host.address != known.address:
            return f"with the address {known.address} and not {host.address}"
        if self.group and self.group not in known.groups:
            return f"and not in {self.group}"
        if self.user and self.user != known.connection.get("ssh_user"):
            return f"with the user {known.connection.get('ssh_user', 'that ssh takes by itself')} and not {self.user}"
        return ""

    @staticmethod
    def _address(host: Host) -> str:
        return host.address or host.name

    def _destination(self, host: Host) -> Destination:
        if host.name in self.known:
            return Destination(self.known[host.name].address, self.known[host.name].ssh_words)
        return Destination(self._address(host), (*self.ssh, *(("-l", self.user) if self.user else ())))

    def _ask(self, host: Host) -> Answers:
        destination = self._destination(host)
        try:
            return ask([*destination.words, destination.name])
        except Refusal as refusal:
            key = shown(destination) if refusal.unknown_key else None
            if key is None:
                raise
            if key.fingerprint not in self.accepted:
                raise Refusal(_accept_it(key)) from refusal
        self._keys[host.name] = destination, key
        with key.known() as words:
            return ask([*words, *destination.words, destination.name])

    def _where(self, name: str) -> str:
        line = inventory_file.line_of_host(self.file.text, name)
        groups = ", ".join(group for group in self.known[name].groups if group != MACS) or MACS
        place = f"{self.file.path}{f', line {line}' if line else ', in a range'}"
        return f"it is in the inventory already ({place}; {groups})"

    def _add(self, host: Host, answers: Answers) -> None:
        try:
            mac = answers[Mac()]
            if mac.kernel != "Darwin":
                raise Refusal(f"this is no Mac: its kernel is {mac.kernel}. Only Macs can be enrolled")
            groups: tuple[str, ...] = (self.group or (LAPTOPS if answers[InternalBattery()] else DESKTOPS),)
        except Unknown as unknown:
            raise Refusal(f"could not tell what kind of Mac this is: {unknown}. Try again") from unknown
        if not mac.apple_silicon:
            groups = tuple(dict.fromkeys((*groups, INTEL)))
        given = {
            "ansible_host": host.address,
            "ansible_user": self.user,
            "ansible_ssh_common_args": shlex.join(self.ssh),
        }
        variables = {name: value for name, value in given.items() if value}
        try:
            self.text = inventory_file.add_host(self.text, host.name, groups, variables)
        except EditError as error:
            raise Refusal(f"{self.file.path} could not be edited: {error}") from error
        self.added[host.name] = (groups, answers)

    def read_back(self) -> dict[str, str]:
        """The remark on each Mac that was added, from the inventory as Ansible reads it now.

        Raises InventoryError, and EditError when Ansible makes something else of the edit than what was meant.
        """
        if not self.added:
            return {}
        now = self._load_edited()
        for name, host in self.known.items():
            if name not in now or set(now[name].groups) != set(host.groups):
                raise EditError(f"{self.file.path}: with the edit, {name} would be in other groups: edit it by hand")
        remarks = {}
        for name, (groups, answers) in self.added.items():
            if name not in now or not {MACS, *groups} <= set(now[name].groups):
                raise EditError(
                    f"{self.file.path}: Ansible does not see {name} in {', '.join(groups)}: edit it by hand"
                )
            lines = [f"{', '.join(groups)}: {_described(answers[Mac()])}", *_warnings(now[name], answers)]
            remarks[name] = "\n".join(lines)
        return remarks

    def _load_edited(self) -> dict[str, InventoryHost]:
        """Ansible's view of the edited file, from a copy that stands among links to everything beside the file."""
        path = self.file.path.resolve()
        with tempfile.TemporaryDirectory() as directory:
            for each in path.parent.iterdir():
                if each.name != path.name:
                    (Path(directory) / each.name).symlink_to(each)
            edited = Path(directory) / path.name
            edited.write_bytes(self.text.encode("utf-8"))
            return _known(edited)


def ask(destination: Sequence[str]) -> Answers:
    """What a Mac answers to PROBE, over ssh with these words. Raises Refusal."""
    token = secrets.token_hex(8)
    options = [word for option in _SSH_OPTIONS for word in ("-o", option)]
    # ssh takes what it hears first: our options come before the configuration's, and the given ones before ours.
    *given, host = destination
    try:
        done = subprocess.run(
            ["ssh", *given, "-T", *options, host, "/bin/sh", "-s"],
            input=shell.wrap(PROBE.script(token)).encode(),
            capture_output=True,
            timeout=ASK_LIMIT,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired as error:
        raise Refusal(f"no answer within {ASK_LIMIT} seconds", Outcome.UNREACHABLE) from error
    except OSError as error:
        raise Refusal(f"wanted to run ssh, saw: {error}. Install OpenSSH's client") from error
    errors = done.stderr.decode("utf-8", "replace").strip()
    try:
        return PROBE.answers(Transcript.parse(done.stdout.decode("utf-8", "replace"), token))
    except TranscriptError as error:
        if done.returncode == 255:
            found = not_connected(errors)
            by_hand = f"\nsee that `{_by_hand(given, host)}` works" if found.outcome is Outcome.FAILED else ""
            unknown = "host key verification failed" in errors.lower() and "HAS CHANGED" not in errors
            raise Refusal(f"{found.remark}{by_hand}", found.outcome, unknown_key=unknown) from error
        raise Refusal(f"{error}; ssh ended with status {done.returncode}\n{errors}".rstrip()) from error


def _accept_it(key: HostKey) -> str:
    return (
        f"its host key is not known; it shows the {key.kind} key {key.fingerprint}\nlook on the Mac itself whether "
        f"`ssh-keygen -lf /etc/ssh/ssh_host_{key.kind.split('-')[0].lower()}_key.pub` says the same, then run this again with "
        f"--accept-key {key.fingerprint}"
    )


def _by_hand(given: Sequence[str], host: str) -> str:
    return shlex.join(["ssh", "-o", "BatchMode=yes", *given, host, "true"])


def _described(mac: MacFacts) -> str:
    processor = "Apple silicon" if mac.apple_silicon else "Intel"
    return f"{processor}, macOS {mac.version_text}, {mac.cores} cores, {mac.memory / 2**30:.0f}GiB"


def _warnings(host: InventoryHost, answers: Answers) -> list[str]:
    """Why this Mac would be refused by a run with the variables that it now has, a line each."""
    resources, wrong = desired(host.variables)
    # It was asked as whoever logs in; a run is root.
    as_root = answers.supposing({Mac(): replace(answers[Mac()], uid=0)})
    try:
        refused = [
            str(each)
            for resource in resources
            if isinstance(resource, MacRequirements)
            for each in resource.refusals(as_root)
        ]
    except Unknown as unknown:
        refused = [f"could not tell whether it can have a builder: {unknown}"]
    return [f"warning: {each}" for each in (*map(str, wrong), *refused)]
