"""The programs in `examples/sdk-tests`: each official client against a plain node, and against Miroir."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.nodes import MASTER_KEY, NODE_KEY, Cluster, RealNode

PROGRAMS = Path(__file__).parents[2] / "examples" / "sdk-tests"
BUILD_S = 900.0
RUN_S = 100.0

LANGUAGES = {"python": None, "javascript": "npm", "go": "go", "rust": "cargo"}
"""Language -> the tool without which its program cannot be built; None: it is always there."""


def _run(command: Sequence[str | Path], folder: Path, timeout_s: float, **environment: str) -> str:
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
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str | Path]]:
    """A language's program, ready to run: its command."""
    built: dict[str, list[str | Path]] = {}

    def build(language: str) -> list[str | Path]:
        folder = PROGRAMS / language
        if language == "python":
            return [sys.executable, folder / "smoke.py"]
        if language == "javascript":
            _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], folder, BUILD_S)
            return ["node", folder / "smoke.mjs"]
        if language == "go":
            target = tmp_path_factory.mktemp("go") / "smoke"
            _run(["go", "build", "-o", target, "."], folder, BUILD_S)
            return [target]
        _run(["nice", "cargo", "build", "--locked", "--quiet"], folder, BUILD_S)
        return [folder / "target" / "debug" / "miroir-sdk-test"]

    def ready(language: str) -> list[str | Path]:
        tool = LANGUAGES[language]
        if tool is not None and shutil.which(tool) is None:
            pytest.skip(f"{tool} is not on this machine")
        if language not in built:
            built[language] = build(language)
        return built[language]

    return ready


@pytest.mark.timeout(BUILD_S + RUN_S)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_official_client_works_on_a_plain_node(
    program: Callable[[str], list[str | Path]], single_node: RealNode, language: str
) -> None:
    command = program(language)
    said = _run(command, PROGRAMS, RUN_S, MEILI_URL=single_node.address, MEILI_KEY=NODE_KEY)
    assert said.splitlines()[-1] == "ok"


@pytest.mark.timeout(BUILD_S + RUN_S)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_official_client_notices_nothing(
    program: Callable[[str], list[str | Path]], cluster: Callable[..., Cluster], language: str
) -> None:
    command = program(language)
    running = cluster(groups=1, nodes=3, rf=1)
    said = _run(command, PROGRAMS, RUN_S, MEILI_URL=running.server.address, MEILI_KEY=MASTER_KEY)
    assert said.splitlines()[-1] == "ok"
