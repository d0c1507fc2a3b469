"""Miroir killed at each step of a change of settings: afterwards it is made everywhere, or nowhere."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from miroir.cli.dev_process import scratch_directory
from tests.chaos.harness import ChaosCluster
from tests.client import wait_until


@pytest.fixture(scope="module")
def chaos() -> Iterator[ChaosCluster]:
    cluster = ChaosCluster(scratch_directory("miroir-chaos"), groups=1, nodes=2, rf=1, over={})
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


STEPS = [
    ("before begin", 1),
    ("after begin", 1),
    ("after a send", 1),
    ("after a send", 2),
    ("before commit", 1),
    ("after commit", 1),
    ("before settle_change", 1),
    ("after settle_change", 1),
]


@pytest.mark.parametrize(("step", "count"), STEPS)
def test_killed_at_a_step_of_a_change_it_is_whole_or_not_there(chaos: ChaosCluster, step: str, count: int) -> None:
    client = chaos.client
    index = f"{step}-{count}".replace(" ", "-")
    client.create_index(index, "id")
    client.update_settings(index, {"stopWords": ["old"]})
    chaos.server.crash_at(step, count)
    task = None
    try:
        answer = client.request("PATCH", f"/indexes/{index}/settings", json={"stopWords": ["new"]})
        task = answer.json()
    except httpx.HTTPError:
        pass
    wait_until(lambda: not chaos.server.running, 30, "the server dead")
    chaos.server.kill()
    chaos.server.start()
    chaos.server.wait_serving(60)
    chaos.wait_all_healthy()
    if task is not None:
        assert client.succeeded(task)["details"] == {"stopWords": ["new"]}

    def agreed(*wanted: str) -> bool:
        shown = [client.get(f"/indexes/{index}/settings")["stopWords"]]
        shown += [node.api.get(f"/indexes/{index}/settings")["stopWords"] for node in chaos.nodes]
        open_tasks = client.get("/tasks", indexUids=index, statuses="enqueued,processing")["total"]
        return not open_tasks and shown.count(shown[0]) == len(shown) and shown[0][0] in wanted

    wait_until(lambda: agreed("new", *([] if task else ["old"])), 30, "all of one mind")
    client.update_settings(index, {"stopWords": ["newer"]})
    assert agreed("newer")
