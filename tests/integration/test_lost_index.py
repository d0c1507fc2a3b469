"""A node that has lost an index, its whole disk even, must not read as an empty one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.client import wait_until
from tests.integration.test_faults import DEGRADED, all_ids, assert_copies_equal, documents, fully_repaired
from tests.integration.twins import DIMENSIONS, vectors
from tests.nodes import Cluster

COUNT = 60
SETTINGS = {
    "filterableAttributes": ["price"],
    "sortableAttributes": ["price"],
    "embedders": {"near": {"source": "userProvided", "dimensions": DIMENSIONS}},
}


def load(running: Cluster, index: str) -> None:
    rows = documents(0, COUNT)
    for row, vector in zip(rows, vectors(5, COUNT), strict=True):
        row["_vectors"] = {"near": vector}
    running.client.create_index(index, "id")
    running.client.update_settings(index, SETTINGS)
    running.client.add_documents(index, rows)


def reads(index: str) -> list[tuple[str, str, Any]]:
    path = f"/indexes/{index}"
    return [
        ("POST", f"{path}/search", {"q": "gadget", "limit": 100}),
        ("GET", f"{path}/search?limit=100", None),
        ("POST", f"{path}/search", {"filter": "price < 30", "sort": ["price:desc"], "facets": ["price"]}),
        ("POST", f"{path}/facet-search", {"facetName": "price"}),
        ("POST", "/multi-search", {"queries": [{"indexUid": index, "limit": 100}]}),
        ("POST", f"{path}/similar", {"id": 7, "embedder": "near", "limit": 100}),
        ("GET", f"{path}/documents?limit=100", None),
        ("POST", f"{path}/documents/fetch", {"filter": "price < 30", "limit": 100}),
        ("GET", f"{path}/documents/7", None),
        ("GET", f"{path}/documents/8", None),
    ]


def asked(running: Cluster, method: str, path: str, body: Any) -> httpx.Response:
    return running.client.request(method, path, **({} if body is None else {"json": body}))


def timeless(response: httpx.Response) -> Any:
    answer = response.json()
    for part in answer["results"] if path_is_multi(response) else [answer]:
        part.pop("processingTimeMs", None)
    return answer


def path_is_multi(response: httpx.Response) -> bool:
    return response.request.url.path == "/multi-search"


def test_a_copy_without_its_index_is_passed_over_by_every_read(
    cluster: Callable[..., Cluster], index_name: str
) -> None:
    """It answers probes as before: its disk is the one that is known, and the index alone is gone."""
    running = cluster(groups=2, nodes=1, rf=1, fresh=True, over={"settings_drift_check": {"interval_s": 3600}})
    load(running, index_name)
    before = [timeless(asked(running, *each)) for each in reads(index_name)]
    running.nodes[1].api.delete_index(index_name)
    for _ in range(4):  # the groups take turns
        for each, whole in zip(reads(index_name), before, strict=True):
            answer = asked(running, *each)
            assert answer.status_code == 200, (each, answer.text)
            assert DEGRADED not in answer.headers
            assert timeless(answer) == whole, each
    assert running.client.get(f"/indexes/{index_name}/stats")["numberOfDocuments"] == COUNT


def test_where_it_was_the_only_copy_reads_say_so(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=1, fresh=True, over={"settings_drift_check": {"interval_s": 3600}})
    load(running, index_name)
    owned = [
        shard["shard"]
        for shard in running.admin.get("/_miroir/shards", index=index_name)["shards"]
        if shard["groups"][0]["write_owners"] == ["meili-1"]
    ]
    running.nodes[1].api.delete_index(index_name)
    for each in reads(index_name):
        answer = asked(running, *each)
        if answer.status_code == 200:
            assert answer.headers.get(DEGRADED) == "shards=" + ",".join(map(str, owned)) or "/documents/" in each[1]
        else:
            assert (answer.status_code, answer.json()["code"]) == (503, "miroir_shard_unavailable"), each
    statuses = {asked(running, "GET", f"/indexes/{index_name}/documents/{key}", None).status_code for key in range(20)}
    assert statuses == {200, 503}, "never 404: nobody knows that they are not there"


def test_an_index_that_nodes_have_still_to_make_is_empty(cluster: Callable[..., Cluster], index_name: str) -> None:
    """A node is held up, so that a creation waits in its queue while the index is read."""
    running = cluster(groups=1, nodes=2, rf=1, fresh=True)
    busy = running.nodes[1]
    bulk = [{"id": number, "text": f"word{number} filler text " * 60} for number in range(4000)]
    for number in range(8):
        busy.api.request("POST", f"/indexes/held-up-{number}/documents", json=bulk)
    created = running.client.post("/indexes", {"uid": index_name, "primaryKey": "id"})
    for _ in range(3):
        found, answer = all_ids(running, index_name)
        assert (found, DEGRADED in answer.headers) == ([], False)
        assert running.client.get(f"/indexes/{index_name}/documents")["results"] == []
        assert asked(running, "GET", f"/indexes/{index_name}/documents/1", None).status_code == 404
    assert running.client.get(f"/tasks/{created['taskUid']}")["status"] in ("enqueued", "processing")
    busy.api.succeeded(busy.api.post("/tasks/cancel", indexUids=",".join(f"held-up-{number}" for number in range(8))))
    running.client.succeeded(created)


@pytest.mark.parametrize(("groups", "nodes", "rf"), [(1, 2, 2), (2, 1, 1)])
def test_nodes_wiped_under_searches_hide_nothing(
    cluster: Callable[..., Cluster], index_name: str, groups: int, nodes: int, rf: int
) -> None:
    running = cluster(groups=groups, nodes=nodes, rf=rf, fresh=True)
    running.client.create_index(index_name, "id")
    running.client.add_documents(index_name, documents(0, COUNT))
    over = threading.Event()
    wrong: list[str] = []
    whole = 0

    def read() -> None:
        nonlocal whole
        api = running.client.with_key(running.client.key)
        while not over.is_set():
            for method, path, body in reads(index_name)[:1] + reads(index_name)[6:7] + reads(index_name)[8:9]:
                answer = api.request(method, path, **({} if body is None else {"json": body}))
                if answer.status_code == 503 or DEGRADED in answer.headers:
                    continue  # it says so
                found = answer.json()
                size = len(found.get("hits", found.get("results", [found])))
                if answer.status_code != 200 or size != (1 if path.endswith("/7") else COUNT):
                    wrong.append(f"{method} {path}: {answer.status_code}, {size} documents")
                whole += 1
        api.close()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for node in running.nodes:
            node.kill()
            node.wipe()
            node.restart()
            seen = whole
            wait_until(lambda seen=seen: whole > seen + 20, 30, "reads going on")
            wait_until(lambda node=node: stored(node, index_name) == COUNT, 60, "the node filled again")
            wait_until(lambda: fully_repaired(running, index_name), 60, "the copies trusted")
    finally:
        over.set()
        reader.join()
    assert not wrong, wrong[:5]
    running.client.add_documents(index_name, documents(COUNT, 5))
    assert all_ids(running, index_name)[0] == list(range(COUNT + 5))
    assert_copies_equal(running, index_name)


def stored(node: Any, index: str) -> int:
    answer = node.api.request("POST", f"/indexes/{index}/documents/fetch", json={"limit": 0})
    return int(answer.json()["total"]) if answer.is_success else 0
