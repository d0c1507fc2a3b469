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
