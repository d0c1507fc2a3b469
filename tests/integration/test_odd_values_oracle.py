"""Values that few documents have, where a node has rules of its own for them: answered as one node answers them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.twins import Twins, assert_none
from tests.nodes import ClusterPool, RealNode

SETTINGS: dict[str, Any] = {
    "filterableAttributes": ["number", "mixed", "group"],
    "sortableAttributes": ["number", "mixed"],
}
NUMBERS = [1e21, 0, -0.0, 2**64 - 1, 0.0, 1, -1, 1e5, -0.0, 2**53 + 1, 0.1, 5e-324, -0.0, 0]
NESTED: list[Any] = [
    {"l": []},
    {"l": [1, "x"]},
    {"l": [[{}], [[]], {"b": 1}]},
    {"l": [[{"a": 1}], {"a": [{"z": 1}]}]},
    [],
    {},
    {"l": {}},
    [{"l": []}],
    {"l": [{"b": 1}], "l.a": 3, "o": {"l": {"a": 5}}},
    [[{"l": {"a": 1}}], []],
    {"l": {"a": None}},
    {"l": [{"a": []}]},
    "text",
    None,
]
WHOLE = {"l": {"a": {"z": 1}, "b": 1}, "o": {"l": {"a": 1}}}
"""So that every node knows every path: one that it does not know selects nothing, not even an empty object."""
PATHS = [["o"], ["o.l"], ["o.l.a"], ["o.l.a", "o.l.b"], ["o.o.l.a"], ["o.l.a.z", "id"], ["nope"], []]


@pytest.fixture(scope="module")
def twins(cluster_pool: ClusterPool, single_node: RealNode) -> Twins:
    return Twins(single_node.api, cluster_pool.get().client)


def test_minus_zero_is_a_number_of_its_own(twins: Twins) -> None:
    documents = [
        {
            "id": key,
            "number": NUMBERS[key % len(NUMBERS)],
            "mixed": [NUMBERS[key % 7], "x"][: key % 3],
            "group": key % 4,
        }
        for key in range(60)
    ]
    index = twins.load(SETTINGS, documents)
    searches: list[dict[str, Any]] = [
        {"sort": [f"{name}:{way}"], "showRankingScoreDetails": True, "limit": 60}
        for name in ("number", "mixed")
        for way in ("asc", "desc")
    ]
    searches += [{"facets": ["*"], "filter": condition} for condition in ("", "number = 0", "number <= 0", "group = 1")]
    searches += [
        {"distinct": "number", "hitsPerPage": 40, "facets": facets, "filter": condition}
        for facets in (None, ["number"])
        for condition in ("", "group = 1", "number >= 0")
    ]
    searches.append({"distinct": "group", "hitsPerPage": 40, "facets": ["number"]})
    lists = [{"sort": [f"{name}:{way}"]} for name in ("number", "mixed") for way in ("asc", "desc")]
    assert_none(
        [
            *[twins.difference("POST", f"/indexes/{index}/search", body) for body in searches],
            *[twins.difference("POST", f"/indexes/{index}/documents/fetch", body) for body in lists],
        ]
    )
    for api in (twins.plain, twins.miroir):
        api.update_settings(index, {"faceting": {"sortFacetValuesBy": {"*": "count"}}})
    assert_none([twins.difference("POST", f"/indexes/{index}/search", {"facets": ["number", "mixed"]})])


def test_objects_and_lists_are_cut_to_paths_as_a_node_cuts_them(twins: Twins) -> None:
    documents: list[dict[str, Any]] = [{"id": key, "o": WHOLE, "group": "whole"} for key in range(40)]
    documents += [{"id": key, "o": value, "group": f"g{key}"} for key, value in enumerate(NESTED * 3, start=40)]
    index = twins.load(SETTINGS, documents)
    differences = []
    for paths in PATHS:
        # Of distinct documents more is asked of the nodes than is shown.
        for more in ({"attributesToRetrieve": paths}, {"attributesToRetrieve": ["id"], "attributesToHighlight": paths}):
            for distinct in ({}, {"distinct": "group", "limit": 100}):
                differences.append(twins.difference("POST", f"/indexes/{index}/search", {**more, **distinct}))
        differences.append(
            twins.difference("POST", f"/indexes/{index}/documents/fetch", {"fields": paths, "limit": 100})
        )
    assert_none(differences)


def test_of_long_texts_the_beginning_counts(twins: Twins) -> None:
    texts = [
        f"{letter * most}{tail}" for letter, most in (("x", 600), ("x", 467), ("é", 300)) for tail in ("a", "b", "c")
    ]
    documents = [{"id": key, "mixed": text, "group": key % 5} for key, text in enumerate([*texts, "x", *texts])]
    index = twins.load(SETTINGS, documents)
    searches: list[dict[str, Any]] = [
        {"facets": ["group"]},
        {"distinct": "mixed", "hitsPerPage": 40},
        {"distinct": "mixed", "hitsPerPage": 40, "attributesToRetrieve": ["id"], "facets": ["group"]},
        {"sort": ["mixed:asc"], "showRankingScoreDetails": True},
        {"sort": ["mixed:desc"], "showRankingScoreDetails": True},
    ]
    assert_none([twins.difference("POST", f"/indexes/{index}/search", body) for body in searches])
    found = []
    for api in (twins.plain, twins.miroir):  # which of several texts stands for them is no matter
        counts = api.search(index, facets=["mixed"])["facetDistribution"]["mixed"]
        hits = api.post(f"/indexes/{index}/facet-search", {"facetName": "mixed"})["facetHits"]
        found.append(
            [[(text[:10], count) for text, count in counts.items()], [(h["value"][:10], h["count"]) for h in hits]]
        )
    assert found[0] == found[1]


@pytest.mark.parametrize("order", ["alpha", "count"])
def test_texts_behind_as_many_numbers_as_a_facet_may_have_values(twins: Twins, order: str) -> None:
    """Three texts and three numbers for each count, so that values with one count stand in an order of their own."""
    documents = [
        {"id": key, "mixed": value}
        for key, value in enumerate(
            value for place in range(6) for value in [place if place % 2 else f"t{place}"] * (place + 1)
        )
    ]
    index = twins.load(SETTINGS, documents)
    differences = []
    for most in (0, 1, 2, 3, 4, 5, 6, 7):
        for api in (twins.plain, twins.miroir):
            api.update_settings(index, {"faceting": {"maxValuesPerFacet": most, "sortFacetValuesBy": {"*": order}}})
        for facets in (["mixed"], ["*"]):
            differences.append(twins.difference("POST", f"/indexes/{index}/search", {"facets": facets, "limit": 0}))
    assert_none(differences)
