"""The official Python client, pointed at Miroir: it notices nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import meilisearch
import pytest
from meilisearch.errors import MeilisearchApiError

from tests.nodes import MASTER_KEY, Cluster


def test_a_whole_life_of_an_index(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=3, rf=1)
    client = meilisearch.Client(running.server.address, MASTER_KEY)
    wait_for_task = partial(client.wait_for_task, timeout_in_ms=60_000)  # a busy machine takes its time
    assert client.is_healthy()
    assert client.get_version()["pkgVersion"].startswith("1.")

    task = client.create_index(index_name, {"primaryKey": "isbn"})
    assert isinstance(task.task_uid, int)
    assert wait_for_task(task.task_uid).status == "succeeded"
    index = client.get_index(index_name)
    assert index.get_primary_key() == "isbn"

    books = [
        {
            "isbn": f"978-{number}",
            "title": f"The {word} book",
            "year": 1990 + number,
            "genre": "poetry" if number % 2 else "prose",
        }
        for number, word in enumerate(["red", "green", "blue", "yellow", "violet", "white", "black", "brown"])
    ]
    for added in index.add_documents_in_batches(books, batch_size=3):
        assert wait_for_task(added.task_uid).status == "succeeded"

    settings = {"filterableAttributes": ["genre", "year"], "sortableAttributes": ["year"], "stopWords": ["the"]}
    task = index.update_settings(settings)
    assert wait_for_task(task.task_uid).status == "succeeded"
    shown = index.get_settings()
    assert shown["filterableAttributes"] == ["genre", "year"]
    assert shown["sortableAttributes"] == ["year"]
    assert shown["rankingRules"] == ["words", "typo", "proximity", "attribute", "sort", "exactness"]
    assert shown["displayedAttributes"] == ["*"]
    assert shown["faceting"]["maxValuesPerFacet"] == 100

    found = index.search("book", {"filter": "genre = poetry", "sort": ["year:desc"], "facets": ["genre"]})
    assert [hit["year"] for hit in found["hits"]] == [1997, 1995, 1993, 1991]
    assert found["facetDistribution"] == {"genre": {"poetry": 4}}
    highlighted = index.search("violet", {"attributesToHighlight": ["*"]})
    assert highlighted["hits"][0]["_formatted"]["title"] == "The <em>violet</em> book"

    assert index.get_document("978-4").title == "The violet book"
    listed = index.get_documents({"limit": 3})
    assert (listed.total, len(listed.results)) == (8, 3)
    task = index.update_documents([{"isbn": "978-4", "year": 2020}])
    wait_for_task(task.task_uid)
    assert index.get_document("978-4").year == 2020
    assert index.get_document("978-4").title == "The violet book"

    assert wait_for_task(index.delete_document("978-0").task_uid).status == "succeeded"
    with pytest.warns(DeprecationWarning, match="ids"):  # by ids; it works as long as the client has it
        task = index.delete_documents(["978-1", "978-2"])
    assert (wait_for_task(task.task_uid).details or {})["deletedDocuments"] == 2
    assert index.get_stats().number_of_documents == 5
    with pytest.raises(MeilisearchApiError) as missing:
        index.get_document("978-0")
    assert missing.value.code == "document_not_found"

    tasks = client.get_tasks({"indexUids": [index_name], "limit": 100})
    assert {task.status for task in tasks.results} == {"succeeded"}
    task = client.delete_index(index_name)
    assert wait_for_task(task.task_uid).status == "succeeded"
    with pytest.raises(MeilisearchApiError) as gone:
        client.get_index(index_name)
    assert gone.value.code == "index_not_found"


def test_a_wrong_key_is_refused_as_a_node_refuses_it(cluster: Callable[..., Cluster]) -> None:
    running = cluster(groups=1, nodes=3, rf=1)
    with pytest.raises(MeilisearchApiError) as refused:
        meilisearch.Client(running.server.address, "not the key").get_indexes()
    assert (refused.value.status_code, refused.value.code) == (403, "invalid_api_key")
    missing = running.client.with_key(None).request("GET", "/indexes")
    assert (missing.status_code, missing.json()["code"]) == (401, "missing_authorization_header")
