"""`POST /indexes/{uid}/facet-search` over shards, answered as one node answers it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.integration.twins import SETTINGS, Twins, assert_none, corpus
from tests.nodes import ClusterPool, RealNode

COUNT = 900

# Values that sort, fold and type differently; every document of a spelling is one value, whatever node has it.
NAMES = ["Acme", "acmé", "ACNE", "Café", "cafeteria", "Ümlaut", "umbra", "ﬁne", "fin", "æther", "aeon", "œuvre", "oeuf",
         "đong", "dong", "d’or", "d'oro", "ストア", "すし", "スシ", "漢字", "ёлка", "елка", "étoile", "etape", "Straße",
         "strasse", "10", "100", "1.5", "new york", "New-Delhi", "headphones", "headpones", "keyboard", "keybord",
         "ΆΛΦΑ", "αλφάβητο", "x" * 70, "x" * 69 + "y"]  # fmt: skip

HIDDEN_RULES: dict[str, Any] = {
    "filterableAttributes": [
        "brand",
        {"attributePatterns": ["rating", "specs.*"], "features": {"facetSearch": False}},
        {"attributePatterns": ["name"], "features": {"facetSearch": True, "filter": {"equality": False}}},
    ],
    "displayedAttributes": ["brand", "title"],
    "faceting": {"maxValuesPerFacet": 7, "sortFacetValuesBy": {"*": "count", "name": "alpha"}},
}


def documents() -> list[dict[str, Any]]:
    chance = random.Random(9)
    found = corpus(4, COUNT)
    for document in found:
        document["name"] = chance.choice(NAMES)
        document["serial"] = f"s{chance.randrange(400):03}"
        document["tags"] = [tag.lower() for tag in document["tags"]]  # which spelling is shown may differ
        document["brand"] = chance.choice(["Acme", "Globex", "Initech", "Umbrella", "Stark", "Wayne"])
    return found


@pytest.fixture(scope="module")
def twins(cluster_pool: ClusterPool, single_node: RealNode) -> Twins:
    return Twins(single_node.api, cluster_pool.get().client)


@pytest.fixture(scope="module")
def index(twins: Twins) -> str:
    faceting = {"maxValuesPerFacet": 100, "sortFacetValuesBy": {"*": "alpha", "brand": "count", "tags": "count"}}
    filterable = [*SETTINGS["filterableAttributes"], "name", "serial"]
    return twins.load({**SETTINGS, "filterableAttributes": filterable, "faceting": faceting}, documents())


@pytest.fixture(scope="module")
def hiding(twins: Twins) -> str:
    return twins.load(HIDDEN_RULES, documents()[:200])


ASKED: list[dict[str, Any]] = [
    {"facetName": "name"},
    *[{"facetName": "name", "facetQuery": query} for query in ("", "a", "ac", "AC", "acm", "café", "cafe", "c",
      "um", "ü", "f", "ﬁ", "ae", "æ", "o", "œ", "d", "đ", "d'", "す", "ス", "漢", "е", "ё", "et", "ét", "str", "1",
      "10", "new", "new y", "headphons", "headpho", "hedphones", "keybo", "keyboarx", "zzz", "α", " ", "x" * 66)],
    *[{"facetName": name} for name in ("brand", "serial", "tags", "mixed", "price", "rating", "specs.color", "specs",
      "group", "_geo", "nosuch.deep")][:-1],
    *[{"facetName": "brand", "facetQuery": query} for query in ("a", "w", "glo", "umbrela", "i")],
    *[{"facetName": "serial", "facetQuery": query} for query in ("s", "s1", "s39", "s999", "s04")],
    *[{"facetName": "tags", "facetQuery": query} for query in ("n", "s", "old")],
    {"facetName": "name", "q": "red"},
    {"facetName": "name", "q": "red shoe", "facetQuery": "a", "exhaustiveFacetCount": True},
    {"facetName": "name", "q": "red shoe", "facetQuery": "a", "exhaustiveFacetCount": False},
    {"facetName": "name", "q": "red shoe", "matchingStrategy": "all"},
    {"facetName": "name", "q": "red", "attributesToSearchOn": ["title"]},
    {"facetName": "name", "q": "red", "filter": "rating = 2"},
    {"facetName": "brand", "filter": ["rating > 2", ["price < 10", "mixed EXISTS"]]},
    {"facetName": "brand", "filter": "_geoRadius(45, 5, 200000)", "facetQuery": "g"},
    {"facetName": "brand", "filter": [], "q": "", "locales": ["fra"]},
    {"facetName": "brand", "q": "nosuchword"},
    {"facetName": "brand", "filter": "rating = 77"},
    {"facetName": "brand", "facetQuery": None, "filter": None},
    {"facetName": "brand", "limit": 1, "offset": "x", "sort": 7, "anything": {}},
    {"facetName": "brand", "q": "red", "rankingScoreThreshold": 0},
]  # fmt: skip

REFUSED: list[Any] = [
    {}, b"", b"{", b"[]", {"facetName": 1}, {"facetName": None}, {"facetName": "title"}, {"facetName": "nosuch"},
    {"facetName": "id"}, {"facetName": "id", "facetQuery": 1}, {"facetName": "*"}, {"facetName": ""},
    {"facetName": "rating", "filter": 1}, {"facetName": "title", "filter": "title = 1"},
    {"facetName": "name", "filter": "title = 1"}, {"facetName": "brand", "filter": "id = 1"},
    {"facetName": "brand", "filter": "id = 1", "q": 1}, {"facetName": "nosuch", "filter": "id = 1"},
    {"facetName": "brand", "filter": "name = 1"}, {"facetName": "brand", "filter": "rating ="},
    {"facetName": "specs.color"}, {"facetName": "rating"}, {"facetName": "specs"},
    {"facetName": "brand", "facetQuery": 1}, {"facetName": "brand", "q": []}, {"facetName": "brand", "vector": [1]},
    {"facetName": "brand", "matchingStrategy": "x"}, {"facetName": "brand", "locales": ["zz"]},
    {"facetName": "brand", "exhaustiveFacetCount": "yes"}, {"facetName": "brand", "rankingScoreThreshold": 3},
    {"facetName": "brand", "attributesToSearchOn": 1}, {"facetName": "brand", "q": "x", "hybrid": {"embedder": "e"}},
    {"facetName": "_miroir_shard"}, {"facetName": "_miroir_seq"}, {"facetName": "brand", "filter": "_miroir_seq = 1"},
]  # fmt: skip


def test_values_and_counts(twins: Twins, index: str) -> None:
    assert_none([twins.difference("POST", f"/indexes/{index}/facet-search", body) for body in ASKED])


def test_few_values_by_count(twins: Twins, hiding: str) -> None:
    bodies = [
        {"facetName": name, **query}
        for name in ("brand", "name")
        for query in ({}, {"facetQuery": ""}, {"facetQuery": "a"}, {"facetQuery": "u", "q": "red"})
    ]
    assert_none([twins.difference("POST", f"/indexes/{hiding}/facet-search", body) for body in bodies])


def test_equally_frequent_values_at_the_cut(twins: Twins) -> None:
    """Filed in another order than that of their letters as written."""
    values = ["％", "ѐ", "x", "A", "b", "é", "z", "Ζ", "à", "B\u0301", "½", "ｚz"]
    documents = [{"id": key, "brand": value, "rating": key % 7} for key, value in enumerate(values * 4)]
    index = twins.load({"filterableAttributes": ["brand", "rating"]}, documents)
    differences = []
    for most in (1, 2, 3, 4, 7, 11, 12, 13):
        faceting = {"maxValuesPerFacet": most, "sortFacetValuesBy": {"*": "count"}}
        for api in (twins.plain, twins.miroir):
            api.update_settings(index, {"faceting": faceting})
        for narrowed in (
            {},
            {"filter": "rating < 2"},
            {"filter": "rating = 3"},
            {"facetQuery": "b"},
            {"facetQuery": "z"},
        ):
            body = {"facetName": "brand", **narrowed}
            differences.append(twins.difference("POST", f"/indexes/{index}/facet-search", body))
    assert_none(differences)


@pytest.mark.allow_stamps  # a refusal repeats the name it is about
def test_refusals(twins: Twins, index: str, hiding: str) -> None:
    assert_none(
        [
            twins.difference("POST", f"/indexes/{uid}/facet-search", body)
            for uid in (index, hiding, "does_not_exist", "not%20an%20uid")
            for body in REFUSED
        ]
    )


def test_switched_off(twins: Twins, hiding: str) -> None:
    for api in (twins.plain, twins.miroir):
        api.update_settings(hiding, {"facetSearch": False})
    differences = [
        twins.difference("POST", f"/indexes/{hiding}/facet-search", {"facetName": name})
        for name in ("brand", "zz", "id")
    ]
    for api in (twins.plain, twins.miroir):
        api.update_settings(hiding, {"facetSearch": True})
    assert_none(differences)


def test_under_a_distinct_attribute_winners_over_all_nodes_are_counted(twins: Twins) -> None:
    faceting = {"maxValuesPerFacet": 100, "sortFacetValuesBy": {"brand": "count"}}
    filterable = ["brand", "group", "name", "serial", "rating"]
    settings = {"filterableAttributes": filterable, "faceting": faceting, "distinctAttribute": "group"}
    uid = twins.load(settings, documents())
    exhaustive = {"exhaustiveFacetCount": True}
    few = {"filter": "group IN [g1, g2, g3, g4]"}
    asked = [
        {"facetName": "brand", **exhaustive},
        {"facetName": "name", **exhaustive},
        {"facetName": "serial", "facetQuery": "s0", **exhaustive},
        {"facetName": "brand", "filter": "rating > 2", **exhaustive},
        {"facetName": "brand", **few},
        {"facetName": "name", **few, "q": "red"},
        {"facetName": "nope", **exhaustive},
        {"facetName": "brand", "filter": "nope = 1", **exhaustive},
    ]
    assert_none([twins.difference("POST", f"/indexes/{uid}/facet-search", body) for body in asked])
    # With words a node stops at twenty hits; its search by one long page counts them all.
    for query in ("red", "shoe leather"):
        exact = twins.plain.search(uid, query, facets=["name"], page=1, hitsPerPage=1000)["facetDistribution"]["name"]
        found = twins.miroir.post(f"/indexes/{uid}/facet-search", {"facetName": "name", "q": query, **exhaustive})
        assert {hit["value"]: hit["count"] for hit in found["facetHits"]} == exact
