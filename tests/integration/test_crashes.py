"""Miroir killed at the worst moments: what was acknowledged is there, and what was not leaves no difference."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from tests.client import wait_until
from tests.integration.test_faults import (
    all_ids,
    assert_copies_equal,
    documents,
    fully_repaired,
    nothing_pending,
    store_rows,
)
from tests.nodes import Cluster, RealNode

# A node that hangs is not given up before a write is sent to it, and then has a minute to take that.
PATIENT: Mapping[str, Any] = {"health": {"unhealthy_threshold": 1000}, "server": {"request_timeout_ms": 120_000}}


def test_killed_between_writes_nothing_acknowledged_is_missing(
    cluster: Callable[..., Cluster], index_name: str
) -> None:
    running = cluster(groups=1, nodes=2, rf=2)
    client = running.client
    acknowledged: list[dict[str, Any]] = []
    for life in range(4):
        uid = f"{index_name}-{life}"
        acknowledged.append(client.post("/indexes", {"uid": uid, "primaryKey": "id"}))
        for part in range(3):
            acknowledged.append(client.post(f"/indexes/{index_name}/documents", documents(life * 30 + part * 10, 10)))
        running.server.kill()
        running.server.restart()
        running.wait_all_healthy()
    for task in acknowledged:
        assert client.wait_task(task)["status"] == "succeeded"
    uids = [task["taskUid"] for task in acknowledged]
    assert uids == sorted(set(uids))
    listed = client.get("/indexes", limit=100)["results"]
    assert {f"{index_name}-{life}" for life in range(4)} | {index_name} <= {each["uid"] for each in listed}
    wait_until(lambda: nothing_pending(running), 30, "intents expired and repairs done")
    assert all_ids(running, index_name)[0] == list(range(120))
    assert_copies_equal(running, index_name)


def _post_in_background(cluster: Cluster, index: str, rows: list[dict[str, Any]]) -> threading.Thread:
    """A write that will not be answered: the server dies first."""

    def post() -> None:
        try:
            answer = cluster.client.request("POST", f"/indexes/{index}/documents", json=rows)
        except httpx.HTTPError:
            return
        raise AssertionError(f"answered {answer.status_code} though it could not be committed")

    thread = threading.Thread(target=post)
    thread.start()
    return thread


def additions(node: RealNode, index: str) -> int:
    """How many writes of documents to that index a node has taken."""
    found: int = node.api.get("/tasks", indexUids=index, types="documentAdditionOrUpdate", limit=1)["total"]
    return found


def _killed_between_send_and_commit(running: Cluster, index: str, rows: list[dict[str, Any]]) -> None:
    """Node 0 has taken the write, node 1 holds it unread in its socket, and Miroir is gone."""
    first, second = running.nodes
    before = additions(first, index)
    second.pause()
    thread = _post_in_background(running, index, rows)
    wait_until(lambda: additions(first, index) > before, 50, "node 0 took the write")  # and node 1 is waited for
    assert store_rows(running, "intents") == 1
    running.server.kill()
    thread.join()


def test_killed_between_send_and_commit_the_copies_are_made_equal(
    cluster: Callable[..., Cluster], index_name: str
) -> None:
    running = cluster(groups=1, nodes=2, rf=2, over=PATIENT)
    running.client.create_index(index_name, "id")
    running.client.add_documents(index_name, documents(0, 20))
    _killed_between_send_and_commit(running, index_name, documents(0, 30, word="renamed"))
    running.nodes[1].kill()  # what lay unread in its socket is lost: the copies differ now
    running.nodes[1].restart()
    running.server.restart()
    running.wait_all_healthy()
    wait_until(lambda: nothing_pending(running) and fully_repaired(running, index_name), 60, "verified and repaired")
    assert_copies_equal(running, index_name)
    assert all_ids(running, index_name)[0] in (list(range(20)), list(range(30)))


def test_killed_while_an_index_is_created_it_is_whole_or_not_there(
    cluster: Callable[..., Cluster], index_name: str
) -> None:
    running = cluster(groups=1, nodes=2, rf=2, over=PATIENT)
    second = running.nodes[1]
    second.pause()

    def create() -> None:
        try:
            running.client.request("POST", "/indexes", json={"uid": index_name, "primaryKey": "id"})
        except httpx.HTTPError:
            return

    thread = threading.Thread(target=create)
    thread.start()
    wait_until(lambda: store_rows(running, "intents") == 1, 30, "the creation began")
    running.server.kill()
    thread.join()
    second.kill()
    second.restart()
    running.server.restart()
    running.wait_all_healthy()
    wait_until(lambda: nothing_pending(running), 60, "verified")
    running.client.add_documents(index_name, documents(0, 40))
    assert all_ids(running, index_name)[0] == list(range(40))
    assert_copies_equal(running, index_name)
