# SPDX-License-Identifier: GPL-3.0-or-later
"""The builder VM by itself: the stub nixpkgs' run program boots the guest, and the host's real Nix builds Linux in it.

No simulated Mac is needed: a private mount and network namespace shows what the run program expects of one, with the
host's Nix in it posing as an Apple silicon Mac's. It dies with the process that tests.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulated_mac import SimulatedMac, guest, nixpkgs

REPOSITORY = Path(__file__).parents[2]
DEADLINE = 120  # seconds for a boot; it takes 5 on an idle machine and many times that on a busy one

SURROUNDINGS = r"""
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
root=$1/root
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$root"
mkdir -p "$root/.simulated-mac/debian/usr" "$root/.simulated-mac/guest" "$root/etc/nix" "$root/nix" "$root/state"
mount --bind /usr "$root/.simulated-mac/debian/usr"
mount --bind "$2" "$root/.simulated-mac/guest"
mount --rbind /dev "$root/dev"
for scratch in nix state tmp root etc/nix; do mount -t tmpfs -o mode=0755 tmpfs "$root/$scratch"; done
chmod 1777 "$root/tmp"
mount -t proc proc "$root/proc"
ip link set lo up
# No chroot: Nix has its children enter their mount namespace anew, and would lead them out of one.
mkdir "$root/tmp/old"
cd "$root"
pivot_root . tmp/old
umount -l /tmp/old
rmdir /tmp/old
echo ready
exec sleep infinity
"""

NIX_CONF = """system = aarch64-darwin
experimental-features = nix-command flakes
build-users-group =
sandbox = false
substituters =
builders = ssh-ng://builder@guest aarch64-linux /state/client 2 1 big-parallel - {host_key}
"""

SSH_CONFIG = """Host guest
  HostName 127.0.0.1
  Port 31022
  User builder
  IdentityFile /state/client
  IdentitiesOnly yes
  HostKeyAlias guest
  UserKnownHostsFile /state/known_hosts
  BatchMode yes
"""

START = """
export KEYS=/state/keys NIX_DISK_IMAGE=/state/nixos.qcow2 TMPDIR=/state/scratch USE_TMPDIR=1
mkdir -p "$TMPDIR"
exec /state/program/bin/run-nixos-vm </dev/null >>/state/console 2>&1
"""

PROGRAM = """((builtins.getFlake "{reference}").legacyPackages.aarch64-darwin.darwin.linux-builder.override {{
  modules = [
    ({{ lib, ... }}: {{
      virtualisation.cores = 2;
      virtualisation.darwin-builder = {{ memorySize = 320; diskSize = 3072; hostPort = 31022; }};
      virtualisation.forwardPorts = lib.mkOverride 10 [
        {{ from = "host"; host.address = "127.0.0.1"; host.port = 31022; guest.port = 22; }}
      ];
    }})
  ];
}}).nixosConfig.system.build.vm"""


class Host:
    """The namespace, and what is done in it as root."""

    def __init__(self, scratch: Path, images: Path) -> None:
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        self.holder = subprocess.Popen(
            [*command, "bash", "-c", SURROUNDINGS, "bash", scratch, images], stdout=subprocess.PIPE, text=True
        )
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == "ready\n", "the namespace cannot be made here, see above"
        self.pid = Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children").read_text().strip()
        self.vm: subprocess.Popen[str] | None = None

    def popen(self, script: str) -> subprocess.Popen[str]:
        inside = ["nsenter", "--target", self.pid, "--mount", "--net", "--pid", "--root", "--wd"]
        environment = {"HOME": "/root", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NIX_REMOTE": "local"}
        return subprocess.Popen(
            [*inside, "sh", "-s"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, *, timeout: float = DEADLINE) -> subprocess.CompletedProcess[str]:
        process = self.popen(script)
        try:
            output, errors = process.communicate(script, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(script, process.returncode, output, errors)

    def check(self, script: str) -> str:
        done = self.run(script)
        assert done.returncode == 0, f"{script}\nstatus {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def write(self, path: str, data: bytes) -> None:
        self.check(f"base64 -d > {path} <<'BYTES'\n{base64.encodebytes(data).decode()}BYTES\n")

    def start_vm(self) -> None:
        """Start the run program and wait for the guest's greeting; an open port means nothing."""
        self.vm = self.popen("")
        assert self.vm.stdin is not None
        self.vm.stdin.write(START)
        self.vm.stdin.close()
        self.vm.stdin = None
        end = time.monotonic() + DEADLINE
        while self.vm.poll() is None and time.monotonic() < end:
            if self.greeting().startswith("SSH-2.0-"):
                return
            time.sleep(0.2)
        pytest.fail(f"the guest does not greet; its console said:\n{self.console()}")

    def greeting(self) -> str:
        ask = "import socket; s = socket.create_connection(('127.0.0.1', 31022), 1); print(s.recv(64).decode())"
        return self.run(f'python3 -c "{ask}" 2>/dev/null').stdout

    def console(self) -> str:
        return self.run("cat /state/console").stdout

    def guest(self, command: str) -> subprocess.CompletedProcess[str]:
        return self.run(f"ssh -F /root/.ssh/config guest {command} </dev/null")

    def wait_off(self) -> int:
        assert self.vm is not None
        return self.vm.wait(DEADLINE)

    def cut_power(self) -> None:
        """QEMU dies on the spot, as with a Mac whose power goes."""
        self.check("kill -KILL $(pgrep -f '[q]emu-system-x86_64 -L')")
        self.wait_off()

    def end(self) -> None:
        os.kill(int(self.pid), 9)
        self.holder.wait(10)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    missing = guest.requirements() + ([] if os.geteuid() == 0 else ["A private network takes root: run it with sudo."])
    if missing:
        pytest.skip(" ".join(missing))
    images = guest.ensure()
    host = Host(tmp_path_factory.mktemp("host"), images)
    try:
        public = (images / "ssh_host_ed25519_key.pub").read_bytes()
        host.check("ssh-keygen -q -t ed25519 -N '' -f /state/client; mkdir -m 0755 /state/keys; mkdir -m 0700 ~/.ssh")
        host.check(
            "cat /state/client.pub > /state/keys/builder_ed25519.pub; chmod 0444 /state/keys/builder_ed25519.pub"
        )
        host.write("/state/known_hosts", b"guest " + public)
        host.write("/root/.ssh/config", SSH_CONFIG.encode())
        host.write("/etc/nix/nix.conf", NIX_CONF.format(host_key=base64.b64encode(public).decode()).encode())
        host.write("/state/nixpkgs.tar.gz", nixpkgs.tarball())
        reference = nixpkgs.locked_reference("file:///state/nixpkgs.tar.gz")
        host.write("/state/program.nix", PROGRAM.format(reference=reference).encode())
        host.write("/state/nixpkgs.nix", f'builtins.getFlake "{reference}"'.encode())
        host.check("nix-build --out-link /state/program /state/program.nix")
        host.start_vm()
        yield host
    finally:
        host.end()


def let_in_again(host: Host) -> None:
    """Wait until sshd lets us in: from OpenSSH 9.8 on an address whose logins failed is kept out for a while, and the address
    of everybody is the same one here (PerSourcePenalties)."""
    deadline = time.monotonic() + DEADLINE
    while (done := host.guest("true")).returncode != 0:
        assert time.monotonic() < deadline, done.stderr
        time.sleep(1)


def build_hello(host: Host) -> str:
    """Build the stub nixpkgs' hello for Linux on the "Mac", and give back what it says of where it was made."""
    return host.check(
        "nix-build --no-out-link /state/nixpkgs.nix -A legacyPackages.aarch64-linux.hello > /state/hello\n"
        'sh "$(cat /state/hello)/bin/hello"'
    )


def test_the_user_builder_gets_in_with_the_key_of_the_share(host: Host) -> None:
    done = host.guest("'id -un; uname -n; nproc; nix --version'")
    assert done.returncode == 0, done.stderr
    user, name, cores, nix = done.stdout.splitlines()
    assert (user, name, cores) == ("builder", "builder", "2")
    assert nix.startswith("nix (Nix)")


def test_it_listens_where_the_options_say_and_nowhere_else(host: Host) -> None:
    listening = [line.split()[3] for line in host.check("ss --listening --tcp --numeric --no-header").splitlines()]
    assert listening == ["127.0.0.1:31022"]


def test_another_key_is_refused_and_a_host_key_that_is_not_its_own_as_well(host: Host) -> None:
    host.check("rm -f /state/other /state/other.pub; ssh-keygen -q -t ed25519 -N '' -f /state/other")
    stranger = host.run(
        "ssh -F none -o BatchMode=yes -o IdentitiesOnly=yes -o UserKnownHostsFile=/state/known_hosts"
        " -o HostKeyAlias=guest -i /state/other -p 31022 builder@127.0.0.1 true </dev/null"
    )
    assert stranger.returncode == 255
    assert "Permission denied (publickey)" in stranger.stderr
    impostor = host.run(
        "(printf 'guest '; cat /state/other.pub) > /state/wrong_hosts;"
        " ssh -F /root/.ssh/config -o UserKnownHostsFile=/state/wrong_hosts guest true </dev/null"
    )
    assert impostor.returncode == 255
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in impostor.stderr
    let_in_again(host)


def test_who_fails_to_log_in_again_and_again_is_kept_out_for_a_while(host: Host) -> None:
    """As every guest with OpenSSH 9.8 or newer does: one more reason to ask for its greeting as rarely as possible."""
    greeting = host.greeting()
    if tuple(map(int, re.findall(r"OpenSSH_(\d+)\.(\d+)", greeting)[0])) < (9, 8):
        pytest.skip(f"the newest sshd that can be had for the guest keeps nobody out: {greeting.strip()}")
    stranger = "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -p 31022"
    said = ["Permission denied (publickey)"]
    while "Permission denied (publickey)" in said[-1] and len(said) < 12:
        said.append(host.run(f"{stranger} stranger@127.0.0.1 true </dev/null").stderr)
    kept_out = host.guest("true")
    assert len(said) > 2 and kept_out.returncode == 255 and "Connection closed by" in kept_out.stderr, [*said, kept_out]
    let_in_again(host)


@pytest.mark.parametrize(("spoil", "mend"), [("chown 501", "chown 0"), ("chmod 0666", "chmod 0444")])
def test_a_key_that_others_could_write_is_not_trusted(host: Host, spoil: str, mend: str) -> None:
    """The share shows the host's owners and modes, and sshd is strict about them (linux_builder §1.9)."""
    host.check(f"{spoil} /state/keys/builder_ed25519.pub")
    refused = host.guest("true")
    host.check(f"{mend} /state/keys/builder_ed25519.pub")
    assert (refused.returncode, "Permission denied (publickey)" in refused.stderr) == (255, True)
    let_in_again(host)


def test_a_linux_package_is_built_in_the_guest_and_comes_back(host: Host) -> None:
    kernel = host.guest("uname -r").stdout.strip()
    assert kernel != os.uname().release
    assert build_hello(host) == f"Hello from aarch64-linux, built by Linux {kernel} on builder\n"


def test_the_guests_commands_are_where_nixos_has_them_and_nowhere_else(host: Host) -> None:
    done = host.guest("'echo /bin/* /usr/bin/*; command -v nix; echo $PATH'")
    assert done.stdout.splitlines() == [
        "/bin/sh /usr/bin/*",
        "/run/current-system/sw/bin/nix",
        "/run/current-system/sw/bin",
    ], done.stderr


def test_its_clock_is_the_hosts(host: Host) -> None:
    before = time.time()
    said = int(host.guest("date +%s").stdout)
    assert before - 2 <= said <= time.time() + 2


def test_what_was_built_survives_a_shutdown_and_the_power_is_off_after_it(host: Host) -> None:
    build_hello(host)
    path = host.check("cat /state/hello").strip()
    said = host.guest("shutdown tomorrow")
    assert (said.returncode, "not 'tomorrow'" in said.stderr) == (64, True)
    host.guest("shutdown now")
    assert host.wait_off() == 0
    assert host.greeting() == ""
    host.start_vm()
    assert host.guest(f"nix-store --check-validity {path}").returncode == 0


def test_it_boots_again_after_its_power_was_cut(host: Host) -> None:
    host.cut_power()
    host.start_vm()
    assert host.guest("'echo a > /tmp/a && nix-store --verify'").returncode == 0
    assert "disk image" not in host.console().partition("Nix ready")[2]


def test_a_build_that_is_killed_leaves_no_half_image_and_the_next_one_makes_it_whole(tmp_path: Path) -> None:
    missing = guest.requirements()
    if missing:
        pytest.skip(" ".join(missing))
    cache = tmp_path / "guest"
    cache.mkdir()
    for package in guest.ensure().parent.glob("*.deb"):
        shutil.copy(package, cache)
    build = [
        sys.executable,
        "-c",
        "from tests.simulated_mac.guest import ensure; ensure(lambda line: print(line, flush=True))",
    ]
    (tmp_path / "releases").symlink_to(guest.ensure().parent.with_name("releases"))
    environment = {**os.environ, "BUILDERFLEET_CACHE": str(tmp_path)}
    killed = subprocess.Popen(build, env=environment, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    while not killed.stdout.readline().startswith("putting"):
        assert killed.poll() is None
    killed.kill()
    killed.wait(10)
    names = {path.name.split("-")[0] for path in cache.iterdir()}
    assert names - {"ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"} == {".building", ".lock", "linux"}

    subprocess.run(build, env=environment, cwd=REPOSITORY, check=True, timeout=DEADLINE)
    image = (cache / "current").resolve()
    assert {path.name for path in image.iterdir()} == {
        "acceleration",
        "initrd",
        "kernel",
        "ssh_host_ed25519_key.pub",
        "system.img",
    }
    assert not list(cache.glob(".building*"))


def test_a_restored_mac_goes_on_with_the_guest_that_it_had_until_that_is_started_again(converged: SimulatedMac) -> None:
    ask = "ssh builderfleet 'cat /proc/uptime; date +%s; cat /var/keys/builder_ed25519.pub' </dev/null"
    uptime, clock, *key = converged.run(ask).stdout.splitlines()
    up_since = converged.run("/usr/sbin/sysctl -n kern.boottime").stdout.split()[3].rstrip(",")
    assert float(uptime.split()[0]) > time.time() - int(up_since)
    assert abs(int(clock) - time.time()) < 5 and key
    converged.run("launchctl kickstart -k system/org.builderfleet.linux-builder")
    assert not (converged.disk / "world/guest").exists()
    deadline = time.monotonic() + DEADLINE
    while float(converged.run(f"{ask} || echo {uptime}", check=False).stdout.split()[0]) >= float(uptime.split()[0]):
        assert time.monotonic() < deadline
        time.sleep(0.5)
