# SPDX-License-Identifier: GPL-3.0-or-later
{
  description = "A stand-in for nixpkgs that has darwin.linux-builder with its real interface, and little else";

  outputs = { self }:
    let
      lib = import ./lib;
      systems = [ "aarch64-darwin" "x86_64-darwin" "aarch64-linux" "x86_64-linux" ];
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs systems (system: import ./. { inherit system; });
    };
}
