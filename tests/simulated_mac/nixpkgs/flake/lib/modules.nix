# SPDX-License-Identifier: GPL-3.0-or-later
# The module system: options are declared once, defined by many, and the definitions of the highest priority are merged.
#
# A definition is { file; value; }. On its way down to an option every mark around a set of definitions (mkIf, mkMerge,
# mkOverride) is put on each of its members instead, so that names can be checked without looking at any condition.
{ lib }:
let
  inherit (builtins)
    attrNames concatLists concatMap concatStringsSep elem filter foldl' head isAttrs isFunction isPath isString length
    listToAttrs map mapAttrs seq sort tail;
  inherit (lib) isOption showOption;

  moduleWords = [ "_class" "_file" "config" "disabledModules" "freeformType" "imports" "key" "meta" "options" ];

  # A module and all that it imports: [ { file; options; config; } ], imported ones first.
  load = arguments: module:
    let
      inFile = isPath module || isString module;
      given = if inFile then import module else module;
      body = if isFunction given then given arguments else given;
      file = if inFile then toString module else body._file or "<unknown-file>";
      full = !(body ? _type) && (body ? config || body ? options);
      foreign = filter (word: !(elem word moduleWords)) (attrNames body);
      own =
        if body ? _type then { options = { }; config = body; }
        else if !full then { options = { }; config = removeAttrs body moduleWords; }
        else if foreign != [ ] then
          throw ("Module `${file}' has an unsupported attribute `${head foreign}'. This is caused by introducing a "
            + "top-level `config' or `options' attribute: put it under `config' then.")
        else { options = body.options or { }; config = body.config or { }; };
    in
    concatMap (load arguments) (body.imports or [ ]) ++ [ (own // { inherit file; }) ];

  # One tree of options of those of all modules: [ { file; tree; } ].
  declared = location: trees:
    let
      names = attrNames (foldl' (all: each: all // each.tree) { } trees);
      at = name:
        let
          here = concatMap
            (each: if each.tree ? ${name} then [{ inherit (each) file; tree = each.tree.${name}; }] else [ ])
            trees;
          options = filter (each: isOption each.tree) here;
          path = showOption (location ++ [ name ]);
        in
        if options == [ ] then declared (location ++ [ name ]) here
        else if length here > 1 then
          throw "The option `${path}' in `${(head here).file}' is already declared in `${(head (tail here)).file}'."
        else (head options).tree;
    in
    listToAttrs (map (name: { inherit name; value = at name; }) names);

  # A set of definitions as a list of plain sets, the marks around it now around each member.
  pushedDown = location: definition:
    let
      value = definition.value;
      again = content: pushedDown location (definition // { value = content; });
      marked = mark: map (each: each // { value = mapAttrs (_: mark) each.value; });
    in
    if !(isAttrs value) then
      throw ("The option `${showOption location}' is a set of options, "
        + "in `${definition.file}' it is defined as ${builtins.typeOf value}.")
    else if value._type or "" == "merge" then concatMap again value.contents
    else if value._type or "" == "if" then marked (lib.mkIf value.condition) (again value.content)
    else if value._type or "" == "override" then marked (lib.mkOverride value.priority) (again value.content)
    else [ definition ];

  definitionsOf = name: definitions:
    concatMap
      (each: if each.value ? ${name} then [{ inherit (each) file; value = each.value.${name}; }] else [ ])
      definitions;

  # Every name that is defined and is no option: [ { file; location; } ].
  unmatched = location: options: definitions:
    let plain = concatMap (pushedDown location) definitions; in
    concatMap
      (definition: concatMap
        (name:
          let here = location ++ [ name ]; in
          if !(options ? ${name}) then [{ inherit (definition) file; location = here; }]
          else if isOption options.${name} then [ ]
          else unmatched here options.${name} [{ inherit (definition) file; value = definition.value.${name}; }])
        (attrNames definition.value))
      plain;

  # The tree of options with their values.
  evaluated = location: options: definitions:
    let plain = concatMap (pushedDown location) definitions; in
    mapAttrs
      (name: option:
        let here = location ++ [ name ]; in
        if isOption option then withValue here option (definitionsOf name plain)
        else evaluated here option (definitionsOf name plain))
      options;

  withValue = location: option: definitions:
    let
      type = option.type or lib.types.unspecified;
      default = if option ? default then [{ file = "<default>"; value = lib.mkOptionDefault option.default; }] else [ ];
      kept = strongest (concatMap discharged (definitions ++ default));
      value =
        if kept == [ ] then
          throw "The option `${showOption location}' was accessed but has no value defined. Try setting the option."
        else merged type location kept;
    in
    option // {
      inherit type value;
      loc = location;
      isDefined = kept != [ ];
      definitions = map (each: each.value) kept;
      definitionsWithLocations = map (each: { inherit (each) file value; }) kept;
      files = map (each: each.file) kept;
      highestPrio = if kept == [ ] then 1500 else (head kept).priority;
    };

  # A definition without its marks: { file; value; priority; order; }, none or several.
  discharged = definition:
    let
      value = definition.value;
      again = content: discharged (definition // { value = content; });
      mark = if isAttrs value then value._type or "" else "";
    in
    if mark == "merge" then concatMap again value.contents
    else if mark == "if" then (if value.condition then again value.content else [ ])
    else if mark == "override" then map (each: each // { inherit (value) priority; }) (again value.content)
    else if mark == "order" then map (each: each // { order = value.priority; }) (again value.content)
    else [{ inherit (definition) file; inherit value; priority = lib.defaultOverridePriority; order = 1000; }];

  strongest = definitions:
    let best = foldl' (low: each: if each.priority < low then each.priority else low) 10000 definitions; in
    sort (a: b: a.order < b.order) (filter (each: each.priority == best) definitions);

  merged = type: location: definitions:
    let wrong = filter (each: !(type.check each.value)) definitions; in
    if wrong == [ ] then type.merge location definitions
    else
      throw ("A definition for option `${showOption location}' is not of type `${type.description}'. Definition values:"
        + showDefinitions wrong);

  showDefinitions = definitions:
    concatStringsSep "" (map (each: "\n- In `${each.file}': ${shown each.value}") definitions);
  shown = value:
    if builtins.isString value then builtins.toJSON value
    else if builtins.isInt value || builtins.isBool value || value == null then builtins.toJSON value
    else "<${builtins.typeOf value}>";

  # The value of definitions of one thing, marks and all: members of lists and sets, which are no options themselves.
  resolved = type: location: definitions: merged type location (strongest (concatMap discharged definitions));

  evaluate = location: options: definitions:
    let
      tree = evaluated location options definitions;
      foreign = unmatched location options definitions;
      first = head foreign;
    in
    {
      options = tree;
      config =
        if foreign == [ ] then values tree
        else throw "The option `${showOption first.location}' does not exist. Definition values:\n- In `${first.file}'";
    };

  values = mapAttrs (_: node: if isOption node then node.value else values node);

  evalModules = { modules, specialArgs ? { } }:
    let
      arguments = { inherit lib; inherit (result) config options; } // specialArgs;
      loaded = concatLists (map (load arguments) modules);
      options = declared [ ] (map (each: { inherit (each) file; tree = each.options; }) loaded);
      result = evaluate [ ] options (map (each: { inherit (each) file; value = each.config; }) loaded);
    in
    { inherit (result) config options; };
in
{ inherit discharged evalModules evaluate resolved showDefinitions strongest; }
