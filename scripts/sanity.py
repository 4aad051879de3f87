# SPDX-License-Identifier: GPL-3.0-or-later
"""`ansible-test sanity` on the installed collection, with each ansible-core that this Python can have.

    python scripts/sanity.py PLACE      PLACE/ansible_collections/builderfleet/macos is the collection

On an artifact rather than on the checkout, whose links ansible-test refuses, and so without a list of what to ignore. Each
ansible-core has its environments in .cache/VERSION, with a home directory of its own, so that they are made once and
nobody's ~/.ansible is touched. What was not run is named, and why.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

# ansible-core's versions that meta/runtime.yml names, and the Pythons that each can run on.
VERSIONS = {"2.19": ((3, 11), (3, 13)), "2.20": ((3, 12), (3, 14)), "2.21": ((3, 12), (3, 14))}

NotRun = tuple[str, str | None, str]
"""A test, the Python that it was not run on (None: any), and why."""

_PYTHON = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
_NOT_RUN = re.compile(r'WARNING: Skipping sanity test "(.+?)"(?: on Python (\S+))? (?:because|due to) (.+?)\.?$')
_WANTED_PIP = re.compile(r"pip='([\d.]+)'")


def main(place: Path) -> int:
    status = 0
    for version, (least, most) in VERSIONS.items():
        if not least <= sys.version_info[:2] <= most:
            needs = f"it needs Python 3.{least[1]} to 3.{most[1]}, and this is {_PYTHON}"
            say(f"sanity: left out ansible-core {version}: {needs}")
            continue
        status |= Sanity(version).run(place / "ansible_collections/builderfleet/macos")
    return status


class Sanity:
    """One version of ansible-core with its environments."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.home = ROOT / ".cache" / version
        self.bin = self.home / "venv/bin"

    def run(self, collection: Path) -> int:
        """Run every test; what went wrong is shown. 0 when nothing did."""
        self._prepare()
        say(f"sanity: ansible-core {self._installed()} on {_PYTHON}")
        log = self.home / "sanity.log"
        tests = 0
        troubles: list[str] = []
        not_run: list[NotRun] = []
        with subprocess.Popen(
            [self.bin / "ansible-test", "sanity", "--color", "no"],
            cwd=collection,
            env={"HOME": str(self.home), "PATH": self._path(), "LC_ALL": "C.UTF-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            with log.open("w", encoding="utf-8") as written:
                for line in process.stdout:
                    written.write(line)
                    tests += line.startswith("Running sanity test")
                    if skipped := _NOT_RUN.match(line):
                        not_run.append((skipped[1], skipped[2], skipped[3]))
                    elif line.startswith(("ERROR", "FATAL")):
                        troubles.append(line.rstrip())
        for line in summary(not_run):
            say(f"sanity: not run: {line}")
        if process.returncode:
            print("\n".join(troubles), file=sys.stderr)
            say(f"sanity: failed with ansible-core {self.version}: see above, and {log.relative_to(ROOT)}")
            return 1
        say(f"sanity: {tests} tests passed")
        return 0

    def _prepare(self) -> None:
        """The environment with ansible-core; the others are made by ansible-test, when it first wants them."""
        marker, wanted = self.home / "made-for", f"{sys.version} {ROOT}"
        if marker.exists() and marker.read_text() == wanted:
            return
        say(f"sanity: making environments for ansible-core {self.version} (a minute, once)")
        shutil.rmtree(self.home, ignore_errors=True)
        venv.create(self.home / "venv", with_pip=True)
        self._pip("install", "-qq", f"ansible-core~={self.version}.0")
        cache = self.home / ".ansible/test/cache"
        cache.mkdir(parents=True)
        pip = self._pip_that_it_wants()
        self._pip("download", "-qq", "--no-deps", "--dest", str(cache), f"pip=={pip}")
        shutil.copy(ROOT / "scripts/get_pip.py", cache / f"get_pip_{pip.replace('.', '_')}.py")
        configuration = self.home / ".config/pip/pip.conf"
        configuration.parent.mkdir(parents=True)
        configuration.touch(mode=0o600)  # an index may have a password
        configuration.write_text(self._pip_configuration())
        marker.write_text(wanted)

    def _pip(self, *arguments: str) -> str:
        command = [str(self.bin / "python"), "-m", "pip", "--disable-pip-version-check", *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def _pip_that_it_wants(self) -> str:
        (source,) = (self.home / "venv/lib").glob("python*/site-packages/ansible_test/_internal/python_requirements.py")
        found = _WANTED_PIP.search(source.read_text())
        if not found:
            raise SystemExit(f"{source} does not say which pip it wants, as it did in 2.19 to 2.21: look there")
        return found[1]

    def _pip_configuration(self) -> str:
        """What pip was told here by file or environment, as a file: ansible-test takes neither into its environments."""
        settings: dict[str, dict[str, str]] = {"global": {}}
        for line in self._pip("config", "list").splitlines():
            key, _equals, value = line.partition("=")
            section, _dot, name = key.rpartition(".")
            settings.setdefault("global" if section == ":env:" else section, {})[name] = ast.literal_eval(value)
        for variable, name in (("SSL_CERT_FILE", "cert"), ("REQUESTS_CA_BUNDLE", "cert"), ("HTTPS_PROXY", "proxy")):
            if os.environ.get(variable):
                settings["global"].setdefault(name, os.environ[variable])
        lines: list[str] = []
        for section, values in settings.items():
            lines.append(f"[{section}]")
            lines += (f"{name} = " + "\n    ".join(value.splitlines()) for name, value in values.items())
        return "\n".join(lines) + "\n"

    def _installed(self) -> str:
        (found,) = (self.home / "venv/lib").glob("python*/site-packages/ansible_core-*.dist-info")
        return found.name.removeprefix("ansible_core-").removesuffix(".dist-info")

    def _path(self) -> str:
        """Without pyenv's shims: they are there for Pythons that do not run, which ansible-test takes for an error."""
        usual = os.environ.get("PATH", os.defpath).split(os.pathsep)
        return os.pathsep.join([str(self.bin), *(each for each in usual if not each.endswith("/shims"))])


def summary(not_run: list[NotRun]) -> Iterator[str]:
    """A line for each reason."""
    for reason in dict.fromkeys(reason for _test, _python, reason in not_run):
        these = [(test, python) for test, python, why in not_run if why == reason]
        tests = ", ".join(dict.fromkeys(test for test, _python in these))
        pythons = ", ".join(dict.fromkeys(python for _test, python in these if python))
        yield f"{tests}{f' on Python {pythons}' if pythons else ''}: {reason}"


def say(line: str) -> None:
    print(f"==> {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    raise SystemExit(main(Path(sys.argv[1]).resolve()))
