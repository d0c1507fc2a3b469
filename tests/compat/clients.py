"""The programs in `examples/sdk-tests`: each official client, doing what applications do, against a server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PROGRAMS: Final = Path(__file__).parents[2] / "examples" / "sdk-tests"
BUILD_S: Final = 900.0
RUN_S: Final = 100.0
LANGUAGES: Final[Mapping[str, str | None]] = {"python": None, "javascript": "npm", "go": "go", "rust": "cargo"}
"""Language -> the tool without which its program cannot be built; None: it is always there."""


class ProgramFailed(Exception):
    """A program could not be built, or said no `ok`. The message is what it printed."""


def can_build(language: str) -> bool:
    """Whether this machine has the tools of a language."""
    tool = LANGUAGES[language]
    return tool is None or shutil.which(tool) is not None


def build(language: str, folder: Path) -> list[str | Path]:
    """A language's program, ready to run: its command. `folder`: for what is built. Raises `ProgramFailed`."""
    source = PROGRAMS / language
    if language == "python":
        return [sys.executable, source / "smoke.py"]
    if language == "javascript":
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], source, BUILD_S)
        return ["node", source / "smoke.mjs"]
    if language == "go":
        _run(["go", "build", "-o", folder / "smoke", "."], source, BUILD_S)
        return [folder / "smoke"]
    _run(["nice", "cargo", "build", "--locked", "--quiet"], source, BUILD_S)
    return [source / "target" / "debug" / "miroir-sdk-test"]


def try_out(command: Sequence[str | Path], url: str, key: str | None) -> None:
    """Run a program against a server, to its last word. Raises `ProgramFailed`."""
    said = _run(command, PROGRAMS, RUN_S, MEILI_URL=url, MEILI_KEY=key or "")
    if said.splitlines()[-1:] != ["ok"]:
        raise ProgramFailed(said)


@dataclass
class Clients:
    """Which programs were run against the right side, those that passed, and what the others printed."""

    run: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        passed = f"SDK tests passed: {len(self.run) - len(self.failed)} of {len(self.run)}"
        return f"{passed} ({', '.join(f'no {each}' for each in self.absent)} here)" if self.absent else passed


def try_all(url: str, key: str | None, folder: Path) -> Clients:
    """Every program whose tools are here, against one server."""
    clients = Clients()
    for language in LANGUAGES:
        if not can_build(language):
            clients.absent.append(language)
            continue
        clients.run.append(language)
        try:
            try_out(build(language, folder), url, key)
        except ProgramFailed as failure:
            clients.failed[language] = str(failure)
    return clients


def _run(command: Sequence[str | Path], folder: Path, timeout_s: float, **environment: str) -> str:
    try:
        ran = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as failure:
        raise ProgramFailed(f"{failure}\n{failure.stdout!r}") from None
    if ran.returncode != 0:
        raise ProgramFailed(ran.stdout)
    return ran.stdout
