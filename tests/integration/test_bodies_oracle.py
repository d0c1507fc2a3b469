"""JSON bodies as clients may send them, compressed or nested beyond measure, against a plain node."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable

import brotli
import pytest

from tests.client import Api
from tests.nodes import Cluster, RealNode

OF_ONE_SERVER = re.compile(r'"(taskUid|processingTimeMs)":\d+|"\w+At":"[^"]+"|"(key|uid|uuid)":"[^"]+"')
INDEX = "/indexes/encoded-bodies"
KEY = "/keys/6062abda-a5aa-4414-ac91-ecd7944c0f8d"

BODIES = [
    ("POST", f"{INDEX}/search", b'{"q":"red","limit":1}'),
    ("POST", f"{INDEX}/facet-search", b'{"facetName":"genre"}'),
    ("POST", f"{INDEX}/similar", b'{"id":1,"embedder":"default"}'),
    ("POST", f"{INDEX}/documents/fetch", b'{"limit":1}'),
    ("POST", f"{INDEX}/documents/delete-batch", b"[1]"),
    ("POST", f"{INDEX}/documents/delete", b'{"filter":"genre = x"}'),
    ("POST", "/multi-search", b'{"queries":[{"indexUid":"encoded-bodies"}]}'),
    ("PATCH", f"{INDEX}/settings", b'{"stopWords":["the"]}'),
    ("PUT", f"{INDEX}/settings/stop-words", b'["the"]'),
    ("PATCH", INDEX, b'{"primaryKey":"id"}'),
    ("POST", "/swap-indexes", b'[{"indexes":["no-such-index","nor-this"]}]'),
    ("POST", "/keys", b'{"actions":["search"],"indexes":["x"],"expiresAt":null}'),
    ("PATCH", KEY, b'{"name":"x"}'),
    ("PATCH", "/experimental-features", b"{}"),
    ("POST", "/webhooks", b'{"url":"x"}'),
]
PACKED: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("GZIP", gzip.compress),
    ("deflate", zlib.compress),
    ("br", brotli.compress),
    ("unheard-of", bytes),
    ("gzip", bytes),
    ("gzip", lambda body: gzip.compress(body)[:-9]),
    ("gzip", lambda body: gzip.compress(body[:-1])),
]


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Servers that have the index."""
    return set()


@pytest.fixture
def servers(cluster: Callable[..., Cluster], single_node: RealNode, known: set[str]) -> tuple[Api, Api]:
    pair = (single_node.api, cluster().client)
    for api in pair:
        if api.url not in known:
            api.create_index("encoded-bodies")
            known.add(api.url)
    return pair


def answer(api: Api, method: str, path: str, body: bytes, encoding: str | None) -> tuple[int, str]:
    headers = {"Content-Type": "application/json"} | ({} if encoding is None else {"Content-Encoding": encoding})
    response = api.http.request(method, path, content=body, headers=headers)
    return response.status_code, OF_ONE_SERVER.sub("", response.text)


@pytest.mark.parametrize(("method", "path", "body"), BODIES, ids=[f"{method} {path}" for method, path, _ in BODIES])
def test_a_compressed_body_is_what_is_in_it(method: str, path: str, body: bytes, servers: tuple[Api, Api]) -> None:
    for encoding, pack in PACKED:
        node, miroir = (answer(api, method, path, pack(body), encoding) for api in servers)
        assert miroir == node, (encoding, pack(body))


@pytest.mark.parametrize("depth", [126, 127, 300, 1000])
@pytest.mark.parametrize(
    ("method", "path", "around"),
    [
        ("POST", f"{INDEX}/facet-search", b'{"facetName":%b}'),
        ("POST", f"{INDEX}/similar", b'{"id":%b,"embedder":"x"}'),
        ("POST", "/swap-indexes", b"[%b]"),
        ("POST", "/webhooks", b'{"url":%b}'),
        ("PATCH", f"{INDEX}/settings", b'{"stopWords":%b}'),
    ],
)
def test_what_is_nested_too_deep_is_refused_as_by_a_node(
    method: str, path: str, around: bytes, depth: int, servers: tuple[Api, Api]
) -> None:
    node, miroir = (answer(api, method, path, around % (b"[" * depth + b"]" * depth), None) for api in servers)
    assert miroir == node


@pytest.mark.parametrize("depth", [200, 1000])
@pytest.mark.parametrize("route", ["search", "documents/fetch"])
def test_a_filter_nested_too_deep_is_refused(route: str, depth: int, servers: tuple[Api, Api]) -> None:
    body = b'{"filter":%b}' % (b"[" * depth + b'"genre = x"' + b"]" * depth)
    node, miroir = (answer(api, "POST", f"{INDEX}/{route}", body, None) for api in servers)
    assert miroir == node


def test_a_filter_of_a_query_that_is_nested_too_deep_is_a_text(servers: tuple[Api, Api]) -> None:
    path = f"{INDEX}/search?filter={'[' * 300}{']' * 300}"
    node, miroir = (answer(api, "GET", path, b"", None) for api in servers)
    assert miroir == node


MINUS_ZERO = [
    *(
        (f"{INDEX}/search", b'{"%b":-0}' % name)
        for name in (b"limit", b"offset", b"page", b"hitsPerPage", b"cropLength", b"rankingScoreThreshold")
    ),
    (f"{INDEX}/search", b'{"q":":-0", "limit": -0 }'),
    (f"{INDEX}/search", b'{"vector":[-0],"hybrid":{"embedder":"x","semanticRatio":-0}}'),
    *((f"{INDEX}/search", b'{"%b":[-0]}' % name) for name in (b"filter", b"sort", b"attributesToRetrieve")),
    (f"{INDEX}/documents/fetch", b'{"limit":-0}'),
    (f"{INDEX}/documents/fetch", b'{"ids":[1, -0]}'),
    ("/multi-search", b'{"queries":[-0]}'),
    (f"{INDEX}/similar", b'{"id":1,"embedder":"x","limit":-0}'),
    (f"{INDEX}/similar", b'{"id":-0,"embedder":"x"}'),
    ("/multi-search", b'{"queries":[{"indexUid":"encoded-bodies","limit":-0}]}'),
    ("/multi-search", b'{"federation":{"limit":-0},"queries":[{"indexUid":"encoded-bodies"}]}'),
    ("/multi-search", b'{"federation":{"offset":-0},"queries":[{"indexUid":"encoded-bodies"}]}'),
]


@pytest.mark.parametrize(("path", "body"), MINUS_ZERO, ids=[body.decode() for _, body in MINUS_ZERO])
def test_minus_zero_is_no_natural_number(path: str, body: bytes, servers: tuple[Api, Api]) -> None:
    node, miroir = (answer(api, "POST", path, body, None) for api in servers)
    assert miroir == node


PAGES = [
    (page, size)
    for size in (1, 2, 3, 1 << 32, 1 << 63, (1 << 64) - 3, (1 << 64) - 1)
    for page in (1, 2, 3, 1 << 32, (1 << 32) + 1, 1 << 63, (1 << 63) + 1, (1 << 63) + 2, (1 << 64) - 1)
]


def test_pages_beyond_64_bits_are_those_of_a_node(servers: tuple[Api, Api], index_name: str) -> None:
    for api in servers:
        api.add_documents(index_name, [{"id": number} for number in range(5)])
    for page, size in PAGES:
        body = b'{"page":%d,"hitsPerPage":%d}' % (page, size)
        node, miroir = (answer(api, "POST", f"/indexes/{index_name}/search", body, None) for api in servers)
        assert miroir == node, body


UPLOADS = [
    (f"{path}?{query}", content_type)
    for path in (f"{INDEX}/documents", "/indexes/a%20b/documents")
    for query in ("csvDelimiter=ab&foo=1", "foo=1&csvDelimiter=ab", "csvDelimiter=&foo=1", "csvDelimiter=%C3%A9&foo=1",
                  "foo=1&csvDelimiter=%C3%A9", "csvDelimiter=ab", "csvDelimiter=;", "")
    for content_type in ("application/json", "text/csv", "text/plain")
]  # fmt: skip


def test_of_several_faults_of_an_upload_a_nodes_first_is_named(servers: tuple[Api, Api]) -> None:
    for path, content_type in UPLOADS:
        # A node that refuses a request early does not read its body: never use such a connection again.
        headers = {"Content-Type": content_type, "Connection": "close"}
        responses = [api.http.post(path, content=b'"', headers=headers) for api in servers]
        node, miroir = ((each.status_code, OF_ONE_SERVER.sub("", each.text)) for each in responses)
        assert miroir == node, (path, content_type)
