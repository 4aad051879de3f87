# SPDX-License-Identifier: GPL-3.0-or-later
# Types of options: what a value may be, and what several definitions of the same priority come to.
{ lib }:
let
  inherit (builtins)
    all attrNames concatLists concatMap elem foldl' head isAttrs isBool isFunction isInt isList isPath
    isString length map;
  inherit (lib) resolved showDefinitions showOption;

  type = description: check: merge: { _type = "option-type"; inherit check description merge; };

  same = location: definitions:
    if all (each: each.value == (head definitions).value) definitions then (head definitions).value
    else throw "The option `${showOption location}' has conflicting definition values:${showDefinitions definitions}";

  plain = description: check: type description check same;

  # Definitions of a set by the names in it: { name = [ { file; value; } ]; }
  byName = definitions:
    lib.genAttrs (attrNames (foldl' (all: each: all // each.value) { } definitions)) (name:
      concatMap
        (each: if each.value ? ${name} then [{ inherit (each) file; value = each.value.${name}; }] else [ ])
        definitions);

  within = low: high: value: isInt value && value >= low && value <= high;
  isSet = value: isAttrs value && !(lib.isDerivation value);
in
rec {
  int = plain "signed integer" isInt;
  str = plain "string" isString;
  bool = plain "boolean" isBool;
  path = plain "path" (value: isPath value || (isString value && lib.hasPrefix "/" value));
  package = plain "package" lib.isDerivation;
  raw = plain "raw value" (_: true);
  unspecified = anything;

  ints = {
    between = low: high:
      plain "integer between ${toString low} and ${toString high} (both inclusive)" (within low high);
    unsigned = plain "unsigned integer, meaning >=0" (value: isInt value && value >= 0);
    positive = plain "positive integer, meaning >0" (value: isInt value && value > 0);
  };
  port = plain "16 bit unsigned integer; between 0 and 65535 (both inclusive)" (within 0 65535);
  enum = values: plain "one of ${builtins.toJSON values}" (value: elem value values);

  lines = type "strings concatenated with \"\\n\"" isString
    (_: definitions: builtins.concatStringsSep "\n" (map (each: each.value) definitions));

  nullOr = of: type "null or ${of.description}" (value: value == null || of.check value) (location: definitions:
    if all (each: each.value == null) definitions then null
    else if lib.any (each: each.value == null) definitions then same location definitions
    else of.merge location definitions);

  listOf = of: type "list of ${of.description}" isList (location: definitions:
    concatLists (map
      (each: map (member: resolved of (location ++ [ "*" ]) [{ inherit (each) file; value = member; }]) each.value)
      definitions));

  attrsOf = of: type "attribute set of ${of.description}" isAttrs (location: definitions:
    builtins.mapAttrs (name: resolved of (location ++ [ name ])) (byName definitions));

  submodule = module: type "submodule" (value: isAttrs value || isFunction value) (location: definitions:
    (lib.evaluate location module.options definitions).config);

  # Sets are merged name by name, lists one after the other, anything else has to be the same everywhere.
  anything = type "anything" (_: true) (location: definitions:
    if all (each: isSet each.value) definitions then
      builtins.mapAttrs (name: resolved anything (location ++ [ name ])) (byName definitions)
    else if all (each: isList each.value) definitions then concatLists (map (each: each.value) definitions)
    else if length definitions == 1 then (head definitions).value
    else same location definitions);
}
