"""An alias for several indexes reads like one node's index that holds all of their documents."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.twins import SETTINGS, Twins, assert_none, corpus
from tests.nodes import Cluster, ClusterPool, RealNode

ALIASES = "/_miroir/aliases"
NAME = "all_of_them"
PARTS = ("first_part", "second_part", "third_part")

SEARCHES: list[dict[str, Any]] = [
    {}, {"q": "red"}, {"q": "red shoe", "limit": 5, "offset": 3}, {"q": "light", "page": 2, "hitsPerPage": 7},
    {"q": "winter", "filter": "rating = 2", "sort": ["rating:desc", "price:asc"]},
    {"sort": ["price:desc"], "limit": 40},
    {"facets": ["rating", "price", "specs.weight"], "limit": 1}, {"q": "red", "facets": ["group"], "limit": 0},
    {"q": "shirt", "attributesToRetrieve": ["id"], "showRankingScore": True, "showRankingScoreDetails": True},
    {"q": "red", "attributesToHighlight": ["*"], "attributesToCrop": ["title:1"], "limit": 3},
    {"q": "blue", "sort": ["_geoPoint(45,5):asc"], "limit": 9}, {"distinct": "rating", "page": 1, "hitsPerPage": 4},
    {"q": "red", "filter": "title = 1"}, {"q": "red", "sort": ["title:asc"]}, {"facets": ["title"]}, {"limit": "x"},
    {"filter": "id = 1"}, {"foo": 1},
]  # fmt: skip
LISTS: list[dict[str, Any]] = [
    {}, {"limit": 7, "offset": 195}, {"sort": ["price:asc"], "limit": 30}, {"filter": "rating = 3", "fields": ["id"]},
    {"offset": 590, "limit": 50}, {"ids": [3, 250, 450, 9999]}, {"filter": "title = 1"}, {"sort": ["title:asc"]},
]  # fmt: skip


@pytest.fixture(scope="module")
def cluster(cluster_pool: ClusterPool) -> Cluster:
    return cluster_pool.get()


@pytest.fixture(scope="module")
def twins(cluster: Cluster, single_node: RealNode) -> Twins:
    """One index on the node; its documents in three indexes behind an alias of that name on the cluster."""
    documents = corpus(51, 600)
    plain, miroir = single_node.api, cluster.client
    for place, part in enumerate(PARTS):
        miroir.wait_task(miroir.post("/indexes", {"uid": part, "primaryKey": "id"}))
        miroir.update_settings(part, SETTINGS)
        miroir.add_documents(part, documents[200 * place : 200 * (place + 1)], batch=500)
    plain.wait_task(plain.post("/indexes", {"uid": NAME, "primaryKey": "id"}))
    plain.update_settings(NAME, SETTINGS)
    plain.add_documents(NAME, documents, batch=500)
    made = cluster.admin.request("POST", ALIASES, json={"name": NAME, "target_uids": list(PARTS)})
    assert (made.status_code, made.json()["kind"], made.json()["target_uids"]) == (201, "multi", list(PARTS))
    return Twins(plain, miroir)


def test_searches(twins: Twins) -> None:
    assert_none([twins.difference("POST", f"/indexes/{NAME}/search", each) for each in SEARCHES])
    asked = [f"/indexes/{NAME}/search?q=red&limit=3&facets=rating", f"/indexes/{NAME}/search?q=red&limit=x"]
    assert_none([twins.difference("GET", path) for path in asked])


def test_facet_searches(twins: Twins) -> None:
    bodies: list[dict[str, Any]] = [
        {"facetName": "group"},
        {"facetName": "group", "facetQuery": "g1"},
        {"facetName": "tags", "facetQuery": "o", "q": "red"},
        {"facetName": "title"},
    ]
    assert_none([twins.difference("POST", f"/indexes/{NAME}/facet-search", body) for body in bodies])


def test_several_searches_at_once(twins: Twins) -> None:
    queries = [{"indexUid": NAME, **search} for search in SEARCHES[:12]]
    assert twins.difference("POST", "/multi-search", {"queries": queries}) is None


def test_federated_searches(twins: Twins) -> None:
    one: dict[str, Any] = {"indexUid": NAME, "q": "red", "attributesToRetrieve": ["id"]}
    bodies: list[dict[str, Any]] = [
        {"federation": {"limit": 30, "offset": 5}, "queries": [{**one, "showRankingScore": True}]},
        {"federation": {"facetsByIndex": {NAME: ["rating"]}}, "queries": [one]},
        {"federation": {"facetsByIndex": {NAME: ["rating", "price"]}, "mergeFacets": {}}, "queries": [one, one]},
        {"federation": {}, "queries": [{**one, "filter": "title = 1"}]},
        {"federation": {"facetsByIndex": {NAME: ["title"]}}, "queries": [one]},
    ]
    assert_none([twins.difference("POST", "/multi-search", body) for body in bodies])


def test_documents(twins: Twins) -> None:
    path = f"/indexes/{NAME}/documents"
    assert_none([twins.difference("POST", f"{path}/fetch", each) for each in LISTS])
    asked = [path, f"{path}?limit=3&offset=399", f"{path}/3", f"{path}/450", f"{path}/9999", f"{path}/3?fields=title"]
    assert_none([twins.difference("GET", each) for each in asked])


def test_what_is_said_of_it(twins: Twins) -> None:
    assert_none([twins.difference("GET", f"/indexes/{NAME}/settings/{each}") for each in ("faceting", "ranking-rules")])
    node, miroir = (api.get(f"/indexes/{NAME}/stats") for api in (twins.plain, twins.miroir))
    for member in ("numberOfDocuments", "fieldDistribution", "isIndexing"):
        assert miroir[member] == node[member]
    index = twins.miroir.get(f"/indexes/{NAME}")
    assert (index["uid"], index["primaryKey"]) == (NAME, "id")
    assert all(index["createdAt"] <= twins.miroir.get(f"/indexes/{part}")["createdAt"] for part in PARTS)


WRITES: list[tuple[str, str, Any]] = [
    ("POST", "/documents", [{"id": 1}]), ("PUT", "/documents", [{"id": 1}]), ("DELETE", "/documents/1", None),
    ("POST", "/documents/delete-batch", [1]), ("POST", "/documents/delete", {"filter": "rating = 1"}),
    ("DELETE", "/documents", None), ("PATCH", "/settings", {"stopWords": ["x"]}), ("DELETE", "/settings", None),
    ("PUT", "/settings/stop-words", ["x"]), ("DELETE", "/settings/stop-words", None), ("DELETE", "", None),
    ("PATCH", "", {"primaryKey": "title"}), ("PATCH", "", {"uid": "another"}),
]  # fmt: skip


def test_it_cannot_be_written_to(twins: Twins, cluster: Cluster) -> None:
    before = [twins.miroir.get(f"/indexes/{part}/stats")["numberOfDocuments"] for part in PARTS]
    tasks = twins.miroir.get("/tasks?limit=1")["total"]
    for method, path, body in WRITES:
        refused = twins.miroir.request(method, f"/indexes/{NAME}{path}", json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "miroir_multi_alias_not_writable"), (method, path)
        assert all(f"`{part}`" in refused.json()["message"] for part in PARTS)
    swap = twins.miroir.request("POST", "/swap-indexes", json=[{"indexes": [NAME, PARTS[0]]}])
    assert swap.json()["code"] == "miroir_multi_alias_not_writable"
    assert twins.miroir.get("/tasks?limit=1")["total"] == tasks
    assert [twins.miroir.get(f"/indexes/{part}/stats")["numberOfDocuments"] for part in PARTS] == before
    taken = twins.miroir.wait_task(twins.miroir.post("/indexes", {"uid": NAME}))
    assert taken["error"]["code"] == "index_already_exists"


def test_keys_go_by_its_name(twins: Twins) -> None:
    actions = {"actions": ["search"], "expiresAt": None}
    of_alias = twins.miroir.with_key(twins.miroir.post("/keys", {**actions, "indexes": [NAME]})["key"])
    of_part = twins.miroir.with_key(twins.miroir.post("/keys", {**actions, "indexes": [PARTS[0]]})["key"])
    federated = {"federation": {"limit": 1}, "queries": [{"indexUid": NAME}]}
    for path, body in ((f"/indexes/{NAME}/search", {"limit": 1}), ("/multi-search", federated)):
        assert of_alias.request("POST", path, json=body).status_code == 200
        assert of_part.request("POST", path, json=body).json()["code"] == "invalid_api_key"
    assert of_alias.request("POST", f"/indexes/{PARTS[0]}/search", json={}).status_code == 403
    of_alias.close()
    of_part.close()
