"""Repairs that a comparison of versions alone would miss, and indexes on nodes that are not ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.client import wait_until
from tests.integration.test_faults import all_ids, assert_copies_equal, documents, fully_repaired
from tests.nodes import Cluster


def whole_documents(cluster: Cluster, physical_uid: str) -> list[dict[str, dict[str, Any]]]:
    """Per node everything it stores, but for when it landed there."""
    stored = []
    for node in cluster.nodes:
        listed = node.api.post(f"/indexes/{physical_uid}/documents/fetch", {"limit": 10_000})["results"]
        stored.append({str(each["id"]): {**each, "_miroir_placed_at": None} for each in listed})
    return stored


def test_updates_that_meet_a_copy_without_the_document_do_not_truncate_it(
    cluster: Callable[..., Cluster], index_name: str
) -> None:
    """A copy that is behind takes updates too; what they make of a document it lacks must not be taken for equal."""
    running = cluster(groups=1, nodes=2, rf=2)
    client = running.client
    client.create_index(index_name, "id")
    client.add_documents(index_name, documents(0, 20))
    running.nodes[1].kill()
    client.add_documents(index_name, documents(20, 1500))
    running.nodes[1].restart()
    wait_until(lambda: running.topology()["degraded_node_count"] == 0, 30, "the node back")
    for number in range(20, 1520, 25):
        client.put(f"/indexes/{index_name}/documents", [{"id": number, "seen": True}])
    wait_until(lambda: fully_repaired(running, index_name), 90, "the copies refilled")
    first, second = whole_documents(running, index_name)
    assert first == second
    assert all("title" in document for document in second.values())


def test_an_index_that_nodes_had_before_is_left_alone(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=2)
    for node in running.nodes:
        node.api.add_documents(index_name, [{"id": 1, "whose": "the operator's"}], "id")
    running.client.add_documents(index_name, documents(0, 10), "id")
    assert all_ids(running, index_name)[0] == list(range(10))
    running.client.delete_index(index_name)
    for node in running.nodes:
        assert node.api.get(f"/indexes/{index_name}/documents")["results"] == [{"id": 1, "whose": "the operator's"}]


def test_a_copy_that_was_away_gets_the_settings_it_missed(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=2)
    client = running.client
    client.create_index(index_name, "id")
    client.add_documents(index_name, documents(0, 30))
    running.nodes[0].kill()
    client.update_settings(index_name, {"filterableAttributes": ["price"]})
    running.nodes[0].restart()
    wait_until(lambda: fully_repaired(running, index_name), 60, "the copies trusted again")
    running.nodes[1].kill()
    found = client.post(f"/indexes/{index_name}/search", {"filter": "price < 10", "limit": 100})
    assert sorted(hit["id"] for hit in found["hits"]) == list(range(10))
    running.nodes[1].restart()
    wait_until(lambda: fully_repaired(running, index_name), 60, "the copies trusted again")
    assert_copies_equal(running, index_name)
