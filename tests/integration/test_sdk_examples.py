"""The programs in `examples/sdk-tests`: each official client against a plain node, and against Miroir."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compat.clients import BUILD_S, LANGUAGES, RUN_S, build, can_build, try_out
from tests.nodes import MASTER_KEY, NODE_KEY, Cluster, RealNode

Program = Callable[[str], list[str | Path]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A language's program, ready to run: its command."""
    built: dict[str, list[str | Path]] = {}

    def ready(language: str) -> list[str | Path]:
        if not can_build(language):
            pytest.skip(f"{LANGUAGES[language]} is not on this machine")
        if language not in built:
            built[language] = build(language, tmp_path_factory.mktemp(language))
        return built[language]

    return ready


@pytest.mark.timeout(BUILD_S + RUN_S)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_official_client_works_on_a_plain_node(program: Program, single_node: RealNode, language: str) -> None:
    try_out(program(language), single_node.address, NODE_KEY)


@pytest.mark.timeout(BUILD_S + RUN_S)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_official_client_notices_nothing(program: Program, cluster: Callable[..., Cluster], language: str) -> None:
    running = cluster(groups=1, nodes=3, rf=1)
    try_out(program(language), running.server.address, MASTER_KEY)
