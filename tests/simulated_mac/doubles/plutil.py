# SPDX-License-Identifier: GPL-3.0-or-later
"""plutil: property lists (`macos_commands §5`). What is wrong with a file it says on standard output."""

from __future__ import annotations

import json
import plistlib
import sys
from pathlib import Path
from typing import Any

from . import shared


def main(arguments: list[str]) -> int:
    if not arguments:
        raise shared.Unmodelled("no verb")
    verb, words = arguments[0], arguments[1:]
    if verb == "-lint" or not verb.startswith("-"):
        return _lint(words if verb == "-lint" else arguments)
    if verb == "-convert" and words:
        return _convert(words[0], words[1:])
    if verb == "-extract" and len(words) > 1:
        return _extract(words[0], words[1], words[2:])
    if verb == "-p" and len(words) == 1:
        print(_pretty(_load(words[0], "")))
        return 0
    raise shared.Unmodelled(f"verb {verb}")


def _load(name: str, purpose: str) -> Any:
    """A property list in any format. Raises Exit as plutil fails."""
    path = "<stdin>" if name == "-" else name
    if name != "-" and not Path(name).exists():
        raise shared.Exit(1, out=f"{path}: file does not exist or is not readable or is not a regular file\n")
    data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    try:
        return json.loads(data) if purpose != "lint" and data.lstrip()[:1] in (b"{", b"[") else plistlib.loads(data)
    except Exception as error:  # plistlib raises whatever its XML parser does
        reason = f"Property List error: {error} / JSON error: JSON text did not start with array or object"
        text = f"{path}: {reason}\n" if purpose in ("lint", "") else f"{path}: Property List error: {error}\n"
        raise shared.Exit(1, out=text) from None


def _lint(words: list[str]) -> int:
    silent = words[:1] == ["-s"]
    status = 0
    for name in words[1:] if silent else words:
        if name.startswith("-") and name != "-":
            raise shared.Unmodelled(f"option {name}")
        try:
            _load(name, "lint")
        except shared.Exit as failure:
            print(failure.out, end="")
            status = failure.status
        else:
            print("" if silent else f"{name}: OK\n", end="")
    return status


def _output(words: list[str]) -> tuple[str | None, str]:
    """(what -o says, the file)."""
    if words[:1] == ["-o"] and len(words) == 3:
        return words[1], words[2]
    if len(words) == 1:
        return None, words[0]
    raise shared.Unmodelled("options")


def _write(data: bytes, output: str | None, name: str) -> None:
    # Without -o the file itself is rewritten, and its owner loses what was there.
    target = output or name
    if target == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        Path(target).write_bytes(data)


def _encoded(value: Any, kind: str, name: str) -> bytes:
    if kind == "xml1":
        return plistlib.dumps(value)
    if kind == "binary1":
        return plistlib.dumps(value, fmt=plistlib.FMT_BINARY)
    if kind == "json":
        try:
            return json.dumps(value, separators=(",", ":")).encode()
        except TypeError:
            raise shared.Exit(1, out=f"{name}: invalid object in plist for destination format\n") from None
    raise shared.Unmodelled(f"format {kind}")


def _convert(kind: str, words: list[str]) -> int:
    output, name = _output(words)
    _write(_encoded(_load(name, "convert"), kind, name), output, name)
    return 0


def _extract(path: str, kind: str, words: list[str]) -> int:
    output, name = _output(words)
    value = _load(name, "extract")
    for key in path.split("."):
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, ValueError, TypeError):
            text = f"{name}: Could not extract value, error: No value at that key path or invalid key path: {path}\n"
            raise shared.Exit(1, out=text) from None
    if kind == "raw":
        print(_raw(value))
    else:
        _write(_encoded(value, kind, name), output, name)
    return 0


def _raw(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "\n".join(value)
    if isinstance(value, list):
        return str(len(value))
    return str(value)


def _pretty(value: Any, depth: int = 0) -> str:
    indent = "  " * (depth + 1)
    if isinstance(value, dict):
        lines = [f'{indent}"{key}" => {_pretty(item, depth + 1)}' for key, item in value.items()]
        return "\n".join(["{", *lines, "  " * depth + "}"])
    if isinstance(value, list):
        lines = [f"{indent}{number} => {_pretty(item, depth + 1)}" for number, item in enumerate(value)]
        return "\n".join(["[", *lines, "  " * depth + "]"])
    return f'"{value}"' if isinstance(value, str) else _raw(value)
