"""What a node refuses Miroir refuses, with the same status and the same words: a table of wrong requests to both."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio

from miroir.http import Pool
from tests.client import Api
from tests.nodes import Cluster, RealNode

JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Wrong:
    """A request that is refused. `{index}` in the path is an index with a few documents."""

    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=lambda: JSON)

    def send(self, api: Api, index: str) -> tuple[int, Any]:
        """Status, and code, type and message; or what else the answer holds."""
        # A connection of its own each: a node that refuses a body it has not read goes deaf on that connection.
        headers = {"connection": "close", **(self.headers if self.body is not None else {})}
        content = self.body if isinstance(self.body, bytes) else b"" if self.body is None else json.dumps(self.body)
        response = api.request(
            self.method,
            self.path.replace("{index}", index),
            content=content,
            headers=headers,
        )
        try:
            answer = response.json()
        except ValueError:
            return response.status_code, response.text
        return response.status_code, {name: answer.get(name) for name in ("code", "type", "message", "link")}

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.body!r} {self.headers if self.headers != JSON else ''}"


def search(**body: Any) -> Wrong:
    return Wrong("POST", "/indexes/{index}/search", body)


def settings(**body: Any) -> Wrong:
    return Wrong("PATCH", "/indexes/{index}/settings", body)


def tasks(query: str) -> Wrong:
    return Wrong("GET", f"/tasks?{query}")


DOCUMENTS = "/indexes/{index}/documents"

TABLE = [
    # Paths and methods
    Wrong("GET", "/nowhere"),
    Wrong("GET", "/indexes/{index}/nowhere"),
    Wrong("DELETE", "/indexes"),
    Wrong("PATCH", "/version"),
    Wrong("POST", "/health"),
    Wrong("PUT", "/indexes/{index}/search", {}),
    Wrong("POST", "/tasks"),
    # Indexes
    Wrong("GET", "/indexes/does_not_exist"),
    Wrong("GET", "/indexes/does_not_exist/settings"),
    Wrong("GET", "/indexes/does_not_exist/stats"),
    Wrong("GET", "/indexes/not%20an%20uid"),
    Wrong("GET", "/indexes/not%20an%20uid/settings"),
    Wrong("GET", "/indexes/not%20an%20uid/stats"),
    Wrong("DELETE", "/indexes/not%20an%20uid"),
    Wrong("GET", "/indexes?limit=x"),
    Wrong("GET", "/indexes?offset=-1"),
    Wrong("GET", "/indexes?limt=1"),
    Wrong("GET", "/indexes?nothing=like&it=1"),
    Wrong("POST", "/indexes", {}),
    Wrong("POST", "/indexes", {"uid": "a b"}),
    Wrong("POST", "/indexes", {"uid": "x" * 513}),
    Wrong("POST", "/indexes", {"uid": True}),
    Wrong("POST", "/indexes", {"uid": "fine", "primaryKey": 1}),
    Wrong("POST", "/indexes", {"uid": "fine", "primaryKy": "id"}),
    Wrong("POST", "/indexes", {"uid": ""}),
    Wrong("POST", "/indexes", [1]),
    Wrong("POST", "/indexes", b"{"),
    Wrong("POST", "/indexes", b""),
    Wrong("POST", "/indexes", b'{"uid":"fine"}', {"content-type": "text/plain"}),
    Wrong("POST", "/indexes", b'{"uid":"fine"}', {}),
    # Documents: writing
    Wrong("POST", DOCUMENTS, b"[{", JSON),
    Wrong("POST", DOCUMENTS, b"", JSON),
    Wrong("POST", DOCUMENTS, b"7", JSON),
    Wrong("POST", DOCUMENTS, b'["text"]', JSON),
    Wrong("POST", DOCUMENTS, b'[{"id":1}]', {}),
    Wrong("POST", DOCUMENTS, b'[{"id":1}]', {"content-type": "text/plain"}),
    Wrong("PUT", DOCUMENTS, b'{"id":1}\n{"id"', {"content-type": "application/x-ndjson"}),
    Wrong("POST", DOCUMENTS, b"id,name\n1,2,3", {"content-type": "text/csv"}),
    Wrong("POST", DOCUMENTS, b"id:number\nabc", {"content-type": "text/csv"}),
    Wrong("POST", DOCUMENTS + "?csvDelimiter=ab", b"id\n1", {"content-type": "text/csv"}),
    Wrong("POST", DOCUMENTS + "?csvDelimiter=%C3%A9", b"id\n1", {"content-type": "text/csv"}),
    Wrong("POST", DOCUMENTS + "?csvDelimiter=;", [{"id": 1}]),
    Wrong("POST", DOCUMENTS + "?primaryKy=id", [{"id": 1}]),
    Wrong("POST", "/indexes/not%20an%20uid/documents", [{"id": 1}]),
    Wrong("DELETE", "/indexes/not%20an%20uid/documents/1"),
    Wrong("POST", DOCUMENTS + "/delete-batch", {"ids": [1]}),
    Wrong("POST", DOCUMENTS + "/delete-batch", b"[1"),
    Wrong("POST", DOCUMENTS + "/delete-batch", b"[1]", {"content-type": "text/csv"}),
    Wrong("POST", "/indexes/not%20an%20uid/documents/delete-batch", [1]),
    # Documents: reading
    Wrong("GET", DOCUMENTS + "/404"),
    Wrong("GET", DOCUMENTS + "/1?field=id"),
    Wrong("GET", DOCUMENTS + "/1?retrieveVectors=yes"),
    Wrong("GET", "/indexes/does_not_exist/documents/1"),
    Wrong("GET", "/indexes/not%20an%20uid/documents/1"),
    Wrong("GET", "/indexes/does_not_exist/documents"),
    Wrong("GET", "/indexes/not%20an%20uid/documents"),
    Wrong("GET", DOCUMENTS + "?limit=many"),
    Wrong("GET", DOCUMENTS + "?offset=-3"),
    Wrong("GET", DOCUMENTS + "?limit=1.5"),
    Wrong("GET", DOCUMENTS + "?retrieveVectors=perhaps"),
    Wrong("GET", DOCUMENTS + "?feilds=id"),
    Wrong("GET", DOCUMENTS + "?filter=price%20%3E"),
    Wrong("GET", DOCUMENTS + "?filter=title%20%3D%201"),
    Wrong("GET", DOCUMENTS + "?sort=title:asc"),
    Wrong("GET", DOCUMENTS + "?sort=price"),
    Wrong("GET", DOCUMENTS + "?sort="),
    Wrong("GET", DOCUMENTS + "?ids=1,*"),
    Wrong("POST", DOCUMENTS + "/fetch", {"limit": "many"}),
    Wrong("POST", DOCUMENTS + "/fetch", {"limit": -1}),
    Wrong("POST", DOCUMENTS + "/fetch", {"offset": 1.5}),
    Wrong("POST", DOCUMENTS + "/fetch", {"limt": 1}),
    Wrong("POST", DOCUMENTS + "/fetch", {"fields": "id"}),
    Wrong("POST", DOCUMENTS + "/fetch", {"fields": [1]}),
    Wrong("POST", DOCUMENTS + "/fetch", {"limit": None}),
    Wrong("POST", DOCUMENTS + "/fetch", {"ids": 1}),
    Wrong("POST", DOCUMENTS + "/fetch", {"sort": ["title:asc"]}),
    Wrong("POST", DOCUMENTS + "/fetch", {"filter": "price >"}),
    Wrong("POST", DOCUMENTS + "/fetch", {"filter": "title = 1"}),
    Wrong("POST", DOCUMENTS + "/fetch", {"filter": True}),
    Wrong("POST", DOCUMENTS + "/fetch", {"retrieveVectors": "yes"}),
    Wrong("POST", DOCUMENTS + "/fetch", [1]),
    Wrong("POST", "/indexes/does_not_exist/documents/fetch", {}),
    Wrong("POST", "/indexes/not%20an%20uid/documents/fetch", {}),
    # Search
    search(q=1),
    search(limit="x"),
    search(limit=-1),
    search(offset=1.5),
    search(page="x"),
    search(hitsPerPage=-1),
    search(filter="price >"),
    search(filter="title = 1"),
    search(filter=7),
    search(filter=[["price > 1", 7]]),
    search(filter="_geoRadius(1)"),
    search(sort="price:asc"),
    search(sort=["price"]),
    search(sort=["title:asc"]),
    search(sort=["price:up"]),
    search(facets=["title"]),
    search(facets="price"),
    search(matchingStrategy="some"),
    search(attributesToRetrieve="title"),
    search(attributesToHighlight=7),
    search(cropLength=-1),
    search(showRankingScore="yes"),
    search(rankingScoreThreshold=2),
    search(distinct="title"),
    search(locales=["xyz"]),
    search(vector=[1.0]),
    search(nothing=1),
    search(limt=1),
    Wrong("POST", "/indexes/{index}/search", b"{"),
    Wrong("POST", "/indexes/{index}/search", b""),
    Wrong("POST", "/indexes/{index}/search", [1]),
    Wrong("POST", "/indexes/{index}/search", b"{}", {"content-type": "text/plain"}),
    Wrong("POST", "/indexes/does_not_exist/search", {}),
    Wrong("POST", "/indexes/not%20an%20uid/search", {}),
    # Settings
    settings(rankingRules="words"),
    settings(rankingRules=["nonsense"]),
    settings(rankingRules=["price:up"]),
    settings(searchableAttributes="title"),
    settings(filterableAttributes=7),
    settings(sortableAttributes=[1]),
    settings(stopWords="the"),
    settings(synonyms=[]),
    settings(distinctAttribute=1),
    settings(typoTolerance={"enabled": "yes"}),
    settings(typoTolerance={"minWordSizeForTypos": {"oneTypo": 9, "twoTypos": 3}}),
    settings(faceting={"maxValuesPerFacet": -1}),
    settings(faceting={"sortFacetValuesBy": {"*": "size"}}),
    settings(pagination={"maxTotalHits": "x"}),
    settings(proximityPrecision="byLetter"),
    settings(searchCutoffMs="soon"),
    settings(unknown=1),
    settings(rankingRule=["words"]),
    Wrong("PATCH", "/indexes/{index}/settings", b"{"),
    Wrong("PATCH", "/indexes/{index}/settings", b"[]"),
    Wrong("PATCH", "/indexes/{index}/settings", b"{}", {"content-type": "text/plain"}),
    Wrong("PATCH", "/indexes/not%20an%20uid/settings", {}),
    Wrong("DELETE", "/indexes/not%20an%20uid/settings"),
    # Tasks
    Wrong("GET", "/tasks/x"),
    Wrong("GET", "/tasks/-1"),
    Wrong("GET", "/tasks/999999"),
    Wrong("GET", "/tasks/99999999999999999999"),
    tasks("limit=x"),
    tasks("limit=-1"),
    tasks("from=x"),
    tasks("uids=1,x"),
    tasks("batchUids=x"),
    tasks("canceledBy=x"),
    tasks("statuses=done"),
    tasks("statuses=succeeded,gone"),
    tasks("types=everything"),
    tasks("indexUids=a%20b"),
    tasks("reverse=maybe"),
    tasks("afterEnqueuedAt=yesterday"),
    tasks("beforeEnqueuedAt=2024-13-01"),
    tasks("afterStartedAt=2024-01-01T00:00:00"),
    tasks("beforeStartedAt="),
    tasks("afterFinishedAt=12"),
    tasks("beforeFinishedAt=x"),
    tasks("uids=4294967296"),
    tasks("uids=%201"),
    tasks("types=indexCreation,x"),
    tasks("indexUids=a,b%20c"),
    tasks("from=4294967296"),
    tasks("status=succeeded"),
    tasks("statusse=succeeded"),
    tasks("aferEnqueuedAt=x"),
    tasks("foo=1"),
]


def test_miroir_refuses_in_a_nodes_words(
    cluster: Callable[..., Cluster], single_node: RealNode, index_name: str
) -> None:
    miroir = cluster().client
    for api in (single_node.api, miroir):
        api.create_index(index_name, "id")
        api.update_settings(index_name, {"filterableAttributes": ["price"], "sortableAttributes": ["price"]})
        api.add_documents(index_name, [{"id": number, "title": "word", "price": number} for number in range(20)])
    differences = []
    for wrong in TABLE:
        expected, got = wrong.send(single_node.api, index_name), wrong.send(miroir, index_name)
        assert expected[0] >= 400, f"a node takes {wrong}: the table is wrong"
        if got != expected:
            differences.append(f"{wrong}\n    node:   {expected}\n    miroir: {got}")
    assert not differences, f"{len(differences)} of {len(TABLE)} differ:\n" + "\n".join(differences)


def test_a_refused_request_changes_nothing(cluster: Callable[..., Cluster], index_name: str) -> None:
    api = cluster().client
    api.create_index(index_name, "id")
    api.add_documents(index_name, [{"id": 1, "title": "word"}])
    before = api.get(f"/indexes/{index_name}/settings"), api.get("/indexes", limit=1000)["total"]
    total = api.get("/tasks")["total"]
    for wrong in TABLE:
        assert wrong.send(api, index_name)[0] >= 400, str(wrong)
    assert (api.get(f"/indexes/{index_name}/settings"), api.get("/indexes", limit=1000)["total"]) == before
    assert api.get("/tasks")["total"] == total
    assert api.get(f"/indexes/{index_name}/documents")["results"] == [{"id": 1, "title": "word"}]


@pytest.mark.parametrize("size", [100, 200_000])
async def test_a_node_that_refused_a_body_unread_is_not_spoken_to_on_that_connection(
    single_node: RealNode, size: int
) -> None:
    pool = Pool(single_node.address, default_headers=((b"authorization", f"Bearer {single_node.api.key}".encode()),))
    body = json.dumps([{"id": 1, "text": "x" * size}]).encode()
    with trio.fail_after(30):
        for _ in range(3):
            refused = await pool.request("POST", "/indexes/not%20an%20uid/documents", body=body)
            assert refused.status >= 400
            assert (await pool.request("GET", "/version")).status == 200
    await pool.aclose()
