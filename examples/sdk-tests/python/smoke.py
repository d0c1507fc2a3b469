"""The official Python client against any Meilisearch: `MEILI_URL=... MEILI_KEY=... python smoke.py`."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import meilisearch
from meilisearch.errors import MeilisearchApiError

URL = os.environ["MEILI_URL"]
BOOKS: list[dict[str, Any]] = json.loads((Path(__file__).parent.parent / "books.json").read_text())
PREFIX = f"python_{uuid4().hex[:8]}"
"""Of the names of this run's indexes."""


def step(name: str) -> None:
    print(f"- {name}", flush=True)


def main() -> None:
    client = meilisearch.Client(URL, os.environ["MEILI_KEY"], timeout=60)

    def done(task: Any) -> Any:
        ended = client.wait_for_task(task.task_uid, timeout_in_ms=60_000)
        assert ended.status == "succeeded", ended
        return ended

    step("health and version")
    assert client.is_healthy()
    assert client.get_version()["pkgVersion"]

    step("create an index")
    books, other = f"{PREFIX}_books", f"{PREFIX}_other"
    done(client.create_index(books, {"primaryKey": "id"}))
    index = client.index(books)
    assert client.get_index(books).primary_key == "id"

    step("settings")
    settings = {
        "filterableAttributes": ["author", "genres", "year"],
        "sortableAttributes": ["year", "rating"],
        "synonyms": {"sea": ["seas"], "seas": ["sea"]},
    }
    done(index.update_settings(settings))
    assert set(index.get_settings()["filterableAttributes"]) == {"author", "genres", "year"}
    done(index.update_typo_tolerance({"minWordSizeForTypos": {"oneTypo": 4}}))
    assert index.get_typo_tolerance().min_word_size_for_typos.one_typo == 4

    step("documents")
    task = done(index.add_documents(BOOKS))
    assert (task.details["receivedDocuments"], task.details["indexedDocuments"]) == (24, 24)
    done(index.update_documents([{"id": 2, "rating": 8.8}]))
    emma = index.get_document(2)
    assert (emma.title, emma.rating) == ("Emma", 8.8)
    assert index.get_documents({"limit": 5, "offset": 20}).total == 24
    assert index.get_documents({"filter": "year < 1816"}).total == 2

    step("search")
    assert [hit["id"] for hit in index.search("karamzov")["hits"]] == [17]
    found = index.search("", {"filter": "author = 'Jane Austen'", "sort": ["year:desc"], "facets": ["genres"]})
    assert [hit["id"] for hit in found["hits"]] == [3, 2, 1]
    assert found["facetDistribution"]["genres"] == {"novel": 3, "romance": 3}
    assert [hit["id"] for hit in index.search("sea")["hits"]] == [13]
    marked = index.search("wuthering", {"attributesToHighlight": ["title"]})["hits"][0]["_formatted"]["title"]
    assert marked == "<em>Wuthering</em> Heights"
    page = index.search("", {"page": 2, "hitsPerPage": 10})
    assert (len(page["hits"]), page["totalHits"], page["totalPages"]) == (10, 24, 3)
    assert index.facet_search("author", "charl")["facetHits"][0]["value"] == "Charlotte Brontë"
    both = client.multi_search([{"indexUid": books, "q": "dracula"}, {"indexUid": books, "q": "emma"}])
    assert [result["hits"][0]["id"] for result in both["results"]] == [23, 2]

    step("keys and tenant tokens")
    expires = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=500_000)  # it reads no whole seconds
    key = client.create_key(
        {"actions": ["search"], "indexes": [books], "expiresAt": f"{expires:%Y-%m-%dT%H:%M:%S.%fZ}"}
    )
    searcher = meilisearch.Client(URL, key.key)
    assert searcher.index(books).search("emma")["hits"][0]["id"] == 2
    try:
        searcher.index(books).delete_all_documents()
    except MeilisearchApiError as refusal:
        assert refusal.code == "invalid_api_key"
    else:
        raise AssertionError("a search key deleted documents")
    token = client.generate_tenant_token(key.uid, {books: {"filter": "year > 1890"}}, api_key=key.key)
    assert len(meilisearch.Client(URL, token).index(books).search("")["hits"]) == 3
    client.delete_key(key.uid)

    step("swap two indexes")
    done(client.index(other).add_documents([{"id": 1, "title": "Another"}], primary_key="id"))
    done(client.swap_indexes([{"indexes": [books, other]}]))
    assert client.index(books).get_stats().number_of_documents == 1
    done(client.swap_indexes([{"indexes": [books, other]}]))
    assert client.index(books).get_stats().number_of_documents == 24

    step("delete")
    assert done(index.delete_documents(filter="genres = horror")).details["deletedDocuments"] == 4
    done(index.delete_document(7))
    done(index.delete_documents([8, 9]))
    assert index.get_stats().number_of_documents == 17
    done(index.delete_all_documents())
    assert index.get_documents().total == 0
    assert client.get_tasks({"indexUids": books, "types": "documentDeletion"}).total == 4
    for uid in (books, other):
        done(client.delete_index(uid))
    try:
        client.get_index(books)
    except MeilisearchApiError as refusal:
        assert (refusal.code, refusal.status_code) == ("index_not_found", 404)
    else:
        raise AssertionError("a deleted index answered")
    print("ok")


if __name__ == "__main__":
    main()
