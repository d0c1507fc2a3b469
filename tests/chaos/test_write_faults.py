"""Seeded runs of faults at every step of a write. I1 to I4 hold in each, or the seed is printed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import trio

from miroir.cli.dev_process import scratch_directory
from tests.chaos.harness import ChaosCluster, Run

RUNS = int(os.environ.get("MIROIR_CHAOS_RUNS", "24"))
FIRST = int(os.environ.get("MIROIR_CHAOS_FIRST_SEED", "1"))
SHAPES = {"one group of 2, RF 2": (1, 2, 2), "2 groups of 1": (2, 1, 1)}


@pytest.fixture(scope="module", params=list(SHAPES.values()), ids=list(SHAPES))
def chaos(request: pytest.FixtureRequest) -> Iterator[ChaosCluster]:
    groups, nodes, rf = request.param
    cluster = ChaosCluster(scratch_directory("miroir-chaos"), groups=groups, nodes=nodes, rf=rf)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


@pytest.mark.timeout(3000)
# A server that dies in the middle of an answer leaves httpx's generators unfinished.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.allow_stamps
def test_nothing_acknowledged_is_lost(chaos: ChaosCluster) -> None:
    for seed in range(FIRST, FIRST + RUNS // len(SHAPES)):
        run = Run(chaos, seed + 10_000 * chaos.groups)
        history = trio.run(run.run)
        assert history.tasks, f"seed {run.seed}: nothing was acknowledged"
        assert not history.violations, f"seed {run.seed}, faults {run.log}:\n" + "\n".join(history.violations)
