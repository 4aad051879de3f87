# SPDX-License-Identifier: GPL-3.0-or-later
"""What a simulated Mac promises to the tests that use it: honesty, faults, power, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.simulated_mac import Lab, SimulatedMac, publish

from .conftest import ON_A_MAC

pytestmark = pytest.mark.skipif(ON_A_MAC, reason="about simulated Macs")
REPOSITORY = Path(__file__).parents[2]
JOB = """<plist version="1.0"><dict><key>Label</key><string>org.example.job</string>
<key>ProgramArguments</key><array><string>/bin/sh</string><string>-c</string><string>{command}</string></array>
<key>KeepAlive</key><true/></dict></plist>"""
DERIVATION = (
    'derivation { name = "x"; system = "aarch64-darwin"; builder = "/bin/sh"; args = ["-c" "echo made > $out"]; }'
)
INSTALL = "cd /tmp && curl -fsS -o nix-installer {url} && chmod +x nix-installer && ./nix-installer install macos --no-confirm"


@pytest.fixture
def mac(lab: Lab) -> Iterator[SimulatedMac]:
    mac = lab.start("simulation")
    yield mac
    mac.stop()


def ssh(mac: SimulatedMac, command: str) -> subprocess.CompletedProcess[str]:
    words = ["ssh", "-F", str(mac.ssh_config), "-o", "ConnectTimeout=3", mac.name, command]
    return subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=30, check=False)


def until(true: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.05)


GNU = (
    "sed -i s/a/b/ /tmp/f", "sed 's/a\\+/b/' /etc/hosts", "stat -c %a /etc/hosts", "date -d now", "grep -P a /etc/hosts",
    "base64 -w0 /etc/hosts", "cp --parents /etc/hosts /tmp", "cp -t /tmp /etc/hosts", "ln -T /etc/hosts /tmp/l",
    "env --chdir=/ true", "env --ignore-environment true",
    "mktemp --tmpdir", "head -n -1 /etc/hosts", "find -name x", "find /tmp -printf %p", "ls /tmp -l",
    "rm --force /tmp/x", "sort --unique /etc/hosts", "sleep 1s", "install -D a b", "readlink -e /tmp", "ps --forest",
    "touch -d now /tmp/x", "tail --lines=1 /etc/hosts", "mkdir --parents /tmp/x", "chmod --reference=/tmp /etc",
)  # fmt: skip
UNKNOWN = (
    "launchctl bootshell", "diskutil eraseDisk x", "dscl . -search /Users a b", "sysctl -w a=b", "plutil -frobnicate x",
    "security unlock-keychain", "sfltool resetbtm", "pmset sleepnow", "tmutil startbackup", "softwareupdate -l",
)  # fmt: skip


@pytest.mark.parametrize("command", [*GNU, *UNKNOWN])
def test_what_is_not_modelled_is_refused_and_written_down(command: str, target: object, lab: Lab) -> None:
    mac = lab.mac("contract")
    done = mac.run(command, check=False)
    assert done.returncode == 64, done
    assert [line for line in mac.unmodelled() if line.startswith(command.split()[0])], mac.unmodelled()
    mac.forget_unmodelled()


def test_the_stub_of_python_counts_as_a_failure(mac: SimulatedMac) -> None:
    done = mac.run("python3 --version", check=False)
    assert done.returncode == 1
    assert "No developer tools were found" in done.stderr
    assert mac.unmodelled() == ["python3 --version: dialog shown"]


def test_a_plist_key_that_is_not_modelled_is_refused(mac: SimulatedMac) -> None:
    text = JOB.format(command="true").replace("<key>KeepAlive</key>", "<key>WatchPaths</key>")
    mac.write("/Library/LaunchDaemons/org.example.job.plist", text.encode())
    mac.run("launchctl bootstrap system /Library/LaunchDaemons/org.example.job.plist", check=False)
    assert "WatchPaths" in mac.unmodelled()[0]


def test_commands_and_calls_are_counted(mac: SimulatedMac) -> None:
    assert mac.commands() == []
    assert ssh(mac, "sw_vers; uname").returncode == 0
    assert len(mac.commands()) == 1
    assert [call.argv[0] for call in mac.calls()] == ["sw_vers", "uname"]
    assert {call.uid for call in mac.calls()} == {501}


def test_every_write_is_seen_and_none_is_made_up(mac: SimulatedMac) -> None:
    mark = mac.mark()
    mac.run("sw_vers; cat /etc/hosts; ls -lR /etc; sudo -n true")
    assert mac.writes_since(mark) == []
    mac.run("echo '# x' >> /etc/zshrc; chmod 600 /etc/shells; : > /etc/new; rm /etc/paths; launchctl disable system/x")
    assert [line.replace("/private", "") for line in mac.writes_since(mark)] == [
        "created /etc/new", "removed /etc/paths", "changed /etc/shells", "changed /etc/zshrc",
        "created /var/db/com.apple.xpc.launchd/disabled.plist",
    ]  # fmt: skip


def test_a_job_is_kept_alive_and_slowed_down(mac: SimulatedMac) -> None:
    mac.write("/Library/LaunchDaemons/org.example.job.plist", JOB.format(command="exit 1").encode())
    mac.run("launchctl bootstrap system /Library/LaunchDaemons/org.example.job.plist")
    until(lambda: mac.spawns("org.example.job") >= 3)
    assert mac.spawns("org.example.job") < 6, "ten seconds, scaled to one, lie between two starts"
    job = mac.job("org.example.job")
    assert job and job["runs"] == mac.spawns("org.example.job") and job["state"] in ("spawn scheduled", "running")


def test_reboot_keeps_the_disk_and_forgets_the_rest(mac: SimulatedMac) -> None:
    mac.write("/Library/LaunchDaemons/org.example.job.plist", JOB.format(command="exec sleep 99").encode())
    mac.run("launchctl bootstrap system /Library/LaunchDaemons/org.example.job.plist; echo nix > /etc/synthetic.conf")
    mac.run("touch /var/run/volatile /tmp/volatile")
    before = mac.run("sysctl -n kern.bootsessionuuid").stdout
    mac.reboot()
    job = mac.job("org.example.job")
    assert job and job["runs"] == 1 and mac.spawns("org.example.job") == 2
    assert mac.run("sysctl -n kern.bootsessionuuid").stdout != before
    assert mac.run("ls -d /nix /var/run/volatile /tmp/volatile", check=False).stdout == "/nix\n"


def test_power_cut_ends_everything_at_once(mac: SimulatedMac) -> None:
    mac.run(
        "echo kept > /etc/kept; trap '' TERM; (sleep 99; echo survived > /etc/survived) </dev/null >/dev/null 2>&1 &"
    )
    mac.power_cut()
    assert not mac.on
    mac.power_on()
    assert mac.read("/etc/kept") == b"kept\n"
    assert "sleep 99" not in mac.run("ps -axo command").stdout


def test_asleep_answers_nobody(mac: SimulatedMac) -> None:
    mac.break_("asleep")
    done = ssh(mac, "true")
    assert done.returncode == 255 and ("timed out" in done.stderr or "No route" in done.stderr), done
    mac.mend("asleep")
    assert ssh(mac, "true").returncode == 0


def test_save_restore_and_reset(mac: SimulatedMac) -> None:
    factory = mac.snapshot(ignore=["/private/etc/ssh/ssh_host_*"])
    mac.run("echo saved > /etc/state")
    mac.save("one")
    saved = mac.snapshot()
    mac.run("echo other > /etc/state; dscl . -create /Users/x UniqueID 600")
    mac.restore("one")
    assert mac.snapshot() == saved
    mac.reset()
    assert mac.snapshot(ignore=["/private/etc/ssh/ssh_host_*"]) == factory


def test_sudo_faults(mac: SimulatedMac) -> None:
    mac.break_("sudo-refused")
    assert ssh(mac, "sudo -n true").returncode == 1
    mac.mend("sudo-refused")
    mac.break_("sudo-password")
    assert "a password is required" in ssh(mac, "sudo -n true").stderr
    mac.mend("sudo-password")
    assert ssh(mac, "sudo -n true").returncode == 0


def test_login_noise(mac: SimulatedMac) -> None:
    mac.break_("motd")
    assert ssh(mac, "echo answer").stdout.splitlines()[-1] == "answer"
    assert len(ssh(mac, "echo answer").stdout.splitlines()) == 2
    mac.mend("motd")
    assert ssh(mac, "echo answer").stdout == "answer\n"
    mac.break_("sshd-rubbish")
    assert "answer" not in ssh(mac, "echo answer").stdout
    mac.mend("sshd-rubbish")
    assert ssh(mac, "echo answer").stdout == "answer\n"


def test_launchd_faults(mac: SimulatedMac) -> None:
    path = "/Library/LaunchDaemons/org.example.job.plist"
    mac.write(path, JOB.format(command="exec sleep 99").encode())
    mac.break_("bootstrap-5", 2)
    load = f"launchctl bootstrap system {path}"
    assert [mac.run(load, check=False).returncode for _ in range(3)] == [5, 5, 0]
    mac.break_("bootout-slow", 1)
    mac.run("launchctl bootout system/org.example.job")
    assert mac.run("launchctl print system/org.example.job", check=False).returncode == 0
    until(lambda: mac.job("org.example.job") is None)
    mac.break_("login-item-off", "org.example.job")
    mac.reboot()
    assert mac.job("org.example.job") is None
    assert "disallowed" in mac.run("sfltool dumpbtm").stdout
    assert mac.run(load, check=False).returncode == 0


def test_directory_and_disk_faults(mac: SimulatedMac) -> None:
    mac.break_("dscl-140", 1)
    create = "dscl . -create /Users/x UniqueID 600"
    assert [mac.run(create, check=False).returncode for _ in range(2)] == [140, 0]
    mac.break_("no-full-disk-access")
    database = "head -c1 '/Library/Application Support/com.apple.TCC/TCC.db'"
    assert mac.run(database, check=False).returncode != 0
    assert mac.run(create, check=False).returncode == 40
    mac.mend("no-full-disk-access")
    assert mac.run(database).stdout
    mac.run("mkdir -p /var/lib/builderfleet")
    mac.break_("disk-full")
    full = mac.run("echo x > /var/lib/builderfleet/x", check=False)
    assert "No space left" in full.stderr
    mac.mend("disk-full")
    mac.run("echo x > /var/lib/builderfleet/x")
    mac.break_("port-taken", 31022)
    assert "31022" in mac.run("lsof -nP -iTCP:31022 -sTCP:LISTEN").stdout
    mac.mend("port-taken")
    assert mac.run("lsof -nP -iTCP:31022 -sTCP:LISTEN", check=False).returncode == 1


def test_the_installer_leaves_a_real_nix_and_takes_it_back(mac: SimulatedMac, lab: Lab) -> None:
    factory = mac.snapshot()
    installer = publish(lab)
    mac.run(INSTALL.format(url=installer.url))
    receipt = json.loads(mac.read("/nix/receipt.json"))
    assert {action["state"] for action in receipt["actions"]} == {"Completed"}
    built = ssh(mac, f"nix-build --no-out-link -E '{DERIVATION}'")
    assert built.returncode == 0, built.stderr
    assert mac.run(f"cat {built.stdout}").stdout == "made\n"
    assert "_nixbld1" in mac.run("id -un 351").stdout
    again = mac.run("/nix/nix-installer install macos --no-confirm")
    assert "Found existing plan" in again.stderr
    mac.reboot()
    assert ssh(mac, f"nix-build --no-out-link -E '{DERIVATION}'").stdout == built.stdout
    mac.run("/nix/nix-installer uninstall --no-confirm")
    left = mac.snapshot().items() ^ factory.items()
    assert {path for path, _ in left} == {"/private/etc/fstab", "/private/etc/profile.d", "/private/etc/zsh"}
    assert mac.unmodelled() == []


@pytest.mark.parametrize("action", [1, 3, 8])
def test_an_installation_that_fails_leaves_a_partial_receipt(action: int, mac: SimulatedMac, lab: Lab) -> None:
    mac.break_("installer-fails-at", action)
    script = INSTALL.format(url=publish(lab).url)
    assert mac.run(script, check=False).returncode == 1
    if action == 1:
        assert not mac.exists("/nix/receipt.json"), "there is no /nix to write it to"
    else:
        states = [found["state"] for found in json.loads(mac.read("/nix/receipt.json"))["actions"]]
        assert states == ["Completed"] * (action - 1) + ["Progress"] + ["Uncompleted"] * (9 - action)
        mac.run("mv /nix/receipt.json /nix/receipt.json.partial")
    mac.mend("installer-fails-at")
    mac.run(script)
    assert mac.run(
        "/nix/var/nix/profiles/default/bin/nix store ping --store daemon --extra-experimental-features nix-command"
    )


@pytest.mark.parametrize(
    ("identity", "text"),
    [
        ({"version": "13.7"}, "14.0 or newer"),
        ({"rosetta": True}, "Rosetta"),
        ({"full_disk_access": False}, "not permitted"),
    ],
)
def test_the_installer_refuses(identity: dict[str, Any], text: str, lab: Lab) -> None:
    mac = lab.start("refused", **identity)
    done = mac.run(INSTALL.format(url=publish(lab).url), check=False)
    assert done.returncode == 1 and text in done.stderr, done.stderr
    mac.stop()


def test_the_web_server_lies_when_told_to(mac: SimulatedMac, lab: Lab) -> None:
    url = lab.serve("some/file", b"content")
    assert mac.run(f"curl -fsS {url}").stdout == "content"
    lab.serve("some/file", b"content", fault="404")
    assert mac.run(f"curl -fsS {url}", check=False).returncode == 22
    lab.serve("some/file", b"content", fault="truncated")
    assert mac.run(f"curl -fsS {url}", check=False).returncode == 18
    lab.serve("some/file", b"content", fault="wrong")
    assert mac.run(f"curl -fsS {url}").stdout != "content"


def test_nothing_leaves_the_machine(mac: SimulatedMac) -> None:
    assert mac.run("curl -sS --max-time 5 http://192.0.2.1/", check=False).returncode == 7
    assert mac.run("curl -sS --max-time 5 http://example.org/", check=False).returncode == 6


KILLED = """
import sys, time
from tests.simulated_mac import Lab
lab = Lab(); lab.open()
mac = lab.start("killed")
print(lab.directory, mac.leader, lab.network.bridge, flush=True)
time.sleep(99)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_when_the_owner_is_killed(number: signal.Signals, lab: Lab) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", KILLED], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=REPOSITORY
    )
    assert owner.stdout is not None
    directory, leader, bridge = owner.stdout.readline().split()
    assert Path(f"/proc/{leader}/root/bin/launchctl").exists()
    os.kill(owner.pid, number)
    owner.wait()
    until(lambda: not Path(directory).exists())
    assert not Path(f"/proc/{leader}/root/bin/launchctl").exists()
    assert bridge not in [path.name for path in Path("/sys/class/net").iterdir()]
