# SPDX-License-Identifier: GPL-3.0-or-later
# The part of nixpkgs' library that modules of the builder and expressions around it use.
let
  inherit (builtins) attrNames concatStringsSep filter listToAttrs map replaceStrings stringLength substring;

  priorities = import ./priorities.nix;
  types = import ./types.nix { inherit lib; };
  modules = import ./modules.nix { inherit lib; };

  lib = builtins // priorities // modules // {
    inherit types;
    trivial.release = "25.11";

    optional = condition: value: if condition then [ value ] else [ ];
    optionals = condition: values: if condition then values else [ ];
    optionalAttrs = condition: values: if condition then values else { };
    optionalString = condition: text: if condition then text else "";
    hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
    hasSuffix = suffix: text:
      let start = stringLength text - stringLength suffix; in
      start >= 0 && substring start (stringLength suffix) text == suffix;
    concatMapStringsSep = separator: f: values: concatStringsSep separator (map f values);
    genAttrs = names: f: listToAttrs (map (name: { inherit name; value = f name; }) names);
    filterAttrs = keep: values:
      listToAttrs (map (name: { inherit name; value = values.${name}; })
        (filter (name: keep name values.${name}) (attrNames values)));
    mapAttrsToList = f: values: map (name: f name values.${name}) (attrNames values);
    escapeShellArg = text: "'${replaceStrings [ "'" ] [ "'\\''" ] (toString text)}'";
    isDerivation = value: builtins.isAttrs value && value.type or "" == "derivation";
    showOption = concatStringsSep ".";

    # What `f` makes of its arguments, with an `override` that makes it again of others.
    makeOverridable = f: arguments:
      f arguments // {
        override = changes:
          lib.makeOverridable f (arguments // (if builtins.isFunction changes then changes arguments else changes));
      };
  };
in
lib
