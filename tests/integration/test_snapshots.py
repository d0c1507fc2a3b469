"""Snapshots: one of every node, followed by one task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.nodes import Cluster


def test_every_node_makes_one_and_one_task_follows_them(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=2, fresh=True)
    client = running.client
    client.create_index(index_name, "id")
    client.add_documents(index_name, [{"id": number} for number in range(10)])
    running.wait_all_healthy()
    answer = client.request("POST", "/snapshots")
    assert answer.status_code == 202
    assert list(answer.json()) == ["taskUid", "indexUid", "status", "type", "enqueuedAt"]
    task = client.succeeded(answer.json())
    assert (task["type"], task["indexUid"], task["details"]) == (
        "snapshotCreation",
        None,
        {"nodes": ["meili-0", "meili-1"]},
    )
    for node in running.nodes:
        assert list(Path(node.directory).rglob("*.snapshot")), node.node_id
    listed = client.get("/tasks", types="snapshotCreation")
    assert [each["uid"] for each in listed["results"]] == [task["uid"]]
    # As long as the rest holds everything, one that is away is not missed.
    running.nodes[1].kill()
    running.wait_failed(1)
    assert client.succeeded(client.post("/snapshots"))["details"] == {"nodes": ["meili-0"]}
    assert client.get(f"/indexes/{index_name}/stats")["numberOfDocuments"] == 10


def test_none_is_made_of_half_a_cluster(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=1, fresh=True)
    running.client.create_index(index_name, "id")
    running.nodes[1].kill()
    running.wait_failed(1)
    refused = running.client.request("POST", "/snapshots")
    assert (refused.status_code, refused.json()["code"]) == (503, "miroir_shard_unavailable")
    assert running.client.get("/tasks", types="snapshotCreation")["total"] == 0
