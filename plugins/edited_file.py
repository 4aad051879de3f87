# SPDX-License-Identifier: GPL-3.0-or-later
"""A text file of the controller's that is edited: read once, shown as a diff, and replaced as a whole or not at all."""

from __future__ import annotations

import difflib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


class FileProblem(Exception):
    """A file could not be read or replaced. The text says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class EditedFile:
    """A file as it was read: its text, line ends included."""

    path: Path
    text: str

    @classmethod
    def read(cls, path: Path) -> EditedFile:
        """Raises FileProblem."""
        try:
            return cls(path, path.read_bytes().decode("utf-8"))
        except FileNotFoundError as error:
            raise FileProblem(f"wanted the file {path}, saw none: name another, or run it where the file is") from error
        except (OSError, UnicodeDecodeError) as error:
            raise FileProblem(f"cannot read {path} as UTF-8 text: {error}") from error

    def diff(self, after: str) -> str:
        """A unified diff; empty when nothing is different."""
        lines = difflib.unified_diff(
            self.text.splitlines(), after.splitlines(), f"{self.path} (now)", f"{self.path} (wanted)", lineterm=""
        )
        return "".join(f"{line}\n" for line in lines)

    def replace(self, after: str) -> None:
        """Write the new text beside the file, flush it to disk and rename it; mode kept, and the owner as far as one may.

        Raises FileProblem; also when the file is no longer what was read.
        """
        try:
            self._replace(self.path.resolve(strict=True), after.encode("utf-8"))  # a link stays one
        except OSError as error:
            raise FileProblem(f"cannot replace {self.path}, which is as it was: {error}") from error

    def _replace(self, path: Path, data: bytes) -> None:
        # Ansible passes over what begins with a dot and over what ends in a tilde, should a crash leave it there.
        descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", suffix="~", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                before = path.stat()
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                os.fchmod(file.fileno(), before.st_mode & 0o7777)
                file.flush()
                os.fsync(file.fileno())
            if path.read_bytes() != self.text.encode("utf-8"):
                raise FileProblem(f"{self.path} has changed since it was read: nothing was written, run it again")
            Path(beside).rename(path)
        except BaseException:
            Path(beside).unlink()
            raise
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
