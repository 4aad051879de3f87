# SPDX-License-Identifier: GPL-3.0-or-later
"""That what is written for Ansible's users, and pyinfra's signatures, say what the resources and the variables say.

All of it is written by hand, so that it reads well; what it says of names, types and defaults is said once, in the core.
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.builderfleet.macos.plugins.action import MacAction, ResourceAction
from ansible_collections.builderfleet.macos.plugins.doc_fragments.mac import ModuleDocFragment
from ansible_collections.builderfleet.macos.plugins.plugin_utils.controller import LEAST_ANSIBLE
from ansible_collections.builderfleet.macos.plugins.plugin_utils.outcome import Outcome
from ansible_collections.builderfleet.macos.plugins.plugin_utils.parameters import by_itself, parameters
from ansible_collections.builderfleet.macos.plugins.plugin_utils.readers import Choice
from ansible_collections.builderfleet.macos.plugins.plugin_utils.resources.linux_builder import PHASES
from ansible_collections.builderfleet.macos.plugins.plugin_utils.session import Session
from ansible_collections.builderfleet.macos.plugins.plugin_utils.variables import (
    VARIABLES,
    Variable,
    WrongVariable,
    values,
)

ROOT = Path(__file__).parents[2]
COLLECTION = "ansible_collections.builderfleet.macos.plugins"
ACTIONS = sorted(path.stem for path in (ROOT / "plugins/action").glob("[!_]*.py"))
ROLES = sorted(path.parent.name for path in (ROOT / "roles").glob("*/tasks"))


def action(name: str) -> type[MacAction]:
    module = importlib.import_module(f"{COLLECTION}.action.{name}")
    found: type[MacAction] = module.ActionModule
    return found


def written(name: str) -> ModuleType:
    """The module that holds an action's documentation."""
    return importlib.import_module(f"{COLLECTION}.modules.{name}")


def options(name: str) -> dict[str, dict[str, Any]]:
    """An action's documented options, those of its fragments included."""
    documentation = yaml.safe_load(written(name).DOCUMENTATION)
    found = dict(documentation.get("options") or {})
    for fragment in documentation["extends_documentation_fragment"]:
        part = fragment.removeprefix("builderfleet.macos.mac").lstrip(".").upper() or "DOCUMENTATION"
        found |= yaml.safe_load(getattr(ModuleDocFragment, part))["options"]
    return found


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def in_words(default: Any) -> str:
    """A default as prose has it; nothing where there is none."""
    if isinstance(default, tuple):
        return ", ".join(default)
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default is None else str(default)


def text(description: str | list[str]) -> str:
    """A description on one line, with code marked as in Markdown."""
    lines = [description] if isinstance(description, str) else description
    return " ".join(re.sub(r"C\(([^)]*)\)", r"`\1`", " ".join(lines)).split())


def facets(option: dict[str, Any]) -> dict[str, Any]:
    """What of an option is not prose."""
    return {name: value for name, value in option.items() if name != "description"}


def kind(variable: Variable) -> dict[str, Any]:
    """A variable's type in Ansible's words."""
    if isinstance(variable.read, Choice):
        return {"type": "str", "choices": list(variable.read.words)}
    if isinstance(variable.default, tuple):
        return {"type": "list", "elements": "str"}
    if variable.default is not None:
        return {"type": type(variable.default).__name__}
    try:
        variable.read(1)
    except ValueError:
        return {"type": "str"}
    return {"type": "int"}


def resource_facets(name: str) -> dict[str, dict[str, Any]]:
    """What the options of an action for one resource have to be."""
    found: dict[str, dict[str, Any]] = {}
    for each in parameters(action(name).resource):
        if each.name == "present":
            found["state"] = {"type": "str", "choices": ["present", "absent"], "default": "present"}
            continue
        found[each.name] = {"type": each.kind}
        if each.kind == "list":
            found[each.name]["elements"] = "str"
        if each.required:
            found[each.name]["required"] = True
        elif each.default is not None:
            found[each.name]["default"] = dict(each.default) if each.kind == "dict" else each.default
    return found


RESOURCE_ACTIONS = [name for name in ACTIONS if issubclass(action(name), ResourceAction)]
WHOLE_ACTIONS = [name for name in ACTIONS if name not in RESOURCE_ACTIONS]


def test_every_action_is_documented_and_every_documentation_has_an_action() -> None:
    assert sorted(path.stem for path in (ROOT / "plugins/modules").glob("[!_]*.py")) == ACTIONS


def test_the_action_group_lists_every_action() -> None:
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())
    assert runtime["action_groups"]["macs"] == ACTIONS


def test_every_operation_has_an_action_and_the_other_way_round() -> None:
    assert sorted(importlib.import_module("builderfleet.operations").__all__) == ACTIONS


@pytest.mark.parametrize("name", RESOURCE_ACTIONS)
def test_options_are_the_resources_parameters(name: str) -> None:
    assert {option: facets(about) for option, about in options(name).items()} == resource_facets(name)


@pytest.mark.parametrize("name", RESOURCE_ACTIONS)
def test_operations_have_the_resources_parameters(name: str) -> None:
    """With the same defaults, or None, which stands for the resource's own."""
    operation = getattr(importlib.import_module("builderfleet.operations"), name)
    taken = inspect.signature(operation).parameters
    wanted = {each.name: each for each in parameters(action(name).resource)}
    assert set(taken) == set(wanted)
    for each in wanted.values():
        default = plain(taken[each.name].default)
        assert default is inspect.Parameter.empty if each.required else default in (None, each.default), each.name
    explained = re.findall(r"^\s*\+ (\w+): ", inspect.getdoc(operation) or "", re.MULTILINE)
    assert explained == list(taken), "the docstring explains each of them, in the same order"


@pytest.mark.parametrize("name", [name for name in WHOLE_ACTIONS if options(name)])
def test_options_of_the_whole_are_the_variables(name: str) -> None:
    """Without defaults, which would hide the host's variables: those are said in words."""
    documented = options(name)
    phases = documented.pop("phases", None)
    assert {option: facets(about) for option, about in documented.items()} == {
        each.name: kind(each) for each in VARIABLES
    }
    for each in VARIABLES:
        said = f" The default is `{in_words(each.default)}`." if in_words(each.default) else ""
        assert text(documented[each.name]["description"]) == each.about + said
    if phases:
        assert facets(phases) == {"type": "list", "elements": "str"}
        assert tuple(re.findall(r"`(\w+)`", text(phases["description"]))) == PHASES


def test_linux_builder_can_be_done_by_phases() -> None:
    assert "phases" in options("linux_builder")


@pytest.mark.parametrize("name", ACTIONS)
def test_examples_can_be_used_as_they_are(name: str) -> None:
    tasks = yaml.safe_load(written(name).EXAMPLES)
    calls = [
        (word.removeprefix("builderfleet.macos."), given or {})
        for task in tasks
        for word, given in task.items()
        if word.startswith("builderfleet.macos.")
    ]
    assert len(calls) == len(tasks)
    assert name in dict(calls)
    for called, given in calls:
        assert set(given) <= set(options(called))
        if called in RESOURCE_ACTIONS:
            ours = {option: value for option, value in given.items() if option != "state"}
            _, wrong = by_itself(action(called).resource, ours)
        else:
            assert set(given.pop("phases", ())) <= set(PHASES)
            _, wrong = values(given)
        assert not wrong


@pytest.mark.parametrize("name", ACTIONS)
def test_return_values_are_those_of_the_report(name: str) -> None:
    refused = Session((), who="a test", wrong=(WrongVariable("linux_builder_cores", "too few"),))
    subject = action(name).__new__(action(name))
    subject._task = SimpleNamespace(diff=True, check_mode=False, no_log=False)
    documented = yaml.safe_load(written(name).RETURN)
    assert set(documented) == set(subject.report(refused)) - {"changed", "failed", "msg", "diff"}
    never = {Outcome.UNREACHABLE}
    if name == "doctor":  # it puts nothing right
        never |= {Outcome.CHANGED, Outcome.WOULD_CHANGE, Outcome.REBOOT_NEEDED}
    assert documented["outcome"]["choices"] == [each.word for each in Outcome if each not in never]
    assert all(each["description"] and each["returned"] and each["type"] for each in documented.values())


def test_every_variable_belongs_to_one_role() -> None:
    assert [sum(each.name.startswith(f"{role}_") for role in ROLES) for each in VARIABLES] == [1] * len(VARIABLES)


@pytest.mark.parametrize("role", ROLES)
class TestRole:
    """What a role says of its variables, at the three places where people look."""

    @staticmethod
    def of(role: str) -> list[Variable]:
        return [each for each in VARIABLES if each.name.startswith(f"{role}_")]

    def test_defaults(self, role: str) -> None:
        source = (ROOT / "roles" / role / "defaults/main.yml").read_text()
        assert yaml.safe_load(source) == {each.name: plain(each.default) for each in self.of(role)}
        comments = {
            name: " ".join(comment.replace("\n# ", " ").removeprefix("# ").split())
            for comment, name in re.findall(r"((?:^# .*\n)+)^(\w+):", source, re.MULTILINE)
        }
        assert comments == {each.name: each.about for each in self.of(role)}

    def test_argument_specs(self, role: str) -> None:
        specs = yaml.safe_load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text())["argument_specs"]
        assert list(specs) == ["main"]
        taken = specs["main"]["options"]
        assert {name: text(about["description"]) for name, about in taken.items()} == {
            each.name: each.about for each in self.of(role)
        }
        assert {name: facets(about) for name, about in taken.items()} == {
            each.name: kind(each) | ({} if each.default is None else {"default": plain(each.default)})
            for each in self.of(role)
        }

    def test_readme(self, role: str) -> None:
        rows = re.findall(
            r"^\| `(\w+)` \| .+ \| (.+) \|$", (ROOT / "roles" / role / "README.md").read_text(), re.MULTILINE
        )
        assert rows == [(each.name, each.about) for each in self.of(role)]


def test_the_phases_of_the_role_and_their_tags() -> None:
    role = ROOT / "roles/linux_builder"
    everything, *alone = yaml.safe_load((role / "tasks/main.yml").read_text())
    assert everything["tags"] == "linux_builder"
    assert [each["builderfleet.macos.linux_builder"]["phases"] for each in alone] == [[phase] for phase in PHASES]
    assert [each["tags"] for each in alone] == [["never", f"linux_builder_{phase}"] for phase in PHASES]
    assert [each["when"] for each in alone] == [f"'linux_builder_{phase}' in ansible_run_tags" for phase in PHASES]
    assert tuple(yaml.safe_load((role / "vars/main.yml").read_text())["__linux_builder_all"]) == PHASES
    explained = re.findall(r"^\| `linux_builder_(\w+)` \| [^|]+ \|$", (role / "README.md").read_text(), re.MULTILINE)
    assert tuple(explained) == PHASES


def test_one_range_of_ansible_versions() -> None:
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["requires_ansible"]
    (package,) = re.findall(r'"ansible-core(\S+?)"', (ROOT / "pyproject.toml").read_text())
    assert runtime.replace(".0,", ",").removesuffix(".0") == package
    assert f">={'.'.join(map(str, LEAST_ANSIBLE))}.0," in runtime
