# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for nixpkgs behaves as nixpkgs does where it matters: overrides, priorities, what needs a Linux builder.

Everything is evaluated and built by real Nix, which poses as an Apple silicon Mac's, in a scratch store of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from builderfleet.plugin_utils.resources.builder_vm import BuilderVm
from builderfleet.plugin_utils.size import Size

from tests.simulated_mac import nixpkgs
from tests.unit.sandbox import Sandbox

pytestmark = pytest.mark.skipif(
    shutil.which("nix") is None, reason="Nix is not installed here (apt-get install nix-bin)"
)

SETTINGS = (
    "experimental-features = nix-command flakes",
    "system = aarch64-darwin",
    "build-users-group =",
    "builders =",
    "sandbox = false",
    "substituters =",
)
STOCK = '(builtins.getFlake "{reference}").legacyPackages.aarch64-darwin.darwin.linux-builder.nixosConfig.system.build'
PORT_22 = '{ from = "host"; host.address = "127.0.0.1"; host.port = 31022; guest.port = 22; }'


class Evaluator:
    """Nix with the flake served as a tarball under its locked reference, as a Mac gets it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        served = folder / "nixpkgs.tar.gz"
        served.write_bytes(nixpkgs.tarball())
        self.reference = nixpkgs.locked_reference(f"file://{served}")

    def nix(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "NIX_CONF_DIR": str(self.folder),
            "NIX_REMOTE": "local",
            "NIX_STORE_DIR": str(self.folder / "store"),
            "NIX_STATE_DIR": str(self.folder / "state"),
            "NIX_LOG_DIR": str(self.folder / "log"),
            "NIX_CONFIG": "\n".join(SETTINGS),
        }
        return subprocess.run(["nix", *words], env=environment, capture_output=True, text=True, timeout=60)

    def outcome(self, expression: str) -> subprocess.CompletedProcess[str]:
        """What comes of an expression where `pkgs` and `lib` are the flake's and `builder` makes a builder of modules.

        It is evaluated purely: nothing of the machine gets in, and only a locked reference is allowed.
        """
        return self.nix(
            "eval",
            "--json",
            "--expr",
            f"""let
              nixpkgs = builtins.getFlake "{self.reference}";
              pkgs = nixpkgs.legacyPackages.aarch64-darwin;
              inherit (nixpkgs) lib;
              builder = modules: (pkgs.darwin.linux-builder.override {{ inherit modules; }}).nixosConfig;
            in {expression}""",
        )

    def value(self, expression: str) -> Any:
        done = self.outcome(expression)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def error(self, expression: str) -> str:
        done = self.outcome(expression)
        assert done.returncode == 1, done.stdout
        return done.stderr


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    return Evaluator(tmp_path_factory.mktemp("nixpkgs"))


def forwards(*definitions: str) -> str:
    modules = " ".join(f"({{ lib, ... }}: {{ virtualisation.forwardPorts = {each}; }})" for each in definitions)
    return f"(builder [ {modules} ]).virtualisation.forwardPorts"


def test_the_tarball_is_the_same_each_time_and_its_hash_is_the_one_that_nix_finds(evaluator: Evaluator) -> None:
    assert nixpkgs.tarball() == nixpkgs.tarball()
    done = evaluator.nix("hash", "path", "--sri", str(nixpkgs.FLAKE))
    assert done.stdout.strip() == nixpkgs.nar_hash(nixpkgs.FLAKE), done.stderr


def test_another_hash_than_the_tarballs_is_refused(evaluator: Evaluator) -> None:
    wrong = evaluator.reference.partition("?")[0] + "?narHash=sha256-" + "A" * 43 + "%3D"
    done = evaluator.nix("eval", "--expr", f'(builtins.getFlake "{wrong}").lib.trivial.release')
    assert done.returncode != 0
    assert "mismatch" in done.stderr


def test_the_stock_builder_has_the_defaults_of_the_facts(evaluator: Evaluator) -> None:
    """linux_builder §1.2: also that it listens everywhere, which is what an override has to change."""
    assert evaluator.value(
        """let v = (builder [ ]).virtualisation; in {
          inherit (v) cores memorySize diskSize diskImage forwardPorts;
          inherit (v.darwin-builder) hostPort min-free max-free workingDirectory;
        }"""
    ) == {
        "cores": 1,
        "memorySize": 3072,
        "diskSize": 20480,
        "diskImage": "./nixos.qcow2",
        "hostPort": 31022,
        "min-free": 2**30,
        "max-free": 3 * 2**30,
        "workingDirectory": ".",
        "forwardPorts": [
            {
                "from": "host",
                "proto": "tcp",
                "host": {"address": "", "port": 31022},
                "guest": {"address": "", "port": 22},
            }
        ],
    }


@pytest.mark.parametrize("system", ["aarch64-darwin", "x86_64-darwin"])
def test_it_is_a_derivation_for_the_mac_with_the_attributes_of_the_real_one(evaluator: Evaluator, system: str) -> None:
    assert evaluator.value(
        f"""let b = nixpkgs.legacyPackages.{system}.darwin.linux-builder; in {{
          inherit (b) type system name;
          vm = b.nixosConfig.system.build.vm.system;
          options = b.nixosOptions.virtualisation.darwin-builder.hostPort.value;
          others = map (each: each.system) [ b.add-keys b.run-builder b.passthru.run-builder b.passthru.add-keys ];
        }}"""
    ) == {
        "type": "derivation",
        "system": system,
        "name": "create-builder",
        "vm": system,
        "options": 31022,
        "others": [system] * 4,
    }


def test_a_forward_without_mkforce_comes_on_top_of_the_one_that_is_there(evaluator: Evaluator) -> None:
    addresses = evaluator.value(f"map (each: each.host.address) ({forwards(f'[ {PORT_22} ]')})")
    assert sorted(addresses) == ["", "127.0.0.1"]


@pytest.mark.parametrize("mark", ["mkForce", "mkOverride 10", "mkVMOverride"])
def test_a_forward_with_a_higher_priority_replaces_it(evaluator: Evaluator, mark: str) -> None:
    assert [each["host"] for each in evaluator.value(forwards(f"lib.{mark} [ {PORT_22} ]"))] == [
        {"address": "127.0.0.1", "port": 31022}
    ]


def test_the_lowest_number_wins_and_a_default_loses(evaluator: Evaluator) -> None:
    both = forwards("lib.mkForce [ ]", f"lib.mkOverride 10 [ {PORT_22} ]")
    assert len(evaluator.value(both)) == 1
    assert [each["host"]["address"] for each in evaluator.value(forwards(f"lib.mkDefault [ {PORT_22} ]"))] == [""]


@pytest.mark.parametrize(
    ("module", "memory"),
    [
        ("{ virtualisation.darwin-builder.memorySize = 4096; }", 4096),
        ("{ config.virtualisation.darwin-builder.memorySize = 4096; }", 4096),
        ("({ lib, ... }: lib.mkIf true { virtualisation.darwin-builder.memorySize = 4096; })", 4096),
        ("({ lib, ... }: { virtualisation = lib.mkIf false { darwin-builder.memorySize = 4096; }; })", 3072),
        ("({ lib, ... }: { virtualisation = lib.mkForce { memorySize = 4096; }; })", 4096),
        ("({ lib, ... }: { imports = [ { virtualisation.memorySize = lib.mkOverride 10 4096; } ]; })", 4096),
        ("({ lib, ... }: lib.mkMerge [ { virtualisation.darwin-builder.memorySize = lib.mkDefault 4096; } ])", 4096),
        ("({ config, ... }: { virtualisation.darwin-builder.memorySize = 4096 * config.virtualisation.cores; })", 4096),
    ],
)
def test_modules_may_be_written_in_every_usual_way(evaluator: Evaluator, module: str, memory: int) -> None:
    assert evaluator.value(f"(builder [ {module} ]).virtualisation.memorySize") == memory


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("{ virtualisation.core = 4; }", "The option `virtualisation.core' does not exist"),
        (
            "({ lib, ... }: lib.mkIf false { virtualisation.core = 4; })",
            "The option `virtualisation.core' does not exist",
        ),
        (
            "{ virtualisation.memorySize = 4096; }",
            "The option `virtualisation.memorySize' has conflicting definition values",
        ),
        ('{ virtualisation.cores = "4"; }', "A definition for option `virtualisation.cores' is not of type"),
        ("{ virtualisation.darwin-builder.hostPort = 65536; }", "host.port' is not of type `16 bit unsigned integer"),
        ("{ config = { }; virtualisation.cores = 4; }", "has an unsupported attribute `virtualisation'"),
        (
            "{ virtualisation.forwardPorts = [ { guest.port = 22; } ]; }",
            "host.port' was accessed but has no value defined",
        ),
    ],
)
def test_what_nixos_refuses_is_refused(evaluator: Evaluator, module: str, said: str) -> None:
    assert said in evaluator.error(f"(builder [ {module} ]).system.build.vm.text")


HOST_SIDE = [
    "virtualisation.cores = 4;",
    "virtualisation.darwin-builder = { memorySize = 4096; diskSize = 40960; hostPort = 31023; };",
    f"virtualisation.forwardPorts = lib.mkOverride 10 [ {PORT_22} ];",
    'virtualisation.qemu.options = [ "-display none" ];',
    'virtualisation.darwin-builder.workingDirectory = "/var/lib/somewhere";',
]
GUEST_SIDE = [
    "virtualisation.darwin-builder.min-free = 5;",
    "virtualisation.useHostCerts = lib.mkForce false;",
    "virtualisation.useNixStoreImage = lib.mkForce false;",
    "virtualisation.writableStore = lib.mkForce false;",
    "virtualisation.writableStoreUseTmpfs = lib.mkForce true;",
    "virtualisation.diskImage = lib.mkForce null;",
    'virtualisation.sharedDirectories.x = { source = "/x"; target = "/x"; };',
    "environment.systemPackages = [ pkgs.hello ];",
    "nix.settings.max-jobs = 4;",
    "users.users.somebody.uid = 1001;",
]


@pytest.mark.parametrize("setting", HOST_SIDE)
def test_a_change_of_the_hosts_side_leaves_the_guest_as_it_comes(evaluator: Evaluator, setting: str) -> None:
    stock, changed = _both(evaluator, setting)
    assert stock["toplevel"] == changed["toplevel"]
    assert stock["mac"] == changed["mac"] == "aarch64-darwin"


@pytest.mark.parametrize("setting", GUEST_SIDE)
def test_a_change_of_the_guest_needs_a_linux_builder(evaluator: Evaluator, setting: str) -> None:
    stock, changed = _both(evaluator, setting)
    assert stock["toplevel"] != changed["toplevel"]
    assert changed["guest"] == "aarch64-linux"


def _both(evaluator: Evaluator, setting: str) -> tuple[dict[str, str], dict[str, str]]:
    said = evaluator.value(
        f"""let show = config: {{
          mac = config.system.build.vm.system;
          guest = config.system.build.toplevel.system;
          toplevel = config.system.build.toplevel.drvPath;
        }};
        in [ (show (builder [ ])) (show (builder [ ({{ lib, pkgs, ... }}: {{ {setting} }}) ])) ]"""
    )
    return said[0], said[1]


def test_without_a_linux_builder_the_stock_program_is_made_and_a_changed_guest_is_not(evaluator: Evaluator) -> None:
    build = ("build", "--no-link", "--json", "--expr")
    attribute = "legacyPackages.aarch64-darwin.darwin.linux-builder"
    flake = f'(builtins.getFlake "{evaluator.reference}").{attribute}'
    made = evaluator.nix(*build, f"{flake}.nixosConfig.system.build.vm")
    assert made.returncode == 0, made.stderr
    program = Path(json.loads(made.stdout)[0]["outputs"]["out"]) / "bin" / "run-nixos-vm"
    assert os.access(program, os.X_OK)
    assert "hostfwd=tcp::31022-:22," in program.read_text()

    module = "{ nix.settings.max-jobs = 4; }"
    refused = evaluator.nix(*build, f"({flake}.override {{ modules = [ {module} ]; }}).nixosConfig.system.build.vm")
    assert refused.returncode != 0
    assert "a 'aarch64-linux' with features {} is required to build" in refused.stderr


def test_what_the_resource_asks_for_listens_on_this_machine_only_and_leaves_the_guest_alone(
    evaluator: Evaluator,
) -> None:
    vm = BuilderVm(
        nixpkgs=evaluator.reference,
        cores=4,
        memory=Size.parse("6GiB"),
        disk=Size.parse("40GiB"),
        port=31122,
        key="/etc/nix/key",
        label="org.builderfleet.test",
    )
    done = evaluator.nix("eval", "--impure", "--raw", "--expr", f"({vm.expression()}).text")
    assert done.returncode == 0, done.stderr
    wanted = ["-smp 4 ", "-m 6144 ", '"40960M"', "hostfwd=tcp:127.0.0.1:31122-:22,"]
    assert [each for each in wanted if each not in done.stdout] == []
    assert done.stdout.count("hostfwd=") == 1
    toplevel = evaluator.nix(
        "eval", "--raw", "--expr", f"{STOCK.format(reference=evaluator.reference)}.toplevel.outPath"
    )
    assert f"init={toplevel.stdout}/init" in done.stdout


def test_the_start_scripts_of_the_real_one_are_there_with_their_leak(evaluator: Evaluator) -> None:
    """So that a test can tell that nothing of ours uses them (linux_builder §0.3)."""
    flake = f'(builtins.getFlake "{evaluator.reference}").legacyPackages.aarch64-darwin.darwin.linux-builder'
    made = evaluator.nix("build", "--no-link", "--json", "--expr", flake)
    assert made.returncode == 0, made.stderr
    script = (Path(json.loads(made.stdout)[0]["outputs"]["out"]) / "bin" / "create-builder").read_text()
    run_builder = Path(script.split()[-1])
    assert run_builder.name == "run-builder"
    assert 'KEYS=$(nix-store --add "${KEYS:-./keys}")' in run_builder.read_text()


def test_the_run_program_says_what_the_options_say(evaluator: Evaluator) -> None:
    text = evaluator.value(
        f"""(builder [ ({{ lib, ... }}: {{
          virtualisation.cores = 4;
          virtualisation.darwin-builder = {{ memorySize = 4096; diskSize = 40960; hostPort = 31022; }};
          virtualisation.forwardPorts = lib.mkOverride 10 [ {PORT_22} ];
          virtualisation.qemu.options = [ "-msg timestamp=on" ];
        }}) ]).system.build.vm.text"""
    )
    wanted = ["-smp 4 ", "-m 4096 ", '"40960M"', "hostfwd=tcp:127.0.0.1:31022-:22,", "-nographic", "-msg timestamp=on"]
    assert [each for each in wanted if each not in text] == []
    assert text.count("hostfwd=") == 1


# --- the emulator --------------------------------------------------------------------------------------------------

EMULATOR = (nixpkgs.FLAKE / "pkgs/qemu-system.sh").read_text()


@pytest.mark.parametrize(
    ("machine", "processors", "starts"),
    [
        ("virt,gic-version=2,accel=hvf:tcg", 8, True),
        ("virt,gic-version=2,accel=hvf:tcg", 9, False),
        ("type=q35,accel=hvf:tcg", 9, True),
    ],
)
def test_the_emulator_has_no_more_processors_than_qemu_has(
    dash_sandbox: Sandbox, machine: str, processors: int, starts: bool
) -> None:
    dash_sandbox.double("/.simulated-mac/debian/usr/bin/qemu-system-x86_64", 'echo "$@"')
    (dash_sandbox / "/.simulated-mac/guest").mkdir()
    (dash_sandbox / "/.simulated-mac/guest/system.img").touch()
    (dash_sandbox / "/.simulated-mac/guest/acceleration").write_text("tcg\n")
    ran = dash_sandbox.run(f"set -- -machine {machine} -smp {processors}\n{EMULATOR}")
    if starts:
        assert (ran.returncode, f"-smp {processors}" in ran.stdout) == (0, True), ran.stderr
    else:
        said = "Number of SMP CPUs requested (9) exceeds max CPUs supported by machine 'mach-virt' (8)"
        assert (ran.returncode, said in ran.stderr) == (1, True)
