"""Requests that name our fields, or look as if they did: answered as by a node that has never heard of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.nodes import Cluster, RealNode

DOCUMENTS = [{"id": number, "brand": f"b{number % 3}", "price": number} for number in range(30)]

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"filterableAttributes": ["brand"], "sortableAttributes": ["price"]},
    "nothing": {},
    "a star": {"filterableAttributes": [{"attributePatterns": ["br*"]}], "sortableAttributes": ["price", "brand"]},
    "hidden": {
        "filterableAttributes": ["brand"],
        "sortableAttributes": ["price", "brand"],
        "displayedAttributes": ["id", "price"],
    },
}

SEARCHES: list[dict[str, Any]] = [
    {"sort": ["_miroir_seq:desc"], "showRankingScoreDetails": True},
    {"sort": ["price:asc", "_miroir_shard:asc"]},
    {"filter": "_miroir_foo = 1"},
    {"filter": "_miroir_shard = 1"},
    {"filter": ["brand = b1", "_miroir_seq EXISTS"]},
    {"filter": "brand = '_miroir_shard'"},
    {"facets": ["_miroir_shard"]},
    {"facets": ["_miroir_foo"]},
    {"distinct": "_miroir_shard"},
    {"distinct": "_miroir_foo"},
    {"sort": ["_miroir_foo:asc"]},
    {"filter": "id = 3"},
    {"facets": ["id"]},
    {"attributesToRetrieve": ["_miroir_seq", "id"]},
    {"attributesToHighlight": ["_miroir_seq"]},
]


@pytest.mark.allow_stamps  # the texts quote what the request named
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_a_search_that_names_our_fields_is_answered_as_by_a_node(
    cluster: Callable[..., Cluster], single_node: RealNode, index_name: str, settings: dict[str, Any]
) -> None:
    running = cluster(groups=1, nodes=3, rf=1)
    for api in (single_node.api, running.client):
        api.create_index(index_name, "id")
        api.update_settings(index_name, settings)
        api.add_documents(index_name, DOCUMENTS)
    differing = []
    for body in SEARCHES:
        answers = []
        for api in (single_node.api, running.client):
            response = api.request("POST", f"/indexes/{index_name}/search", json=body)
            answer = response.json()
            answer.pop("processingTimeMs", None)
            answers.append((response.status_code, answer))
        if answers[0] != answers[1]:
            differing.append((body, answers))
    assert not differing, "\n".join(f"{body}\n   {left}\n   {right}" for body, (left, right) in differing)
