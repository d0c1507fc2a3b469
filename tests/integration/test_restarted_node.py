"""A node that was wiped and restarted between two writes, with nobody looking at it in between."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.client import wait_until
from tests.integration.test_faults import add, all_ids, assert_copies_equal, documents, fully_repaired
from tests.nodes import Cluster, RealNode

SELDOM: dict[str, Any] = {"health": {"interval_ms": 600_000}}
"""Regular probes would find it out by themselves."""


def tasks(node: RealNode) -> list[dict[str, Any]]:
    """All tasks of a node's disk, oldest first."""
    found: list[dict[str, Any]] = node.api.get("/tasks", limit=1000)["results"]
    return found[::-1]


@pytest.mark.parametrize("wiped", [True, False])
def test_the_second_write_reaches_no_disk_that_was_not_looked_at(
    wiped: bool, cluster: Callable[..., Cluster], index_name: str
) -> None:
    running = cluster(groups=1, nodes=2, rf=2, fresh=True, over=SELDOM)
    running.client.create_index(index_name, "id")
    running.client.add_documents(index_name, documents(0, 30))
    node = running.nodes[1]
    before = len(tasks(node))
    node.kill()
    if wiped:
        node.wipe()
    node.restart()  # and Miroir has not heard of it
    response = add(running, index_name, documents(30, 10))
    assert response.status_code == 202, response.text
    running.client.succeeded(response.json())
    if wiped:
        wait_until(lambda: tasks(node), 30, "something on the disk")
        first = tasks(node)[0]
        assert first["indexUid"] == "_miroir_meta", "something was written before the disk was known"
    else:
        # The same disk: the write waited for the look, and went on.
        assert len(tasks(node)) > before
        assert fully_repaired(running, index_name)
    assert all_ids(running, index_name)[0] == list(range(40))
    wait_until(lambda: fully_repaired(running, index_name), 60, "the copies refilled")
    assert_copies_equal(running, index_name)
    running.nodes[0].kill()
    assert all_ids(running, index_name)[0] == list(range(40))


def test_many_writes_over_many_restarts(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=2, fresh=True, over=SELDOM)
    running.client.create_index(index_name, "id")
    node = running.nodes[1]
    count = 0
    for _ in range(4):
        for _ in range(3):
            response = add(running, index_name, documents(count, 5))
            assert response.status_code == 202, response.text
            count += 5
        wait_until(lambda: tasks(node), 30, "something on the disk")
        assert count == 15 or tasks(node)[0]["indexUid"] == "_miroir_meta", tasks(node)[0]
        node.kill()
        node.wipe()
        node.restart()
    response = add(running, index_name, documents(count, 5))
    assert response.status_code == 202, response.text
    wait_until(lambda: fully_repaired(running, index_name), 60, "the copies refilled")
    assert tasks(node)[0]["indexUid"] == "_miroir_meta"
    running.nodes[0].kill()
    assert all_ids(running, index_name)[0] == list(range(count + 5))


@pytest.mark.parametrize("restarted", [False, True])
def test_a_disk_rolled_back_to_a_point_nobody_looked_at_is_found_out(
    restarted: bool, cluster: Callable[..., Cluster], index_name: str
) -> None:
    """Its newest task is newer than the last that a probe has seen, and older than the last that it took.

    With and without a restart of Miroir, which must know from its store what the node took.
    """
    running = cluster(groups=1, nodes=2, rf=2, fresh=True, over=SELDOM)
    running.client.create_index(index_name, "id")
    running.client.add_documents(index_name, documents(0, 20))
    node = running.nodes[1]
    running.client.add_documents(index_name, documents(20, 20))  # looked at, and written to
    node.kill()
    taken = shutil.copytree(node.directory, node.directory.with_name("taken"))
    node.restart()
    for first in (40, 60):
        running.client.add_documents(index_name, documents(first, 20))
    if restarted:
        running.server.kill()
    node.kill()
    shutil.rmtree(node.directory)
    taken.rename(node.directory)
    node.restart()
    if restarted:
        running.server.restart()
    response = add(running, index_name, documents(80, 20))
    assert response.status_code == 202, response.text
    wait_until(lambda: fully_repaired(running, index_name), 60, "the copies refilled")
    assert_copies_equal(running, index_name)
    running.nodes[0].kill()
    wait_until(lambda: all_ids(running, index_name)[0] == list(range(100)), 30, "everything read from the other")
