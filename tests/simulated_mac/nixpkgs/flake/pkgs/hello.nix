# SPDX-License-Identifier: GPL-3.0-or-later
# Something to build: it says where it was built. For a Linux system that takes a Linux builder.
{ system }:
derivation {
  name = "hello-2.12";
  inherit system;
  builder = "/bin/sh";
  args = [
    "-c"
    ''
      PATH=/run/current-system/sw/bin:/usr/bin:/bin
      mkdir -p "$out/bin"
      {
        echo '#!/bin/sh'
        echo "echo 'Hello from ${system}, built by $(uname -s) $(uname -r) on $(uname -n)'"
      } > "$out/bin/hello"
      chmod 0755 "$out/bin/hello"
    ''
  ];
}
