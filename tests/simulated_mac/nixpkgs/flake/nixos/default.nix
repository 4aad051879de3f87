# SPDX-License-Identifier: GPL-3.0-or-later
# Evaluates modules as NixOS does: with its options, and with the packages of the system that is asked for.
{ lib }:
{ modules }:
let
  evaluation = lib.evalModules {
    inherit modules;
    specialArgs = {
      modulesPath = toString ./.;
      pkgs = import ../. { system = evaluation.config.nixpkgs.hostPlatform; };
    };
  };
in
evaluation
