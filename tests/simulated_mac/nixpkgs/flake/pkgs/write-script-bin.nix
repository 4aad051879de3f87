# SPDX-License-Identifier: GPL-3.0-or-later
# A package with one script, $out/bin/<name>; made with what a Mac has. `more` are further attributes of the result.
{ system }:
{ name, program ? name, text, more ? { } }:
derivation
  {
    inherit name system program text;
    passAsFile = [ "text" ];
    builder = "/bin/sh";
    args = [
      "-c"
      # The last command is the shell's own: Nix kills a builder that closes its output before it ends, as GNU's chmod does.
      ''
        /bin/mkdir -p "$out/bin" && /bin/cat "$textPath" > "$out/bin/$program" && /bin/chmod 0755 "$out/bin/$program" || exit 1
        exit 0
      ''
    ];
  }
// { passthru = more; meta.mainProgram = program; }
// more
