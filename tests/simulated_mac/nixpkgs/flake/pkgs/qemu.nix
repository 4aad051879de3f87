# SPDX-License-Identifier: GPL-3.0-or-later
# QEMU: takes the real builder's command line (linux_builder §1.7) and runs the small guest with Debian's emulator.
{ system }:
let
  wrappers = import ./wrappers.nix { inherit system; };
  images = wrappers "qemu-img-10.1.2" [ "bin/qemu-img" ];
in
derivation {
  name = "qemu-10.1.2";
  inherit system images;
  script = builtins.readFile ./qemu-system.sh;
  passAsFile = [ "script" ];
  builder = "/bin/sh";
  args = [
    "-c"
    ''
      /bin/mkdir -p "$out/bin"
      for program in qemu-system-aarch64 qemu-system-x86_64; do
        /bin/cat "$scriptPath" > "$out/bin/$program"
        /bin/chmod 0755 "$out/bin/$program"
      done
      /bin/cat "$images/bin/qemu-img" > "$out/bin/qemu-img"
      /bin/chmod 0755 "$out/bin/qemu-img"
      exit 0 # the shell itself ends last: Nix kills a builder that closes its output before it ends, as GNU's chmod does
    ''
  ];
}
