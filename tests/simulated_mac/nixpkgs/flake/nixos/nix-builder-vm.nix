# SPDX-License-Identifier: GPL-3.0-or-later
# The builder's profile: its options, what it makes of them, and its start scripts (linux_builder §1.2 to §1.4).
{ config, lib, options, ... }:
let
  cfg = config.virtualisation.darwin-builder;
  host = config.virtualisation.host.pkgs;
  number = default: lib.mkOption { type = lib.types.int; inherit default; };

  install-credentials = host.writeScriptBin {
    name = "install-credentials";
    text = ''
      #!/bin/sh
      set -eu
      install -g nixbld -m 600 "$1/builder_ed25519" /etc/nix/builder_ed25519
      install -g nixbld -m 644 "$1/builder_ed25519.pub" /etc/nix/builder_ed25519.pub
    '';
  };

  add-keys = host.writeScriptBin {
    name = "add-keys";
    text = ''
      #!/bin/sh
      set -eu
      ${lib.optionalString (cfg.workingDirectory != ".") ''
        mkdir -p ${lib.escapeShellArg cfg.workingDirectory}
        cd ${lib.escapeShellArg cfg.workingDirectory}
      ''}
      KEYS=''${KEYS:-./keys}
      mkdir -p "$KEYS"
      if ! [ -e "$KEYS/builder_ed25519" ] || ! [ -e "$KEYS/builder_ed25519.pub" ]; then
        rm -f "$KEYS/builder_ed25519" "$KEYS/builder_ed25519.pub"
        ssh-keygen -q -t ed25519 -N "" -C builder@localhost -f "$KEYS/builder_ed25519"
      fi
      if ! cmp -s "$KEYS/builder_ed25519.pub" /etc/nix/builder_ed25519.pub; then
        sudo --reset-timestamp ${install-credentials}/bin/install-credentials "$KEYS"
      fi
    '';
  };

  # The whole folder goes into the store, and with it the private key, readable for everybody: the real leak (§0).
  run-builder = host.writeScriptBin {
    name = "run-builder";
    text = ''
      #!/bin/sh
      set -eu
      KEYS=$(nix-store --add "''${KEYS:-./keys}")
      export KEYS
      ${config.system.build.vm}/bin/run-nixos-vm
    '';
  };
in
{
  imports = [ ./guest.nix ./qemu-vm.nix ];

  options.virtualisation.darwin-builder = {
    diskSize = number (20 * 1024);
    memorySize = number (3 * 1024);
    min-free = number (1024 * 1024 * 1024);
    max-free = number (3 * 1024 * 1024 * 1024);
    workingDirectory = lib.mkOption { type = lib.types.str; default = "."; };
    hostPort = number 31022;
  };

  config = {
    virtualisation = {
      inherit (cfg) diskSize memorySize;
      forwardPorts = [{ from = "host"; guest.port = 22; host.port = cfg.hostPort; }];
    };
    system.build.macos-builder-installer = host.writeScriptBin {
      name = "create-builder";
      text = ''
        #!/bin/sh
        set -eu
        export KEYS="''${KEYS:-./keys}"
        ${add-keys}/bin/add-keys
        ${run-builder}/bin/run-builder
      '';
      more = {
        inherit add-keys run-builder;
        nixosConfig = config;
        nixosOptions = options;
      };
    };
  };
}
