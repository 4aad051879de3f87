# SPDX-License-Identifier: GPL-3.0-or-later
# The package set for one system: what the builder VM's host side is made of, and one package to build for Linux.
{ system ? builtins.currentSystem }:
let
  lib = import ./lib;
  wrappers = import ./pkgs/wrappers.nix { inherit system; };
  pkgs = {
    inherit lib system;
    stdenv.hostPlatform = {
      inherit system;
      isDarwin = lib.hasSuffix "-darwin" system;
      isLinux = lib.hasSuffix "-linux" system;
      isAarch64 = lib.hasPrefix "aarch64-" system;
    };
    path = ./.;
    writeScriptBin = import ./pkgs/write-script-bin.nix { inherit system; };
    coreutils = wrappers "coreutils-9.7" (map (name: "bin/${name}") [ "cat" "cp" "mkdir" "mktemp" "readlink" "rm" ]);
    e2fsprogs = wrappers "e2fsprogs-1.47" [ "sbin/mkfs.ext4" ];
    qemu = import ./pkgs/qemu.nix { inherit system; };
    hello = import ./pkgs/hello.nix { inherit system; };
  };
in
pkgs // lib.optionalAttrs pkgs.stdenv.hostPlatform.isDarwin { darwin = import ./pkgs/darwin.nix { inherit pkgs lib; }; }
