"""Miroir killed at one chosen step, where a seeded run would come by too rarely."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from miroir.cli.dev_process import scratch_directory
from tests.chaos.harness import ChaosCluster
from tests.client import wait_until


@pytest.fixture
def chaos() -> Iterator[ChaosCluster]:
    cluster = ChaosCluster(scratch_directory("miroir-chaos"), groups=1, nodes=2, rf=2, over={})
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


def test_settings_no_node_could_apply_are_taken_back_after_a_crash_right_behind_their_failure(
    chaos: ChaosCluster,
) -> None:
    client = chaos.client
    quantized = {"embedders": {"own": {"source": "userProvided", "dimensions": 3, "binaryQuantized": True}}}
    client.update_settings("books", quantized)
    before = client.get("/indexes/books/settings")
    chaos.server.crash_at("after settle", 1)
    # Nodes take this change and fail it: quantization cannot be undone.
    undone = {"embedders": {"own": {"binaryQuantized": False}}, "sortableAttributes": ["price"]}
    task = client.patch("/indexes/books/settings", undone)
    wait_until(lambda: not chaos.server.running, 30, "the server dead behind the settlement")
    chaos.server.kill()
    chaos.server.start()
    chaos.server.wait_serving(60)
    chaos.wait_all_healthy()
    assert client.wait_task(task)["status"] == "failed"
    wait_until(lambda: client.get("/indexes/books/settings") == before, 30, "the settings taken back")
    sortable = client.update_settings("books", {"stopWords": ["the"]})
    assert sortable["status"] == "succeeded"
    for node in chaos.nodes:
        shown = node.api.get("/indexes/books/settings")
        assert "price" not in shown["sortableAttributes"]
        assert shown["stopWords"] == ["the"]


def test_a_deletion_that_every_node_was_told_of_before_a_crash_has_not_failed(chaos: ChaosCluster) -> None:
    """A node fails the second deletion of an index, and knows of how many documents the first one rid it."""
    client = chaos.client
    client.create_index("books", "id")
    client.add_documents("books", [{"id": number} for number in range(5)])
    chaos.server.crash_at("after a send", 2)
    task = client.delete("/indexes/books")
    wait_until(lambda: not chaos.server.running, 30, "the server dead behind its word to the last node")
    for node in chaos.nodes:
        wait_until(lambda node=node: node.api.get("/indexes", limit=1000)["total"] == 1, 30, "the index dropped")
    chaos.server.kill()
    chaos.server.start()
    chaos.server.wait_serving(60)
    assert client.succeeded(task)["details"] == {"deletedDocuments": 5}


def test_an_answer_that_a_crash_overtook_behind_the_commit_is_given_to_who_asks_again(chaos: ChaosCluster) -> None:
    client = chaos.client
    client.create_index("books", "id")
    client.add_documents("books", [{"id": 1, "price": 1}])
    for node in chaos.nodes:
        node.api.patch("/experimental-features", {"editDocumentsByFunction": True})

    def edit() -> httpx.Response:
        return client.request(
            "POST",
            "/indexes/books/documents/edit",
            json={"function": "doc.price += 1;"},
            headers={"Idempotency-Key": "once"},
        )

    chaos.server.crash_at("after commit", 1)
    with pytest.raises(httpx.HTTPError):
        edit()
    chaos.server.kill()
    chaos.server.start()
    chaos.server.wait_serving(60)
    chaos.wait_all_healthy()
    again = edit()
    assert again.status_code == 202
    client.succeeded(again.json())
    assert edit().json() == again.json()
    assert client.get("/indexes/books/documents/1")["price"] == 2
