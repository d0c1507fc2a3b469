"""A page of another origin with the official client: what a browser makes of Miroir's answers, and of a node's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.client import Api
from tests.nodes import Cluster, RealNode

WORDS = "red green blue leather cotton winter summer quiet"
DOCUMENTS = [
    {"id": number, "title": "Emma" if number % 10 == 1 else f"Book {number}", "genre": "novel", "text": WORDS * 5}
    for number in range(1, 61)
]

PATIENCE_MS = 60_000


@dataclass
class Shop:
    """An open page, and what its browser did behind it."""

    page: Page
    preflights: list[tuple[str, int]] = field(default_factory=list)
    """URL and status of every request that the browser asked first about."""
    encodings: dict[str, str] = field(default_factory=dict)
    """URL -> the encoding of the last answer from there."""
    complaints: list[str] = field(default_factory=list)
    """What the browser kept from the page, in its own words."""

    def watch(self) -> None:
        """Listen to the browser's own protocol: preflights are no requests of the page's."""
        session = self.page.context.new_cdp_session(self.page)

        def answered(event: dict[str, Any]) -> None:
            response = event["response"]
            if event["type"] == "Preflight":
                self.preflights.append((response["url"], response["status"]))
            else:
                headers = {name.lower(): value for name, value in response["headers"].items()}
                self.encodings[response["url"]] = headers.get("content-encoding", "")

        session.on("Network.responseReceived", answered)
        session.send("Network.enable")
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda line: self.complaints.append(line.text) if "CORS" in line.text else None)


@pytest.fixture
def open_shop(browser: Browser, origin: str) -> Iterator[Callable[..., Shop]]:
    """A function that opens the page for a server and an index."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)

    def opened(api: Api, index: str, key: str | None = None) -> Shop:
        shop = Shop(context.new_page())
        shop.watch()
        shop.page.goto(f"{origin}/page.html?{urlencode({'host': api.url, 'key': key or api.key, 'index': index})}")
        shop.page.wait_for_function("window.ready")
        return shop

    try:
        yield opened
    finally:
        context.close()


@pytest.mark.timeout(600)
def test_a_page_works_with_miroir_as_with_a_node(
    open_shop: Callable[..., Shop], cluster: Callable[..., Cluster], single_node: RealNode, index_name: str
) -> None:
    miroir = cluster(groups=1, nodes=2, rf=2).client
    done = {}
    for api in (single_node.api, miroir):
        shop = open_shop(api, index_name)
        done[api.url] = shop.page.evaluate("(documents) => work(documents)", DOCUMENTS)
        assert not shop.complaints
        assert any(url.endswith("/search") for url, _ in shop.preflights), "nothing was asked first"
        assert {status for _, status in shop.preflights} == {200}
        api.delete_index(index_name)
    ours, nodes = done[miroir.url], done[single_node.api.url]
    assert ours == nodes
    assert ours["added"] == {
        "status": "succeeded",
        "type": "documentAdditionOrUpdate",
        "details": {"receivedDocuments": 60, "indexedDocuments": 60},
        "code": None,
    }
    assert [hit["id"] for hit in ours["found"]] == [1, 11, 21, 31, 41, 51]
    assert (ours["failed"]["status"], ours["failed"]["code"]) == ("failed", "invalid_document_id")
    assert ours["several"] == [6, 53]
    assert (ours["stats"], ours["document"]["year"]) == (59, 1816)
    assert ours["refusedFilter"]["cause"]["code"] == "invalid_search_filter"
    assert (ours["refusedIndex"]["status"], ours["refusedIndex"]["refused"]) == (404, True)


def test_hits_appear_while_somebody_types(
    open_shop: Callable[..., Shop], cluster: Callable[..., Cluster], index_name: str
) -> None:
    miroir = cluster(groups=1, nodes=2, rf=2).client
    miroir.create_index(index_name, "id")
    miroir.add_documents(index_name, DOCUMENTS)
    key = miroir.post("/keys", {"actions": ["search"], "indexes": [index_name], "expiresAt": None})["key"]
    shop = open_shop(miroir, index_name, key)
    shop.page.locator("#query").press_sequentially("emm")
    expect(shop.page.locator("#hits li em")).to_have_text(["Emm"] * 5, timeout=PATIENCE_MS)
    miroir.expect(miroir.request("DELETE", f"/keys/{key}"))
    shop.page.locator("#query").press_sequentially("a")
    expect(shop.page.locator("#error")).to_have_text(
        "invalid_api_key: The provided API key is invalid.", timeout=PATIENCE_MS
    )
    assert not shop.complaints


def test_a_page_reads_every_answer_whatever_it_is(
    open_shop: Callable[..., Shop], cluster: Callable[..., Cluster], index_name: str
) -> None:
    miroir = cluster(groups=1, nodes=2, rf=2).client
    miroir.create_index(index_name, "id")
    miroir.add_documents(index_name, DOCUMENTS)
    shop = open_shop(miroir, index_name)
    authorized = {"Authorization": f"Bearer {miroir.key}", "X-Anything": "at all"}
    for method, path, headers, status in (
        ("GET", "/health", {}, 200),
        ("GET", f"/indexes/{index_name}/documents?limit=60", authorized, 200),
        ("GET", "/indexes", {}, 401),
        ("GET", "/indexes", {"Authorization": "Bearer wrong"}, 403),
        ("GET", "/nowhere", authorized, 404),
        ("DELETE", "/health", authorized, 405),
        ("GET", "/chats", authorized, 501),
    ):
        answer = shop.page.evaluate("([method, path, headers]) => ask(method, path, headers)", [method, path, headers])
        assert answer["status"] == status, path
        assert "x-request-id" in answer["headers"], f"{path}: a header of ours is kept from the page"
    asked = [url for url, _ in shop.preflights]
    assert f"{miroir.url}/chats" in asked
    assert f"{miroir.url}/health" in asked, "a DELETE is asked about"
    assert shop.encodings[f"{miroir.url}/indexes/{index_name}/documents?limit=60"] in ("br", "gzip", "deflate")
    assert not [complaint for complaint in shop.complaints if "CORS" in complaint]
