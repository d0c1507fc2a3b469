"""`POST /multi-search` over shards, answered as one node answers it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.twins import SETTINGS, Twins, assert_none, corpus
from tests.nodes import ClusterPool, RealNode


@pytest.fixture(scope="module")
def twins(cluster_pool: ClusterPool, single_node: RealNode) -> Twins:
    return Twins(single_node.api, cluster_pool.get(over={"multi_search": {"max_queries_per_batch": 20}}).client)


@pytest.fixture(scope="module")
def names(twins: Twins) -> tuple[str, str]:
    """Two indexes of other documents and other settings."""
    shown = {"displayedAttributes": ["id", "title", "rating"], "rankingRules": ["words", "typo", "sort", "price:desc"]}
    first = corpus(11, 400)
    second = [{**document, "id": document["id"] + 1000} for document in corpus(12, 300)]
    return twins.load(SETTINGS, first), twins.load({**SETTINGS, **shown}, second)


QUERIES: list[dict[str, Any]] = [
    {"q": "red shoe"}, {"q": "red", "limit": 3, "offset": 2}, {}, {"q": "light", "page": 2, "hitsPerPage": 4},
    {"q": "winter", "filter": "rating = 2", "sort": ["rating:desc"]}, {"facets": ["rating"], "limit": 1},
    {"q": "shirt", "attributesToRetrieve": ["id"], "showRankingScore": True, "showRankingScoreDetails": True},
    {"q": "red", "attributesToHighlight": ["title"], "attributesToCrop": ["title:1"], "limit": 2},
    {"q": "nosuchword", "federationOptions": None},
]  # fmt: skip

REFUSED: list[Any] = [
    b"", b"{", b"[]", {}, {"queries": None}, {"queries": 1}, {"queries": [1]}, {"queries": [[]]},
    {"foo": 1, "queries": []}, {"query": []}, {"queries": [{"q": "x"}]}, {"queries": [{"indexUid": 7}]},
    {"queries": [{"indexUid": "not an uid"}]}, {"queries": [{"indexUid": ""}]}, {"queries": [{"indexUid": "none"}]},
    {"queries": [{"indexUid": "none"}, {"indexUid": "A", "limit": "x"}]},
    {"queries": [{"indexUid": "A"}, {"indexUid": "none"}, {"indexUid": "not an uid"}]},
    {"queries": [{"indexUid": "A"}, {"indexUid": "B", "limit": "x"}]},
    {"queries": [{"indexUid": "A"}, {"indexUid": "B", "filter": "title = 1"}]},
    {"queries": [{"indexUid": "A"}, {"indexUid": "B", "filter": "id = 1"}]},
    {"queries": [{"indexUid": "A", "filter": "rating ="}, {"indexUid": "B", "filter": "title = 1"}]},
    {"queries": [{"indexUid": "A", "filter": "rating ="}, {"indexUid": "none"}]},
    {"queries": [{"indexUid": "A", "filter": "rating ="}, {"indexUid": "B", "foo": 1}]},
    {"queries": [{"indexUid": "A", "sort": ["title:asc"]}]}, {"queries": [{"indexUid": "A", "facets": ["title"]}]},
    {"queries": [{"indexUid": "A", "foo": 1}]}, {"queries": [{"indexUid": "A", "matchingStrategy": "some"}]},
    {"queries": [{"indexUid": "A"}, {"indexUid": "A", "federationOptions": {"weight": 1}}]},
    {"queries": [{"indexUid": "A", "federationOptions": {"weight": -1}}]},
    {"queries": [{"indexUid": "A", "federationOptions": 1}]}, {"queries": [{"indexUid": "A", "vector": [1]}]},
    {"queries": [{"indexUid": "A", "q": "x", "hybrid": {"embedder": "e"}}]},
    {"queries": [{"indexUid": "A", "limit": 1}, {"indexUid": "B", "locales": ["zz"]}]},
    {"federation": 1, "queries": []}, {"federation": {"foo": 1}, "queries": []},
    {"federation": {"limit": "x"}, "queries": []},
]  # fmt: skip


def named(body: Any, names: tuple[str, str]) -> Any:
    """A body of the table with the indexes' names for A and B."""
    if not isinstance(body, dict) or not isinstance(body.get("queries"), list):
        return body
    known = dict(zip("AB", names, strict=True))
    return {
        **body,
        "queries": [
            {**query, "indexUid": known.get(query["indexUid"], query["indexUid"])}
            if isinstance(query, dict) and isinstance(query.get("indexUid"), str)
            else query
            for query in body["queries"]
        ],
    }


def test_queries_side_by_side(twins: Twins, names: tuple[str, str]) -> None:
    every = [{"indexUid": name, **query} for query in QUERIES for name in names]
    batches = [[], every[:1], every[:4], every]
    assert_none([twins.difference("POST", "/multi-search", {"queries": batch}) for batch in batches])
    assert twins.difference("POST", "/multi-search", {"queries": every, "federation": None}) is None


def test_refusals(twins: Twins, names: tuple[str, str]) -> None:
    assert_none([twins.difference("POST", "/multi-search", named(body, names)) for body in REFUSED])


def test_a_key_must_cover_every_index(twins: Twins, names: tuple[str, str]) -> None:
    """What a key may not touch is refused before anything is searched; what is badly written before that."""
    apis = []
    for api in (twins.plain, twins.miroir):
        key = api.post("/keys", {"actions": ["search"], "indexes": [names[0]], "expiresAt": None})["key"]
        apis.append(api.with_key(key))
    own, other = {"indexUid": names[0], "limit": 1}, {"indexUid": names[1]}
    limited = Twins(*apis)
    batches = [[own], [own, other], [{**own, "filter": "title = 1"}, other], [{"indexUid": "none"}, own],
               [own, {**other, "limit": "x"}]]  # fmt: skip
    # A node that refuses a body unread goes deaf on that connection.
    asked = [limited.difference("POST", "/multi-search", {"queries": queries}, headers={"connection": "close"})
             for queries in batches]  # fmt: skip
    for api in apis:
        api.close()
    assert_none(asked)


def test_errors_beside_results(twins: Twins, names: tuple[str, str]) -> None:
    queries: list[dict[str, Any]] = [
        {"indexUid": names[0], "q": "red", "limit": 2},
        {"indexUid": "none"},
        {"indexUid": names[1], "filter": "title = 1"},
        {"indexUid": names[1], "limit": 1},
    ]
    partial = {"X-Miroir-Partial": "true"}
    answer = twins.miroir.request("POST", "/multi-search", json={"queries": queries}, headers=partial)
    assert answer.status_code == 200
    found = answer.json()["results"]
    assert [each["indexUid"] for each in found] == [query["indexUid"] for query in queries]
    assert [each.get("error", {}).get("code") for each in found] == [
        None,
        "index_not_found",
        "invalid_search_filter",
        None,
    ]
    for place in (0, 3):
        body = {name: value for name, value in queries[place].items() if name != "indexUid"}
        alone = twins.plain.post(f"/indexes/{queries[place]['indexUid']}/search", body)
        assert found[place]["hits"] == alone["hits"]
    refused = twins.miroir.request("POST", "/multi-search", json={"queries": queries})
    assert refused.json()["message"] == "Inside `.queries[1]`: Index `none` not found."


def test_too_many_queries(twins: Twins, names: tuple[str, str]) -> None:
    queries = [{"indexUid": names[0], "limit": 0}] * 21
    refused = twins.miroir.request("POST", "/multi-search", json={"queries": queries})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
    assert "21" in refused.json()["message"]
    assert twins.miroir.request("POST", "/multi-search", json={"queries": queries[1:]}).status_code == 200
