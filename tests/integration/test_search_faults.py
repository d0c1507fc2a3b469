"""The routes of searches with a node down: honest about what is missing, whole where a copy is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.twins import DIMENSIONS, SETTINGS, corpus, vectors
from tests.nodes import Cluster

COUNT = 90
EMBEDDERS = {"near": {"source": "userProvided", "dimensions": DIMENSIONS}}


def load(running: Cluster, index: str) -> None:
    documents = corpus(21, COUNT)
    for document, vector in zip(documents, vectors(22, COUNT), strict=True):
        document["_vectors"] = {"near": vector}
    running.client.create_index(index, "id")
    running.client.update_settings(index, {**SETTINGS, "embedders": EMBEDDERS})
    running.client.add_documents(index, documents)


def requests(index: str) -> list[tuple[str, str, Any]]:
    path = f"/indexes/{index}"
    return [
        ("GET", f"{path}/search?limit=3", None),
        ("POST", f"{path}/facet-search", {"facetName": "rating"}),
        ("POST", f"{path}/facet-search", {"facetName": "group", "facetQuery": "g"}),
        ("POST", "/multi-search", {"queries": [{"indexUid": index, "limit": 3}, {"indexUid": index, "q": "red"}]}),
    ]


def test_what_a_lost_node_held_is_named(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(nodes=2, fresh=True)
    load(running, index_name)
    running.nodes[1].kill()
    running.wait_failed(1)
    statistics = [("GET", f"/indexes/{index_name}/stats", None), ("GET", "/stats", None)]
    for method, path, body in [*requests(index_name), *statistics]:
        answer = running.client.request(method, path, json=body)
        assert answer.status_code == 200, (path, answer.text)
        assert answer.headers["x-miroir-degraded"].startswith("shards="), path
    statuses = set()
    for key in range(20):
        body = {"id": key, "embedder": "near", "limit": 2}
        answer = running.client.request("POST", f"/indexes/{index_name}/similar", json=body)
        statuses.add(answer.status_code)
        if answer.status_code == 200:
            assert "x-miroir-degraded" in answer.headers
            assert len(answer.json()["hits"]) == 2
        else:
            assert answer.json()["code"] == "miroir_shard_unavailable"
    assert statuses == {200, 503}  # of a document that is out of reach nothing can be similar


@pytest.mark.parametrize("hurt", ["kill", "pause"])
def test_with_a_copy_left_nothing_is_missing(cluster: Callable[..., Cluster], index_name: str, hurt: str) -> None:
    running = cluster(groups=2, nodes=1, fresh=True, over={"scatter": {"node_timeout_ms": 3000}})
    load(running, index_name)
    asked = [
        *requests(index_name),
        *[("POST", f"/indexes/{index_name}/similar", {"id": key, "embedder": "near", "limit": 200}) for key in (1, 2)],
    ]
    before = [running.client.request(method, path, json=body).json() for method, path, body in asked]
    getattr(running.nodes[0], hurt)()
    for (method, path, body), whole in zip(asked, before, strict=True):
        answer = running.client.request(method, path, json=body)
        assert answer.status_code == 200, (path, answer.text)
        assert "x-miroir-degraded" not in answer.headers
        assert _timeless(answer.json()) == _timeless(whole)


def _timeless(answer: dict[str, Any]) -> dict[str, Any]:
    parts = answer.get("results", [answer])
    for part in parts:
        part.pop("processingTimeMs")
    return answer
