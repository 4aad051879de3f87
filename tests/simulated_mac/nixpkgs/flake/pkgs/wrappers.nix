# SPDX-License-Identifier: GPL-3.0-or-later
# A package whose programs are Debian's own. They lie where the simulated Mac hides them from everything but this.
# `programs` are paths below its /usr. The build uses nothing but what a Mac has.
{ system }:
name: programs:
let
  debian = "/.simulated-mac/debian/usr";
in
derivation {
  inherit name system;
  programs = builtins.concatStringsSep " " programs;
  builder = "/bin/sh";
  args = [
    "-c"
    ''
      /bin/mkdir -p "$out/bin"
      for program in $programs; do
        {
          echo '#!/bin/sh'
          echo 'export LD_LIBRARY_PATH=${debian}/lib/x86_64-linux-gnu'
          echo "exec ${debian}/$program" '"$@"'
        } > "$out/bin/''${program##*/}"
        /bin/chmod 0755 "$out/bin/''${program##*/}"
      done
    ''
  ];
}
