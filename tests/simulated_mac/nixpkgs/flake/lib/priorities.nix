# SPDX-License-Identifier: GPL-3.0-or-later
# Marks on definitions: which wins (the lowest number), which comes first in a list, and whether there is one at all.
rec {
  mkOverride = priority: content: { _type = "override"; inherit priority content; };
  mkOptionDefault = mkOverride 1500;
  mkDefault = mkOverride 1000;
  mkImageMediaOverride = mkOverride 60;
  mkForce = mkOverride 50;
  mkVMOverride = mkOverride 10;
  defaultOverridePriority = 100;

  mkOrder = priority: content: { _type = "order"; inherit priority content; };
  mkBefore = mkOrder 500;
  mkAfter = mkOrder 1500;

  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkMerge = contents: { _type = "merge"; inherit contents; };

  mkOption = attributes: attributes // { _type = "option"; };
  isOption = value: value._type or "" == "option";
}
