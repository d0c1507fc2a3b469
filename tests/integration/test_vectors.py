"""Searches by vector and hybrid ones over shards: equal to one node's where that one is exact, as good where not."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from miroir.cluster import shard_of
from tests.client import Api
from tests.embedder import Embedder
from tests.integration.twins import Twins, assert_none, timeless
from tests.nodes import Cluster, ClusterPool, RealNode

SPARSE = 12
"""So few documents have vectors that a node which is asked for as many hits finds all of them."""
QUERY = [1.0, 0.0, 0.2]
WORDS = ["red", "green", "blue", "shoe", "hat", "lamp", "table", "chair", "light", "dark", "warm", "cold"]

Answer = tuple[int, Any]


def sparse() -> list[dict[str, Any]]:
    """Documents of which few have vectors: three embedders, one of them binary quantised, one with several vectors."""
    chance = random.Random(5)
    documents = []
    for number in range(60):
        document: dict[str, Any] = {
            "id": number,
            "title": f"red shoe {number}" if number % 2 else f"blue hat {number}",
            "price": number % 7,
            "group": f"g{number % 9}",
        }
        if number % 5 == 2:
            vector = [round(chance.gauss(0, 1), 4) for _ in range(3)]
            document["_vectors"] = {
                "plain": vector,
                "bits": vector,
                "many": [vector, [-part for part in vector]] if number % 10 == 2 else vector,
            }
        else:
            document["_vectors"] = {"plain": None, "bits": None, "many": None}
        documents.append(document)
    chance.shuffle(documents)
    return documents


@pytest.fixture(scope="module")
def twins(cluster_pool: ClusterPool, single_node: RealNode) -> Twins:
    return Twins(single_node.api, cluster_pool.get().client)


@pytest.fixture(scope="module")
def few(twins: Twins) -> str:
    embedder = {"source": "userProvided", "dimensions": 3}
    settings = {
        "filterableAttributes": ["price", "group"],
        "sortableAttributes": ["price"],
        "embedders": {"plain": embedder, "bits": {**embedder, "binaryQuantized": True}, "many": embedder},
    }
    return twins.load(settings, sparse())


def hybrid(ratio: float | None, embedder: str = "plain") -> dict[str, Any]:
    return {"embedder": embedder} if ratio is None else {"embedder": embedder, "semanticRatio": ratio}


QUERIES = (None, "", "shoe", "red shoe", "shoe -red", "hat 1", "-red", "unheard", "shoe red unheard")
RATIOS = (0.1, 0.5, 0.55, 0.8, 1, None)
EXTRAS: tuple[dict[str, Any], ...] = (
    {},
    {"limit": 20, "offset": 3},
    {"page": 2, "hitsPerPage": 13},
    {"limit": 0},
    {"limit": 200, "showRankingScore": True, "showRankingScoreDetails": True, "retrieveVectors": True},
    {"sort": ["price:desc"]},
    {"rankingScoreThreshold": 0.5, "facets": ["price"]},
    {"filter": "price > 2", "facets": ["*"]},
    {"attributesToHighlight": ["*"], "showMatchesPosition": True, "attributesToRetrieve": ["title"]},
    {"attributesToCrop": ["title:1"], "attributesToRetrieve": []},
    {"matchingStrategy": "all", "showRankingScore": True},
)


def test_a_hybrid_search_is_one_nodes(twins: Twins, few: str) -> None:
    every = list(itertools.product(QUERIES, RATIOS, EXTRAS, (QUERY, QUERY, QUERY, None)))
    path = f"/indexes/{few}/search"
    assert_none(
        [
            twins.difference("POST", path, {"q": query, "vector": vector, "hybrid": hybrid(ratio), **extra})
            for query, ratio, extra, vector in random.Random(1).sample(every, 200)
        ]
    )


def test_distinct_hits_of_a_hybrid_search_are_one_nodes(twins: Twins, few: str) -> None:
    for query, ratio, window in itertools.product(
        ("shoe", "red shoe"), (0.2, 0.6, 0.9), ({"limit": 60}, {"limit": 60, "offset": 2})
    ):
        body = {"q": query, "vector": QUERY, "hybrid": hybrid(ratio), "distinct": "group", **window}
        one, ours = twins.ask("POST", f"/indexes/{few}/search", body)
        assert ours.json()["hits"] == one.json()["hits"], body
        assert ours.json()["semanticHitCount"] == one.json()["semanticHitCount"], body


@pytest.mark.parametrize("embedder", ["bits", "many"])
def test_every_embedder_of_an_index_is_searched_by_itself(twins: Twins, few: str, embedder: str) -> None:
    for ratio in (0.3, 0.8, 1):
        body = {"q": "shoe", "vector": QUERY, "hybrid": hybrid(ratio, embedder), "limit": 60, "showRankingScore": True}
        one, ours = (answer.json() for answer in twins.ask("POST", f"/indexes/{few}/search", body))
        # Of documents whose bits are equally near none is before the other.
        assert ranks(ours["hits"]) == ranks(one["hits"]), body
        assert ours["semanticHitCount"] == one["semanticHitCount"]
    (kept,) = twins.miroir.search(few, filter="price = 5 AND group = g3", limit=1, retrieveVectors=True)["hits"]
    assert set(kept["_vectors"]) == {"plain", "bits", "many"}


def ranks(hits: Sequence[dict[str, Any]]) -> list[tuple[float, list[int]]]:
    """Scores from high to low, each with the keys that have it."""
    keys: dict[float, list[int]] = {}
    for hit in hits:
        keys.setdefault(hit["_rankingScore"], []).append(hit["id"])
    return [(score, sorted(found)) for score, found in keys.items()]


@pytest.mark.parametrize(
    "body",
    [
        {"q": "shoe", "hybrid": {"embedder": "nope", "semanticRatio": 0.3}},
        {"q": "shoe", "hybrid": {"embedder": "nope", "semanticRatio": 0.3}, "filter": "nope = 1"},
        {"q": "shoe", "hybrid": {"embedder": "nope", "semanticRatio": 0}},
        {"q": "shoe", "hybrid": {"embedder": "nope", "semanticRatio": 0.9}, "vector": QUERY},
        {"q": "shoe", "hybrid": {"embedder": "plain", "semanticRatio": 1}},
        {"q": "shoe", "hybrid": {"embedder": "plain"}, "vector": [1]},
        {"q": "shoe", "hybrid": {"embedder": "plain"}, "vector": []},
        {"q": "shoe", "hybrid": {"embedder": "plain"}, "vector": QUERY, "filter": "nope = 1"},
        {"q": "shoe", "hybrid": {"embedder": "plain"}, "vector": QUERY, "filter": 3},
        {"q": "shoe", "hybrid": {"embedder": "plain"}, "vector": "a"},
        {"q": "shoe", "hybrid": {"embedder": "plain"}, "vector": QUERY, "sort": ["nope:asc"]},
        {"q": "shoe", "hybrid": {"embedder": "plain"}, "vector": QUERY, "limit": "a"},
        {"q": "shoe", "hybrid": {"embedder": "plain"}, "vector": QUERY, "media": {"a": 1}},
        {"q": "shoe", "hybrid": {"embedder": "plain"}, "media": {"a": 1}},
        {"q": "shoe", "hybrid": {"embedder": "plain", "x": 1}, "vector": QUERY},
        {"q": "shoe", "hybrid": {"semanticRatio": 0.3}, "vector": QUERY},
        {"q": "shoe", "hybrid": {"embedder": "plain", "semanticRatio": None}, "vector": QUERY},
        {"q": "shoe", "hybrid": {"embedder": "plain", "semanticRatio": 2}, "vector": QUERY},
        {"q": "shoe", "vector": QUERY},
        {"q": ["a"], "hybrid": {"embedder": "plain"}, "vector": QUERY},
        {"q": "shoe", "hybrid": {"embedder": "plain"}, "vector": QUERY, "facets": ["nope"]},
        {"q": "shoe", "hybrid": {"embedder": "plain"}, "vector": QUERY, "distinct": "nope"},
    ],
)
def test_what_is_wrong_is_said_as_by_a_node(twins: Twins, few: str, body: dict[str, Any]) -> None:
    assert_none([twins.difference("POST", f"/indexes/{few}/search", body)])


def test_by_get_and_among_several_searches_it_is_the_same(twins: Twins, few: str) -> None:
    parameters = {"q": "shoe", "vector": "1,0,0.2", "hybridEmbedder": "plain", "hybridSemanticRatio": "0.7"}
    assert_none([twins.difference("GET", f"/indexes/{few}/search", params=parameters)])
    queries = [
        {"indexUid": few, "q": "shoe", "vector": QUERY, "hybrid": hybrid(ratio), "limit": 30} for ratio in (0.2, 0.9, 1)
    ]
    one, ours = twins.ask("POST", "/multi-search", {"queries": queries})
    assert timeless(ours) == timeless(one)


# -- recall --

DIMENSIONS = 16
CLUSTERS = 12
COUNT = 2000
ASKED = 30


def keys_of(shard: int) -> Iterator[int]:
    """The keys of one of sixteen shards."""
    return (number for number in itertools.count() if shard_of(str(number), 16) == shard)


@pytest.fixture(scope="module")
def clustered() -> list[dict[str, Any]]:
    """Vectors around a few centres, and what lies around one centre lies in few shards: hard for a merge."""
    chance = random.Random(9)
    centres = [[chance.gauss(0, 1) for _ in range(DIMENSIONS)] for _ in range(CLUSTERS)]
    free = {shard: keys_of(shard) for shard in range(16)}
    documents = []
    for _ in range(COUNT):
        cluster = min(int(chance.expovariate(0.3)), CLUSTERS - 1)
        shard = (cluster + (chance.random() < 0.2) * chance.randrange(16)) % 16
        vector = [round(part + chance.gauss(0, 0.25), 4) for part in centres[cluster]]
        documents.append({"id": next(free[shard]), "_vectors": {"near": vector, "bits": vector}})
    return documents


@pytest.fixture(scope="module")
def large(twins: Twins, clustered: list[dict[str, Any]]) -> str:
    embedder = {"source": "userProvided", "dimensions": DIMENSIONS}
    return twins.load({"embedders": {"near": embedder, "bits": {**embedder, "binaryQuantized": True}}}, clustered)


@pytest.fixture(scope="module")
def probes(clustered: list[dict[str, Any]]) -> list[tuple[list[float], set[int]]]:
    """Vectors, each with the keys of the true nearest twenty."""
    chance = random.Random(10)
    found = []
    for _ in range(ASKED):
        vector = [part + chance.gauss(0, 0.2) for part in chance.choice(clustered)["_vectors"]["near"]]
        ranked = sorted(clustered, key=lambda document: -cosine(vector, document["_vectors"]["near"]))
        found.append((vector, {document["id"] for document in ranked[:20]}))
    return found


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)


A_LITTLE = 0.05
"""Graphs of vectors are built with chance in them."""


def recall(
    api: Api, uid: str, probes: Sequence[tuple[list[float], set[int]]], embedder: str, factor: str | None = None
) -> float:
    """Which share of the true nearest is found, over all probes."""
    headers = {} if factor is None else {"X-Miroir-Over-Fetch": factor}
    found = 0
    for vector, wanted in probes:
        body = {"vector": vector, "hybrid": hybrid(1, embedder), "attributesToRetrieve": ["id"]}
        hits = api.expect(api.request("POST", f"/indexes/{uid}/search", json=body, headers=headers))["hits"]
        assert len(hits) == 20
        found += len({hit["id"] for hit in hits} & wanted)
    return found / (20 * len(probes))


@pytest.mark.parametrize("embedder", ["near", "bits"])
def test_as_many_of_the_nearest_are_found_as_by_one_node(
    twins: Twins, probes: list[tuple[list[float], set[int]]], large: str, embedder: str
) -> None:
    one, ours = recall(twins.plain, large, probes, embedder), recall(twins.miroir, large, probes, embedder)
    assert ours >= one
    once, often = (recall(twins.miroir, large, probes, embedder, factor) for factor in ("1", "20"))
    assert once - A_LITTLE <= ours <= often + A_LITTLE
    assert recall(twins.miroir, large, probes, embedder, "0") == ours  # malformed, and so ignored


# -- an embedder of its own --


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    with Embedder() as running:
        yield running


@pytest.fixture(scope="module")
def embedded(twins: Twins, embedder: Embedder) -> Iterator[str]:
    chance = random.Random(3)
    documents = [{"id": number, "title": " ".join(chance.sample(WORDS, 3))} for number in range(SPARSE)]
    for api in (twins.plain, twins.miroir):
        api.patch("/experimental-features", {"multimodal": True})
    fragments = {
        name: value
        for name, value in embedder.settings(request={"input": ["{{fragment}}", "{{..}}"]}).items()
        if name != "documentTemplate"
    }
    fragments["indexingFragments"] = {"title": {"value": {"title": "{{doc.title}}"}}}
    fragments["searchFragments"] = {
        "words": {"value": {"title": "{{media.words}}"}},
        "q": {"value": {"title": "{{q}}"}},
    }
    try:
        yield twins.load({"embedders": {"rest": embedder.settings(), "fragments": fragments}}, documents)
    finally:
        for api in (twins.plain, twins.miroir):
            api.patch("/experimental-features", {"multimodal": False})


REST: tuple[dict[str, Any], ...] = (
    {"q": "red shoe", "hybrid": hybrid(1, "rest")},
    {"q": "red shoe", "hybrid": hybrid(0.8, "rest"), "retrieveVectors": True},
    {"q": "red shoe", "hybrid": hybrid(0.3, "rest"), "attributesToHighlight": ["title"]},
    {"q": "red shoe", "hybrid": hybrid(None, "rest"), "page": 1, "hitsPerPage": 12},
    {"q": "shoe", "hybrid": hybrid(0.1, "rest"), "limit": 1},
    {"q": "", "hybrid": hybrid(0.9, "rest")},
    {"q": "red", "hybrid": hybrid(0.9, "rest"), "limit": 0},
    {"media": {"words": "red shoe"}, "hybrid": hybrid(0.9, "fragments")},
    {"media": {"words": "red shoe"}, "q": None, "hybrid": hybrid(1, "fragments")},
    {"media": {"other": "red shoe"}, "hybrid": hybrid(1, "fragments")},
    {"media": {"words": "red shoe"}, "q": "hat", "hybrid": hybrid(0.7, "fragments")},
    {"media": {"words": "red"}, "vector": [1] * 8, "hybrid": hybrid(0.7, "fragments")},
    {"q": "red shoe", "hybrid": hybrid(0.7, "fragments")},
)


@pytest.mark.parametrize("broken", [False, True], ids=["embedder answers", "embedder refuses"])
def test_a_query_is_embedded_once_and_as_by_one_node(
    twins: Twins, embedder: Embedder, embedded: str, broken: bool
) -> None:
    embedder.broken = broken
    for body in REST:
        answers: list[Answer] = []
        asked: list[Counter[str]] = []
        for api in (twins.plain, twins.miroir):
            embedder.texts.clear()
            answer = api.request("POST", f"/indexes/{embedded}/search", json={"limit": SPARSE, **body})
            answers.append((answer.status_code, timeless(answer)))
            asked.append(Counter(embedder.texts))
        assert answers[1] == answers[0], json.dumps(body)
        assert asked[1] == asked[0], json.dumps(body)
    embedder.broken = False


# -- knobs --


def test_lists_can_be_united_by_rank_and_the_ratio_be_configured(
    cluster: Callable[..., Cluster], index_name: str
) -> None:
    knobs = {"vector_search": {"merge_strategy": "rrf", "rrf_k": 10, "hybrid_alpha_default": 0.8}}
    api = cluster(nodes=2, over=knobs).client
    api.create_index(index_name, "id")
    api.update_settings(index_name, {"embedders": {"plain": {"source": "userProvided", "dimensions": 3}}})
    api.add_documents(
        index_name,
        [
            {name: document[name] for name in ("id", "title")} | {"_vectors": {"plain": document["_vectors"]["plain"]}}
            for document in sparse()
        ],
    )
    by_words = [hit["id"] for hit in api.search(index_name, "red shoe", limit=60)["hits"]]
    near = [hit["id"] for hit in api.search(index_name, vector=QUERY, hybrid=hybrid(1), limit=60)["hits"]]
    for ratio in (0.2, 0.5, None):
        weight = 0.8 if ratio is None else ratio
        sums: dict[int, float] = {}
        for keys, share in ((near, weight), (by_words, 1 - weight)):
            for rank, key in enumerate(keys, start=1):
                sums[key] = sums.get(key, 0) + share / (10 + rank)
        wanted = sorted(sums, key=lambda key: -sums[key])
        body: dict[str, Any] = {"q": "red shoe", "vector": QUERY, "hybrid": hybrid(ratio)}
        assert [hit["id"] for hit in api.search(index_name, **body, limit=60)["hits"]] == wanted
        paged = [
            hit["id"] for page in (1, 2, 3) for hit in api.search(index_name, **body, page=page, hitsPerPage=20)["hits"]
        ]
        assert paged[:20] == wanted[:20]
        assert len(set(paged)) == 60
