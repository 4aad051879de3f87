# SPDX-License-Identifier: GPL-3.0-or-later
# The guest's half. Its options are free in form: all that matters is whether a module says anything about the guest.
# If none does, the guest's system comes as it is (as the real one comes from the binary cache); otherwise it is another
# Linux derivation, which takes a Linux builder to build (linux_builder §0, §1.10).
{ config, lib, ... }:
let
  host = config.virtualisation.host.pkgs;
  free = lib.mkOption { type = lib.types.anything; default = { }; };
  words = [
    "boot" "documentation" "environment" "fileSystems" "fonts" "hardware" "i18n" "networking" "nix" "programs"
    "security" "services" "swapDevices" "systemd" "time" "users" "zramSwap"
  ];
  said = lib.genAttrs words (word: config.${word}) // {
    inherit (config.nixpkgs) hostPlatform;
    inherit (config.system) name stateVersion;
    # Of the VM's options these reach the guest's file systems and certificates in nixpkgs' qemu-vm.nix.
    inherit (config.virtualisation) sharedDirectories useHostCerts useNixStoreImage writableStore writableStoreUseTmpfs;
    hasDisk = config.virtualisation.diskImage != null;
    inherit (config.virtualisation.darwin-builder) min-free max-free;
  };
  stock = lib.genAttrs words (_: { }) // {
    inherit (config.nixpkgs) hostPlatform;
    name = "nixos";
    stateVersion = "24.05";
    sharedDirectories = { };
    useHostCerts = true;
    useNixStoreImage = true;
    writableStore = true;
    writableStoreUseTmpfs = false;
    hasDisk = true;
    min-free = 1073741824;
    max-free = 3221225472;
  };
  # Functions cannot be written down; that there is one can.
  printable = value:
    if builtins.isFunction value then "<function>"
    else if lib.isDerivation value then "${value}"
    else if builtins.isAttrs value then builtins.mapAttrs (_: printable) value
    else if builtins.isList value then map printable value
    else value;
  settings = builtins.toJSON (printable said);
  unchanged = settings == builtins.toJSON stock;
in
{
  options = lib.genAttrs words (_: free) // {
    nixpkgs.hostPlatform = lib.mkOption { type = lib.types.str; };
    nixpkgs.config = free;
    nixpkgs.overlays = lib.mkOption { type = lib.types.listOf lib.types.raw; default = [ ]; };
    system.name = lib.mkOption { type = lib.types.str; default = "nixos"; };
    system.stateVersion = lib.mkOption { type = lib.types.str; default = "24.05"; };
    system.build = lib.mkOption { type = lib.types.attrsOf lib.types.raw; default = { }; };
  };

  config.system.build.toplevel = derivation {
    name = "nixos-system-${config.system.name}-25.11";
    system = if unchanged then host.system else config.nixpkgs.hostPlatform;
    inherit settings;
    passAsFile = [ "settings" ];
    builder = "/bin/sh";
    args = [
      "-c"
      ''
        PATH=/run/current-system/sw/bin:/usr/bin:/bin
        mkdir -p "$out"
        cat "$settingsPath" > "$out/settings.json"
        for name in init initrd kernel registration; do echo "$name" > "$out/$name"; done
        echo builder.system=${config.nixpkgs.hostPlatform} > "$out/kernel-params"
        echo ${config.nixpkgs.hostPlatform} > "$out/system"
      ''
    ];
  };
}
