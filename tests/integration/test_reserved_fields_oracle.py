"""`_geo` and `_vectors` that a node fails as a task: Miroir fails them too, in the same words, and sends nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.nodes import Cluster, RealNode

SETTINGS = {
    "sortableAttributes": ["_geo"],
    "embedders": {
        "own": {"source": "userProvided", "dimensions": 3},
        "two": {"source": "userProvided", "dimensions": 2},
    },
}
GOOD_VECTORS = {"own": [1, 2, 3], "two": [1, 2]}
PLACES: list[Any] = [
    {},
    {"lat": 1},
    {"lng": 1},
    {"lat": "a", "lng": 2},
    {"lat": 1.5, "lng": [2, 1e30]},
    {"lat": None, "lng": None},
    {"lat": "a", "lng": "b"},
    {"lat": "1", "lng": "inf"},
    "x",
    3,
    [1, 2],
    {"lat": 1, "lng": 2, "z": 3, "a": {"b": 1.0}},
    {"lat": True, "lng": 1},
    {"lat": {}, "lng": []},
    {"lng": 1, "z": 3},
    {"lat": "1", "lng": "2.5"},
    {"lat": 100, "lng": 500},
    None,
]
VECTORS: list[Any] = [
    {"own": [1, 2]},
    {"own": [[1, 2, 3], [1, 2]]},
    {"own": {"embeddings": [1, 2], "regenerate": False}},
    {"own": {"embeddings": [[1, 2, 3], []], "regenerate": True}},
    {"own": [[]]},
    {"own": [[1, 2, 3], [3, 2, 1]]},
    {"own": {"embeddings": [1, 2, 3], "regenerate": False}},
]


def documents() -> list[list[dict[str, Any]]]:
    innocent = {"id": "innocent", "_geo": {"lat": 1, "lng": 2}, "_vectors": GOOD_VECTORS}
    places = [[innocent, {"id": 7, "_geo": place, "_vectors": GOOD_VECTORS}] for place in PLACES]
    vectors = [[innocent, {"id": "v-1", "_vectors": {**GOOD_VECTORS, **vector}}] for vector in VECTORS]
    return [*places, *vectors]


def test_places_and_vectors_are_judged_as_by_a_node(
    cluster: Callable[..., Cluster], single_node: RealNode, index_name: str
) -> None:
    running = cluster(groups=1, nodes=3, rf=1)
    for api in (single_node.api, running.client):
        api.create_index(index_name, "id")
        api.update_settings(index_name, SETTINGS)
    differing = []
    failed = 0
    for payload in documents():
        ends = []
        for api in (single_node.api, running.client):
            task = api.wait_task(api.post(f"/indexes/{index_name}/documents", payload))
            ends.append((task["status"], task["error"], task["details"]))
            api.succeeded(api.post(f"/indexes/{index_name}/documents/delete-batch", ["innocent", 7, "v-1"]))
        failed += ends[0][0] == "failed"
        if ends[0] != ends[1]:
            differing.append((payload[1], ends))
    assert not differing
    assert failed == 20
