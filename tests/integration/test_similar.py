"""`/indexes/{uid}/similar` over shards, by body and by query, against one node and against brute force."""

from __future__ import annotations

import json
import math
import random
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.twins import DIMENSIONS, SETTINGS, Twins, assert_none, corpus, timeless, vectors
from tests.nodes import ClusterPool, RealNode

COUNT = 400
FEW = 48
"""So few that a node which is asked for all of them finds them all; asked for less it is content with less."""
EMBEDDERS = {
    "near": {"source": "userProvided", "dimensions": DIMENSIONS},
    "far": {"source": "userProvided", "dimensions": 3},
    "coarse": {"source": "userProvided", "dimensions": DIMENSIONS, "binaryQuantized": True},
    "shifted": {"source": "userProvided", "dimensions": DIMENSIONS, "distribution": {"mean": 0.7, "sigma": 0.2}},
}
WITHOUT = 7
"""The id of a document without any vector."""
MANY = 8
"""The id of a document with several vectors."""


def documents() -> list[dict[str, Any]]:
    chance = random.Random(2)
    found = corpus(6, COUNT)
    for document, vector in zip(found, vectors(8, COUNT), strict=True):
        spherical = [round(chance.gauss(0, 1), 4) for _ in range(3)]
        document["_vectors"] = {"near": vector, "far": spherical, "coarse": vector, "shifted": vector}
        if document["id"] == WITHOUT:
            document["_vectors"] = dict.fromkeys(EMBEDDERS)
        elif document["id"] == MANY:
            document["_vectors"]["near"] = [vector, [-value for value in vector]]
    return found


DOCUMENTS = documents()


def few() -> list[dict[str, Any]]:
    """Other documents, each with one vector of every kind."""
    found = [document for document in DOCUMENTS if document["id"] not in (WITHOUT, MANY)]
    return [{**document, "id": number} for number, document in enumerate(found[:FEW])]


def similarity(one: list[float], other: list[float]) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / math.hypot(*one) / math.hypot(*other)


@pytest.fixture(scope="module")
def twins(cluster_pool: ClusterPool, single_node: RealNode) -> Twins:
    return Twins(single_node.api, cluster_pool.get().client)


@pytest.fixture(scope="module")
def index(twins: Twins) -> str:
    return twins.load({**SETTINGS, "embedders": EMBEDDERS}, DOCUMENTS)


@pytest.fixture(scope="module")
def small(twins: Twins) -> str:
    return twins.load({**SETTINGS, "embedders": EMBEDDERS}, few())


@pytest.fixture(scope="module")
def ruled(twins: Twins) -> str:
    """Rules of the index that similar documents do not follow."""
    ruled = {
        "distinctAttribute": "rating",
        "rankingRules": ["words", "typo", "rating:desc"],
        "displayedAttributes": ["title", "price"],
        "pagination": {"maxTotalHits": 30},
    }
    return twins.load({**SETTINGS, **ruled, "embedders": EMBEDDERS}, few())


ASKED: list[dict[str, Any]] = [
    {}, {"limit": 5}, {"limit": 0}, {"limit": 3, "offset": 2}, {"offset": 20}, {"offset": 5000}, {"limit": 100},
    {"filter": "rating = 2"}, {"filter": ["rating > 2", ["price < 10", "mixed EXISTS"]]}, {"filter": "rating = 99"},
    {"filter": []}, {"filter": None}, {"filter": "_geoRadius(45, 5, 200000)"},
    {"showRankingScore": True}, {"showRankingScoreDetails": True},
    {"showRankingScore": True, "showRankingScoreDetails": True, "attributesToRetrieve": []},
    {"retrieveVectors": True, "limit": 3}, {"retrieveVectors": True, "limit": 2, "attributesToRetrieve": ["title"]},
    {"retrieveVectors": True, "limit": 2, "attributesToRetrieve": []},
    {"attributesToRetrieve": ["id", "specs.color"]}, {"attributesToRetrieve": ["*"], "limit": 2},
    {"attributesToRetrieve": None, "limit": 2}, {"attributesToRetrieve": ["nope", "_vectors"], "limit": 2},
    {"rankingScoreThreshold": 0.95, "limit": 300}, {"rankingScoreThreshold": 0.9, "offset": 3, "limit": 300},
    {"rankingScoreThreshold": 0, "limit": 300}, {"rankingScoreThreshold": 1, "limit": 300},
]  # fmt: skip

REFUSED: list[Any] = [
    {}, b"{", b"[]", {"id": 3}, {"embedder": "near"}, {"id": None, "embedder": "near"}, {"id": 3.5, "embedder": "near"},
    {"id": True, "embedder": "near"}, {"id": "a b", "embedder": "near"}, {"id": "", "embedder": "near"},
    {"id": ["a"], "embedder": "near"}, {"id": "x" * 512, "embedder": "near"}, {"id": 1 << 64, "embedder": "near"},
    {"id": 999_999, "embedder": "near"}, {"id": -3, "embedder": "near"}, {"id": "03", "embedder": "near"},
    {"id": (1 << 64) - 1, "embedder": "near"}, {"id": 3, "embedder": "zz"}, {"id": 3, "embedder": 1},
    {"id": 999_999, "embedder": "zz"}, {"id": 999_999, "embedder": "near", "filter": "zz = 1"},
    *[{"id": 3, "embedder": "near", **wrong} for wrong in (
        {"limit": "x"}, {"limit": None}, {"limit": -1}, {"limit": True}, {"offset": 1.5}, {"foo": 1}, {"q": "x"},
        {"filter": "zz = 1"}, {"filter": "id = 1"}, {"filter": 1}, {"filter": "rating ="}, {"filter": {"a": 1}},
        {"rankingScoreThreshold": 3}, {"rankingScoreThreshold": "x"}, {"attributesToRetrieve": 1},
        {"attributesToRetrieve": [1]}, {"retrieveVectors": 1}, {"retrieveVectors": None}, {"showRankingScore": None},
        {"filter": "id = 1", "limit": "x"}, {"filter": "_miroir_shard = 1"}, {"filter": ["id = 1", "rating = 1"]})],
]  # fmt: skip

REFUSED_QUERIES = [
    "", "id=3", "embedder=near", "id=a%20b&embedder=near", "id=&embedder=near", "id=3.5&embedder=near",
    "id=999999&embedder=near", "id=3&embedder=zz", "id=3&embedder=", "id=%2B3&embedder=near",
    *[f"id=3&embedder=near&{wrong}" for wrong in ("limit=x", "offset=-1", "limit=", "foo=1", "showRankingScore=1",
      "retrieveVectors=x", "rankingScoreThreshold=2", "rankingScoreThreshold=x", "filter=null", "filter=1",
      "filter=zz%20%3D%201", "filter=id%20%3D%201", "hybridEmbedder=near")],
]  # fmt: skip


def check(twins: Twins, index: str, body: dict[str, Any]) -> None:
    """The answer is the right part of the list of everything that one node finds."""
    path = f"/indexes/{index}/similar"
    offset, limit = body.get("offset", 0), body.get("limit", 20)
    if "rankingScoreThreshold" in body:
        assert twins.difference("POST", path, body) is None
        return
    right, left = twins.miroir.post(path, body), twins.plain.post(path, {**body, "offset": 0, "limit": 300})
    left |= {"hits": left["hits"][offset : offset + limit], "offset": offset, "limit": limit}
    left["processingTimeMs"] = right["processingTimeMs"]
    assert json.dumps(right) == json.dumps(left), body


@pytest.mark.parametrize("embedder", ["near", "far"])
def test_by_body(twins: Twins, small: str, embedder: str) -> None:
    for more in ASKED:
        for key in (3, "44"):
            check(twins, small, {"id": key, "embedder": embedder, **more})


def test_by_query(twins: Twins, small: str) -> None:
    """By a query the same is found as by a body."""
    queries: dict[str, dict[str, Any]] = {
        "": {}, "limit=3&offset=2": {"limit": 3, "offset": 2},
        "attributesToRetrieve=id,title": {"attributesToRetrieve": ["id", "title"]},
        "attributesToRetrieve=&limit=2": {"attributesToRetrieve": [], "limit": 2},
        "filter=rating%20%3D%202": {"filter": "rating = 2"},
        "filter=" + quote('["rating = 2"]'): {"filter": ["rating = 2"]},
        "showRankingScore=true&limit=2": {"showRankingScore": True, "limit": 2},
        "showRankingScoreDetails=true&limit=2": {"showRankingScoreDetails": True, "limit": 2},
        "retrieveVectors=true&limit=1": {"retrieveVectors": True, "limit": 1},
        "rankingScoreThreshold=.9": {"rankingScoreThreshold": 0.9},
    }  # fmt: skip
    path = f"/indexes/{small}/similar"
    for query, body in queries.items():
        by_query = twins.miroir.request("GET", f"{path}?id=3&embedder=near&{query}")
        by_body = twins.miroir.request("POST", path, json={"id": "3", "embedder": "near", **body})
        assert timeless(by_query) == timeless(by_body), query


def test_without_a_vector_nothing_is_near(twins: Twins, index: str) -> None:
    bodies = [
        {"id": WITHOUT, "embedder": "near"},
        {"id": WITHOUT, "embedder": "far", "filter": "rating = 2", "limit": 1},
    ]
    assert_none([twins.difference("POST", f"/indexes/{index}/similar", body) for body in bodies])
    found = twins.miroir.post(f"/indexes/{index}/similar", {"id": 3, "embedder": "near", "limit": COUNT})["hits"]
    assert {hit["id"] for hit in found} == set(range(COUNT)) - {3, WITHOUT}


def test_of_several_vectors_each_counts(twins: Twins, index: str) -> None:
    body = {"id": MANY, "embedder": "near", "limit": 20, "attributesToRetrieve": ["id"], "showRankingScore": True}
    found = twins.miroir.post(f"/indexes/{index}/similar", body)["hits"]
    stored = {document["id"]: document["_vectors"]["near"] for document in DOCUMENTS if document["id"] != WITHOUT}
    own = stored.pop(MANY)
    best = {key: max(similarity(vector, each) for each in own) for key, vector in stored.items()}
    nearest = sorted(best, key=lambda key: -best[key])[:20]
    assert len(set(nearest) & {hit["id"] for hit in found}) >= 18
    scores = [hit["_rankingScore"] for hit in found]
    assert scores == sorted(scores, reverse=True)


def test_rules_of_the_index_do_not_count(twins: Twins, ruled: str) -> None:
    shapes: list[dict[str, Any]] = [
        {}, {"limit": 100}, {"showRankingScore": True, "showRankingScoreDetails": True}, {"retrieveVectors": True},
        {"attributesToRetrieve": ["*"], "limit": 3}, {"attributesToRetrieve": ["title", "rating", "id"], "limit": 3},
    ]  # fmt: skip
    for more in shapes:
        check(twins, ruled, {"id": 3, "embedder": "near", **more})


def test_vectors_are_shown_whatever_is_displayed(twins: Twins, ruled: str) -> None:
    shapes: list[dict[str, Any]] = [
        {}, {"attributesToRetrieve": []}, {"attributesToRetrieve": ["_vectors", "title"]},
        {"q": "red", "attributesToHighlight": ["*"], "showMatchesPosition": True},
    ]  # fmt: skip
    bodies = [{"retrieveVectors": True, "limit": 2, "filter": "rating = 2", **more} for more in shapes]
    assert_none([twins.difference("POST", f"/indexes/{ruled}/search", body) for body in bodies])


@pytest.mark.parametrize("embedder", ["coarse", "shifted"])
def test_coarse_and_shifted_similarities_are_those_of_one_node(twins: Twins, index: str, embedder: str) -> None:
    """Many are equal, and what is equal comes in an order of its own."""
    body = {"id": 3, "embedder": embedder, "limit": 40, "attributesToRetrieve": ["id"], "showRankingScore": True}
    left, right = (response.json()["hits"] for response in twins.ask("POST", f"/indexes/{index}/similar", body))
    assert [hit["_rankingScore"] for hit in right] == [hit["_rankingScore"] for hit in left]
    least = left[-1]["_rankingScore"]
    surely = [{hit["id"] for hit in hits if hit["_rankingScore"] > least} for hits in (left, right)]
    assert surely[0] == surely[1]


def test_recall_against_brute_force(twins: Twins, index: str) -> None:
    stored = {document["id"]: document["_vectors"]["near"] for document in DOCUMENTS}
    stored = {key: vector for key, vector in stored.items() if key not in (WITHOUT, MANY)}
    hits = {True: 0, False: 0}
    for key, own in list(stored.items())[:60]:
        ranked = sorted((other for other in stored if other != key), key=lambda other: -similarity(own, stored[other]))
        body = {"id": key, "embedder": "near", "limit": 10, "attributesToRetrieve": ["id"], "filter": "NOT rating = 9"}
        for ours, response in zip((False, True), twins.ask("POST", f"/indexes/{index}/similar", body), strict=True):
            hits[ours] += len(set(ranked[:10]) & {hit["id"] for hit in response.json()["hits"]})
    assert hits[True] >= hits[False]
    assert hits[True] >= 0.9 * 600


@pytest.mark.allow_stamps  # a refusal repeats the name it is about
def test_refusals(twins: Twins, index: str) -> None:
    differences = [
        twins.difference("POST", f"/indexes/{uid}/similar", body)
        for uid in (index, "does_not_exist", "not%20an%20uid")
        for body in REFUSED
    ]
    differences += [
        twins.difference("GET", f"/indexes/{uid}/similar?{query}")
        for uid in (index, "does_not_exist", "not%20an%20uid")
        for query in REFUSED_QUERIES
    ]
    assert_none(differences)
