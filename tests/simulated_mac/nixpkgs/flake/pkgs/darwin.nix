# SPDX-License-Identifier: GPL-3.0-or-later
# The attributes of `darwin`: the builder, overridable with a list of NixOS modules (linux_builder §1.1).
{ pkgs, lib }:
let
  linux = lib.replaceStrings [ "-darwin" ] [ "-linux" ] pkgs.system;
  nixos = import ../nixos { inherit lib; };

  linux-builder = lib.makeOverridable
    ({ modules }: (nixos {
      modules = [
        ../nixos/nix-builder-vm.nix
        {
          virtualisation.host.pkgs = pkgs;
          nixpkgs.hostPlatform = lib.mkDefault linux;
        }
      ] ++ modules;
    }).config.system.build.macos-builder-installer)
    { modules = [ ]; };
in
{
  inherit linux-builder;
  linux-builder-x86_64 = linux-builder.override { modules = [{ nixpkgs.hostPlatform = "x86_64-linux"; }]; };
}
