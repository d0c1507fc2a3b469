"""Deletions and edits that a copy misses: it comes back with what was deleted, and must not bring it to life again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.client import wait_until
from tests.integration.test_faults import assert_copies_equal, documents, fully_repaired
from tests.nodes import Cluster

EDIT = "editDocumentsByFunction"


def ids(cluster: Cluster, index: str) -> list[int]:
    found = cluster.client.post(f"/indexes/{index}/search", {"q": "", "limit": 1000})
    return sorted(hit["id"] for hit in found["hits"])


def prepared(cluster: Callable[..., Cluster], index: str, *, nodes: int = 3) -> Cluster:
    running = cluster(groups=1, nodes=nodes, rf=2, fresh=True)
    running.client.create_index(index, "id")
    running.client.update_settings(index, {"filterableAttributes": ["price"]})
    running.client.add_documents(index, documents(0, 200))
    for node in running.nodes:
        node.api.patch("/experimental-features", {EDIT: True})
    return running


def back_and_equal(running: Cluster, index: str, away: int) -> None:
    running.nodes[away].restart()
    running.wait_all_healthy()
    wait_until(lambda: fully_repaired(running, index), 60, "the copies refilled")
    assert_copies_equal(running, index)


def test_what_was_deleted_by_filter_stays_deleted(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = prepared(cluster, index_name)
    running.nodes[1].kill()
    task = running.client.succeeded(
        running.client.post(f"/indexes/{index_name}/documents/delete", {"filter": "price < 120"})
    )
    assert task["details"]["originalFilter"] == '"price < 120"'
    # One of the deleted comes to life by a write of its own: that one stays.
    running.client.add_documents(index_name, documents(7, 1, "again"))
    left = [7, *range(120, 200)]
    assert ids(running, index_name) == left
    back_and_equal(running, index_name, 1)
    assert ids(running, index_name) == left
    for node in running.nodes:
        node.kill()
        wait_until(lambda: not running.client.request("GET", "/_miroir/ready").is_error, 30, "still ready")
        assert ids(running, index_name) == left
        back_and_equal(running, index_name, running.nodes.index(node))


def test_what_was_deleted_whole_stays_deleted(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = prepared(cluster, index_name)
    running.nodes[2].kill()
    running.client.succeeded(running.client.delete(f"/indexes/{index_name}/documents"))
    running.client.add_documents(index_name, documents(500, 20))
    back_and_equal(running, index_name, 2)
    assert ids(running, index_name) == list(range(500, 520))


def test_an_edit_reaches_a_copy_that_was_away(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = prepared(cluster, index_name)
    running.nodes[0].kill()
    function = "if doc.price < 20 { doc = () } else { doc.title = `edited ${doc.id}` }"
    edit = {"function": function, "filter": "price < 90"}
    running.client.succeeded(running.client.post(f"/indexes/{index_name}/documents/edit", edit))
    back_and_equal(running, index_name, 0)
    assert ids(running, index_name) == list(range(20, 200))
    edited = running.client.search(index_name, "edited", limit=1000)["hits"]
    assert sorted(hit["id"] for hit in edited) == list(range(20, 90))


def test_a_function_that_fails_somewhere_leaves_equal_copies(cluster: Callable[..., Cluster], index_name: str) -> None:
    """The nodes without the document it fails on have edited theirs; the copies must agree all the same."""
    running = prepared(cluster, index_name)
    edit = {"function": 'if doc.id == 33 { throw "not this one" } doc.title = "edited"'}
    task: dict[str, Any] = running.client.wait_task(running.client.post(f"/indexes/{index_name}/documents/edit", edit))
    assert task["status"] == "failed"
    assert task["error"]["code"] == "edit_documents_by_function_error"
    assert task["error"]["message"] == (
        f"Index `{index_name}`: Document edition runtime error encountered while running the function: "
        "Runtime error: not this one (line 1, position 19)"
    )
    wait_until(lambda: fully_repaired(running, index_name), 60, "the copies repaired")
    assert_copies_equal(running, index_name)
    assert ids(running, index_name) == list(range(200))
    assert running.client.get(f"/indexes/{index_name}/documents/33")["title"] == "gadget 33"
