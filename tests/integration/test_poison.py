"""A poison document next to innocent ones: nodes batch neighbouring tasks, and may fail an innocent one with it."""

from __future__ import annotations

from collections.abc import Callable

from tests.client import wait_until
from tests.integration.test_faults import assert_copies_equal, fully_repaired
from tests.nodes import Cluster


def test_the_copies_end_equal_though_one_was_busy(cluster: Callable[..., Cluster], index_name: str) -> None:
    """One copy is held up while innocent and poisoned writes queue on it, so it batches them and the other does not."""
    running = cluster(groups=1, nodes=2, rf=2)
    client = running.client
    client.create_index(index_name, "id")
    client.update_settings(index_name, {"embedders": {"own": {"source": "userProvided", "dimensions": 3}}})
    client.add_documents(index_name, [{"id": 0, "title": "first", "_vectors": {"own": [1, 0, 0]}}])
    busy, idle = running.nodes
    held_up = [f"only-on-one-{number}" for number in range(10)]
    bulk = [{"id": number, "text": f"word{number} filler text " * 60} for number in range(4000)]
    for name in held_up:  # more than it takes, and given up when it was enough
        busy.api.request("POST", f"/indexes/{name}/documents", json=bulk)

    def add(key: int, vectors: dict[str, object]) -> dict[str, object]:
        document = {"id": key, "title": f"title {key}", **vectors}
        response = client.request("POST", f"/indexes/{index_name}/documents", json=[document])
        assert response.status_code == 202, response.text
        accepted: dict[str, object] = response.json()
        wait_until(lambda: not idle.api.get("/tasks", statuses="enqueued,processing")["results"], 30, "the idle node")
        return accepted

    innocent = [add(key, {"_vectors": {"own": [0.1 * key, 1, 0]}}) for key in range(1, 6)]
    poison = add(50, {})  # no vector for an embedder that computes none: only a node can tell
    innocent += [add(key, {"_vectors": {"own": [0.1 * key, 1, 0]}}) for key in range(6, 11)]
    assert busy.api.get("/tasks", statuses="enqueued")["total"] >= 11, "the busy node was to be busy all the time"
    busy.api.succeeded(busy.api.post("/tasks/cancel", indexUids=",".join(held_up)))
    ends = {task["taskUid"]: client.wait_task(task, 60) for task in (*innocent, poison)}
    assert ends[poison["taskUid"]]["status"] == "failed"
    assert ends[poison["taskUid"]]["error"]["code"] == "vector_embedding_error"
    failed = [
        node.api.get("/tasks", indexUids=index_name, statuses="failed", types="documentAdditionOrUpdate")["total"]
        for node in running.nodes
    ]
    assert failed[0] > failed[1] == 1, "the busy node was to fail innocent writes too"
    wait_until(lambda: fully_repaired(running, index_name), 60, "the copies repaired")
    assert_copies_equal(running, index_name)
    survivors = {hit["id"] for hit in client.search(index_name, "", limit=100)["hits"]}
    succeeded = {
        key
        for key, task in zip([*range(1, 6), *range(6, 11)], innocent, strict=True)
        if ends[task["taskUid"]]["status"] == "succeeded"
    }
    assert survivors == {0, *succeeded}
