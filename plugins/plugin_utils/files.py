# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes to files: written beside, checked by the program that will read them, flushed, renamed (`design §4.4`)."""

from __future__ import annotations

from collections.abc import Iterator

from .questions.file import NOTHING, Found, Kind
from .resource import Blocked, Change, Diff, Step
from .shell import here, quote


def diff(path: str, before: Found, after: Found) -> Diff:
    """What people see of a change of a file; metadata only where it matters."""
    show_metadata = not before.absent and not after.absent and before.metadata != after.metadata
    return Diff(path, _shown(before, show_metadata), _shown(after, show_metadata))


def _shown(found: Found, with_metadata: bool) -> str:
    text = (found.content or b"").decode("utf-8", "backslashreplace")
    return f"[{found.metadata}]\n{text}" if with_metadata else text


def replaced(
    path: str,
    seen: Found,
    data: bytes,
    *,
    mode: int,
    uid: int = 0,
    gid: int = 0,
    check: str = "",
    between: str = "",
) -> str:
    """The script that puts a file in place of what was seen there.

    `check` is shell that may use "$new", the path of the staged file, and fails when the file must not be installed; nothing
    is left of it then. `between` is shell for what is written once nothing refuses the file any more, before it is in place.
    """
    where, what = quote(path), quote(seen.seen)
    lines = [f"stage {where} {what} {mode:04o} {uid} {gid} {here(data)}".rstrip("\n")]
    if check:
        lines += [f'new="$(staged {where})"', f"set +e\n(\nset -e\n{check.strip()}\n)\nstatus=$?\nset -e"]
        lines.append(f'unless_zero "$status" {where}')
    lines += [between.strip()] if between else []
    lines.append(f"commit {where} {what}")
    return "\n".join(lines) + "\n"


def removed(path: str, seen: Found) -> str:
    """The script that takes away what was seen."""
    return f"discard {quote(path)} {quote(seen.seen)}\n"


def own_file(
    title: str,
    path: str,
    found: Found,
    data: bytes,
    *,
    mode: int = 0o644,
    check: str = "",
    before: str = "",
    between: str = "",
    after: str = "",
    anew: bool = False,
) -> Iterator[Step]:
    """The change that makes a file of the project's own as it has to be, if it is not, or `anew` in any case.

    `before` and `after` are shell for what has to happen around it, `between` as in `replaced`.
    """
    if not anew and found.kind is Kind.FILE and found.content == data and found.has(mode, 0, 0):
        return
    if found.kind in (Kind.DIRECTORY, Kind.OTHER):
        yield in_the_way(path, found)
        return
    wanted = Found(Kind.FILE, mode, 0, 0, data)
    yield Change(
        title,
        before + replaced(path, found, data, mode=mode, check=check, between=between) + after,
        diffs=(diff(path, found, wanted),),
    )


def no_file(title: str, path: str, found: Found) -> Iterator[Step]:
    """The change that takes a file of the project's own away, if it is there."""
    if found.absent:
        return
    if found.kind in (Kind.DIRECTORY, Kind.OTHER):
        yield in_the_way(path, found)
        return
    yield Change(title, removed(path, found), diffs=(diff(path, found, NOTHING),))


def in_the_way(path: str, found: Found) -> Blocked:
    """Something stands where a file of the project's own belongs."""
    return Blocked(
        f"{path} should be a file, but is a {found.kind.value}", "Look what it is, move it away, and run again"
    )
