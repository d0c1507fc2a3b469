"""The main job, end to end: real nodes, Miroir in front, and answers as if it were one node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.nodes import Cluster

WORDS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett"]


def thousand() -> list[dict[str, Any]]:
    """1,000 documents; the word in `unique` stands in one of them only."""
    return [
        {
            "id": number,
            "title": f"{WORDS[number % 10]} {WORDS[number // 10 % 10]}",
            "brand": "brand" + "abcdefg"[number % 7],
            "price": number % 90,
            "unique": f"unikum{number:04d}x",
        }
        for number in range(1000)
    ]


SETTINGS = {"filterableAttributes": ["brand", "price"], "sortableAttributes": ["price"]}


@pytest.fixture(params=[(1, 3, 1), (2, 2, 2)], ids=["3 nodes", "2 groups x 2 nodes, RF 2"])
def loaded(cluster: Callable[..., Cluster], index_name: str, request: pytest.FixtureRequest) -> tuple[Cluster, str]:
    """A cluster with the thousand documents in an index."""
    groups, nodes, rf = request.param
    running = cluster(groups=groups, nodes=nodes, rf=rf)
    running.client.create_index(index_name, "id")
    running.client.update_settings(index_name, SETTINGS)
    running.client.add_documents(index_name, thousand())
    return running, index_name


def test_every_document_is_found_by_its_id_and_by_its_word(loaded: tuple[Cluster, str]) -> None:
    cluster, index = loaded
    for number in range(0, 1000, 37):
        assert cluster.client.get(f"/indexes/{index}/documents/{number}")["unique"] == f"unikum{number:04d}x"
        found = cluster.client.search(index, f'"unikum{number:04d}x"')
        assert [hit["id"] for hit in found["hits"]] == [number]
        assert found["estimatedTotalHits"] == 1


def test_no_node_holds_less_than_a_fifth_of_its_groups_documents(loaded: tuple[Cluster, str]) -> None:
    cluster, index = loaded
    for group in range(len({node["replica_group"] for node in cluster.topology()["nodes"]})):
        counts = [node.api.get(f"/indexes/{index}/stats")["numberOfDocuments"] for node in cluster.group(group)]
        assert min(counts) >= 0.2 * 1000
        assert sum(counts) in (1000, 2000)


def test_facets_add_up(loaded: tuple[Cluster, str]) -> None:
    cluster, index = loaded
    documents = thousand()
    for query in ("", "alpha"):
        wanted = [each for each in documents if query in each["title"]]
        found = cluster.client.search(index, query, facets=["brand", "price"], limit=0)
        assert found["estimatedTotalHits"] == len(wanted)
        assert found["facetDistribution"]["brand"] == Counter(each["brand"] for each in wanted)
        prices = [each["price"] for each in wanted]
        assert found["facetStats"]["price"] == {"min": min(prices), "max": max(prices)}


@pytest.mark.parametrize("parameters", [{"q": ""}, {"q": "alpha"}, {"q": "alpha", "sort": ["price:desc"]}])
def test_five_pages_of_ten_are_one_of_fifty(loaded: tuple[Cluster, str], parameters: dict[str, Any]) -> None:
    cluster, index = loaded
    whole = cluster.client.post(f"/indexes/{index}/search", {**parameters, "limit": 50})["hits"]
    by_offset = [
        hit
        for page in range(5)
        for hit in cluster.client.post(f"/indexes/{index}/search", {**parameters, "limit": 10, "offset": page * 10})[
            "hits"
        ]
    ]
    by_page = [
        hit
        for page in range(1, 6)
        for hit in cluster.client.post(f"/indexes/{index}/search", {**parameters, "page": page, "hitsPerPage": 10})[
            "hits"
        ]
    ]
    assert len(whole) == 50
    assert by_offset == whole
    assert by_page == whole


def test_documents_are_listed_in_the_order_they_came(loaded: tuple[Cluster, str]) -> None:
    cluster, index = loaded
    for offset in (0, 480, 990, 1000):
        listed = cluster.client.get(f"/indexes/{index}/documents", offset=offset, limit=25, fields="id")
        assert [each["id"] for each in listed["results"]] == list(range(offset, min(offset + 25, 1000)))
        assert listed["total"] == 1000


def test_nothing_is_found_because_of_a_stamp(loaded: tuple[Cluster, str]) -> None:
    cluster, index = loaded
    for query in ("3", "17", "true", "2026", "||"):
        wanted = {
            each["id"]
            for each in thousand()
            if str(each["id"]).startswith(query) or str(each["price"]).startswith(query)
        }
        found = cluster.client.search(index, query, limit=1000)
        assert {hit["id"] for hit in found["hits"]} == wanted
