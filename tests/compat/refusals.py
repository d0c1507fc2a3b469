"""Requests that a node refuses, over all routes: some by hand, some by rule.

Paths name `{index}`, an index that holds a few documents; what else is named is not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from miroir.api.refused import REFUSED
from miroir.api.settings_routes import path_of
from miroir.indexes.defaults import SETTINGS

JSON: Final[Mapping[str, str]] = MappingProxyType({"content-type": "application/json"})
NOT_JSON: Final[Mapping[str, str]] = MappingProxyType({"content-type": "text/plain"})
NO_TYPE: Final[Mapping[str, str]] = MappingProxyType({})
CSV: Final[Mapping[str, str]] = MappingProxyType({"content-type": "text/csv"})
NDJSON: Final[Mapping[str, str]] = MappingProxyType({"content-type": "application/x-ndjson"})


class Key(Enum):
    """With which credential a request comes."""

    MASTER = "the master key"
    NONE = "no key"
    UNKNOWN = "an unknown key"
    IDLE = "a key that may do nothing here"
    ELSEWHERE = "a key for another index"


@dataclass(frozen=True)
class Wrong:
    """A request that is refused."""

    kind: str
    """The row of the report that it counts in."""
    method: str
    path: str
    body: Any = None
    """Sent as JSON; bytes as they are."""
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    key: Key = Key.MASTER

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()

    def __str__(self) -> str:
        said = [self.method, self.path]
        if self.body is not None:
            said.append(repr(self.content if len(self.content) < 120 else self.content[:120]))
        if self.headers != JSON:
            said.append(str(dict(self.headers)))
        if self.key is not Key.MASTER:
            said.append(f"with {self.key.value}")
        return " ".join(said)


INDEX: Final = "/indexes/{index}"
DOCUMENTS: Final = f"{INDEX}/documents"
SOME_KEY: Final = "/keys/8dbd3d28-3b0b-4ee2-a7e3-3e1b8a5a0f11"
SOME_WEBHOOK: Final = "/webhooks/8dbd3d28-3b0b-4ee2-a7e3-3e1b8a5a0f11"

_MERGED: Final = ("typoTolerance", "faceting", "pagination", "embedders", "chat", "vectorStore")
_SETTING_ROUTES: Final = tuple(
    (method, f"{INDEX}/settings/{path_of(name)}")
    for name in SETTINGS
    for method in ("GET", "PATCH" if name in _MERGED else "PUT", "DELETE")
)
_INDEX_ROUTES: Final = (
    *((method, INDEX) for method in ("GET", "PATCH", "DELETE")),
    ("GET", f"{INDEX}/stats"),
    *((method, DOCUMENTS) for method in ("GET", "POST", "PUT", "DELETE")),
    *((method, f"{DOCUMENTS}/1") for method in ("GET", "DELETE")),
    *(("POST", f"{DOCUMENTS}/{what}") for what in ("delete-batch", "delete", "edit", "fetch")),
    *((method, f"{INDEX}/{what}") for what in ("search", "similar") for method in ("GET", "POST")),
    ("POST", f"{INDEX}/facet-search"),
    *((method, f"{INDEX}/settings") for method in ("GET", "PATCH", "DELETE")),
    *_SETTING_ROUTES,
)
_OTHER_ROUTES: Final = (
    *((method, "/indexes") for method in ("GET", "POST")),
    ("POST", "/multi-search"),
    ("POST", "/swap-indexes"),
    *((method, "/tasks") for method in ("GET", "DELETE")),
    ("GET", "/tasks/0"),
    ("POST", "/tasks/cancel"),
    ("GET", "/batches"),
    ("GET", "/batches/0"),
    *((method, "/keys") for method in ("GET", "POST")),
    *((method, SOME_KEY) for method in ("GET", "PATCH", "DELETE")),
    *((method, "/webhooks") for method in ("GET", "POST")),
    *((method, SOME_WEBHOOK) for method in ("GET", "PATCH", "DELETE")),
    *((method, "/experimental-features") for method in ("GET", "PATCH")),
    ("GET", "/stats"),
    ("GET", "/version"),
    ("POST", "/snapshots"),
    ("POST", "/dumps"),
    ("GET", "/metrics"),
    *((method, "/network") for method in ("GET", "PATCH")),
    ("POST", "/export"),
    ("POST", "/logs/stream"),
    ("DELETE", "/logs/stream"),
    ("POST", "/logs/stderr"),
    ("GET", "/chats"),
)
_TAKE_A_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_BODILESS: Final = frozenset({"/tasks/cancel", "/snapshots", "/dumps"})
_REFUSED: Final = frozenset(refused.template for refused in REFUSED)
_WELL_FORMED: Final[Mapping[str, Any]] = {
    DOCUMENTS: [{"id": 1}],
    f"{DOCUMENTS}/delete-batch": [1],
    f"{DOCUMENTS}/delete": {"filter": "a = 1"},
    f"{DOCUMENTS}/edit": {"function": "1"},
    f"{INDEX}/facet-search": {"facetName": "price"},
    f"{INDEX}/similar": {"id": 1, "embedder": "none"},
    "/multi-search": {"queries": []},
    "/indexes": {"uid": "fine"},
    "/swap-indexes": [],
    "/keys": {"actions": ["search"], "indexes": ["*"], "expiresAt": None},
    "/webhooks": {"url": "http://a.example"},
    "/export": {"url": "http://a.example"},
    "/logs/stream": {"target": "info"},
    "/logs/stderr": {"target": "info"},
}
"""Bodies with which only the key or the name is wrong: a node may look at either first."""


def refusals() -> list[Wrong]:
    """All of them, each once."""
    found = [
        *_paths(),
        *_credentials(),
        *_names(),
        *_bodies(),
        *_indexes(),
        *_documents(),
        *_searches(),
        *_multi_searches(),
        *_settings(),
        *_tasks(),
        *_keys(),
        *_webhooks(),
        *_the_rest(),
    ]
    return list({str(wrong): wrong for wrong in found}.values())


# -- by rule -----------------------------------------------------------------------------------------------------------


def _paths() -> Iterator[Wrong]:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        for path in ("/nowhere", f"{INDEX}/nowhere", f"{INDEX}/settings/nowhere", "/tasks/0/nowhere", "/keys/a/b"):
            yield Wrong("unknown paths", method, path)
    routes = (*_INDEX_ROUTES, *_OTHER_ROUTES, ("GET", "/health"))
    methods: dict[str, set[str]] = {}
    for method, path in routes:
        methods.setdefault(path, set()).add(method)
    for path, known in methods.items():
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            if method not in known:
                yield Wrong("unknown methods", method, path)


def _credentials() -> Iterator[Wrong]:
    for method, path in (*_INDEX_ROUTES, *_OTHER_ROUTES):
        if "/settings/" in path and not path.endswith(("/synonyms", "/embedders")):
            continue  # they have one door
        body = _WELL_FORMED.get(path, {}) if method in _TAKE_A_BODY and path not in _BODILESS else None
        for key in (Key.NONE, Key.UNKNOWN, Key.IDLE):
            if not (path == "/version" and key is Key.IDLE):  # that is what it may
                yield Wrong(key.value, method, path, body, key=key)
        if path.startswith(INDEX):
            yield Wrong(Key.ELSEWHERE.value, method, path, body, key=Key.ELSEWHERE)


def _names() -> Iterator[Wrong]:
    for method, path in _INDEX_ROUTES:
        body = _WELL_FORMED.get(path, {}) if method in _TAKE_A_BODY else None
        if "/settings/" in path and method in _TAKE_A_BODY:
            body = b"null"
        for name in ("a%20b",) if (method, path) in _SETTING_ROUTES else ("a%20b", "%C3%A9", "x" * 513, "a%2Fb"):
            yield Wrong("names no index can have", method, path.replace("{index}", name), body)
        if method == "GET" or path in (f"{DOCUMENTS}/fetch", f"{INDEX}/search", f"{INDEX}/facet-search"):
            yield Wrong("indexes that are not there", method, path.replace("{index}", "not_there"), body)


def _bodies() -> Iterator[Wrong]:
    for method, path in (*_INDEX_ROUTES, *_OTHER_ROUTES):
        if method not in _TAKE_A_BODY or path in _BODILESS or path in _REFUSED:
            continue
        documents = path == DOCUMENTS
        is_setting = (method, path) in _SETTING_ROUTES
        for body in (b"", b"{") if is_setting else (b"", b"{", b"[1", b'"a', b"{}}", b"\xff{}", b"nul"):
            yield Wrong("malformed bodies", method, path, body)
        if not (documents or path.endswith(("/delete-batch", "/displayed-attributes"))):
            yield Wrong("bodies of another type", method, path, [{"a": [1]}])
        if not path.endswith(("/search-cutoff-ms",)):
            yield Wrong("bodies of another type", method, path, b"7")
        if not (documents or path.endswith("/synonyms")):
            yield Wrong("bodies of another type", method, path, {"nothing": 1})
        for headers in (NOT_JSON,) if is_setting else (NOT_JSON, NO_TYPE, CSV, {"content-type": "application/xml"}):
            if not (documents and headers == CSV):
                yield Wrong("content types", method, path, b"{}", headers)


# -- by hand -----------------------------------------------------------------------------------------------------------


def _indexes() -> Iterator[Wrong]:
    body: Any
    for query in (
        "limit=x",
        "offset=-1",
        "limt=1",
        "nothing=like&it=1",
        "limit=1.5",
        "offset=",
        "limit=99999999999999999999",
    ):
        yield Wrong("indexes", "GET", f"/indexes?{query}")
    for body in (
        {},
        {"uid": "a b"},
        {"uid": "x" * 513},
        {"uid": True},
        {"uid": None},
        {"uid": ""},
        {"uid": "é"},
        {"uid": "fine", "primaryKey": 1},
        {"uid": "fine", "primaryKey": ["id"]},
        {"uid": "fine", "primaryKy": "id"},
        {"primaryKey": "id"},
        [1],
    ):
        yield Wrong("indexes", "POST", "/indexes", body)
    for body in ({"primaryKey": 1}, {"uid": 7}, {"uid": "a b"}, {"nothing": 1}, {"createdAt": "now"}, {"updatedAt": 1}):
        yield Wrong("indexes", "PATCH", INDEX, body)
    for body in (
        {},
        [{}],
        [{"indexes": ["a"]}],
        [{"indexes": ["a", "b", "c"]}],
        [{"indexes": "a"}],
        [{"indexes": ["a", "b c"]}],
        [{"indexes": ["a", "a"]}],
        [{"indexes": ["a", "b"]}, {"indexes": ["b", "c"]}],
        [{"indexes": ["a", "b"], "rename": "yes"}],
        [{"indexes": ["a", "b"], "nothing": 1}],
        [{"indexes": [1, 2]}],
        [7],
    ):
        yield Wrong("indexes", "POST", "/swap-indexes", body)


def _documents() -> Iterator[Wrong]:
    def wrong(method: str, path: str, body: Any = None, headers: Mapping[str, str] = JSON) -> Wrong:
        return Wrong("documents", method, f"{DOCUMENTS}{path}", body, headers)

    yield wrong("POST", "", b"[{")
    yield wrong("POST", "", b"7")
    yield wrong("POST", "", b'["text"]')
    yield wrong("POST", "", b"null")
    yield wrong("POST", "", b'[{"id":1},7]')
    yield wrong("POST", "", b'{"id":1}{"id":2}')
    yield wrong("PUT", "", b'{"id":1}\n{"id"', NDJSON)
    yield wrong("PUT", "", b"7\n", NDJSON)
    yield wrong("POST", "", b"", CSV)
    yield wrong("POST", "", b"", NDJSON)
    yield wrong("POST", "", b"id,name\n1,2,3", CSV)
    yield wrong("POST", "", b"id:number\nabc", CSV)
    yield wrong("POST", "", b"id:boolean\nperhaps", CSV)
    yield wrong("POST", "?csvDelimiter=ab", b"id\n1", CSV)
    yield wrong("POST", "?csvDelimiter=%C3%A9", b"id\n1", CSV)
    yield wrong("POST", "?csvDelimiter=", b"id\n1", CSV)
    yield wrong("POST", "?csvDelimiter=;", [{"id": 1}])
    yield wrong("POST", "?csvDelimiter=;", b'{"id":1}', NDJSON)
    yield wrong("POST", "?primaryKy=id", [{"id": 1}])
    yield wrong("PUT", "?nothing=1", [{"id": 1}])
    yield wrong("POST", "/delete-batch", {"ids": [1]})
    yield wrong("POST", "/delete-batch", b"[1")
    yield wrong("POST", "/delete-batch", b"[1]", CSV)
    for body in (
        {},
        {"filter": 7},
        {"filter": None},
        {"filter": "price >"},
        {"filter": [["a = 1", 7]]},
        {"fltr": "a = 1"},
    ):
        yield wrong("POST", "/delete", body)
    for edit in (
        {},
        {"function": 1},
        {"function": None},
        {"function": "1", "context": 7},
        {"function": "1", "filter": 7},
        {"function": "1", "nothing": 1},
    ):
        yield wrong("POST", "/edit", edit)
    yield wrong("GET", "/404")
    yield wrong("GET", "/a%20b")
    yield wrong("GET", "/1?field=id")
    yield wrong("GET", "/1?retrieveVectors=yes")
    for query in (
        "limit=many",
        "limit=1.5",
        "limit=-1",
        "offset=-3",
        "offset=x",
        "retrieveVectors=perhaps",
        "feilds=id",
        "nothing=1",
        "filter=price%20%3E",
        "filter=title%20%3D%201",
        "filter=_geoRadius(1)",
        "sort=title:asc",
        "sort=price",
        "sort=",
        "ids=1,*",
    ):
        yield wrong("GET", f"?{query}")
    for fetch in (
        {"limit": "many"},
        {"limit": -1},
        {"limit": None},
        {"offset": 1.5},
        {"offset": [1]},
        {"limt": 1},
        {"fields": "id"},
        {"fields": [1]},
        {"ids": 1},
        {"ids": [1.5]},
        {"ids": ["a b"]},
        {"sort": "price:asc"},
        {"sort": ["title:asc"]},
        {"sort": ["price:up"]},
        {"filter": "price >"},
        {"filter": "title = 1"},
        {"filter": True},
        {"retrieveVectors": "yes"},
        [1],
    ):
        yield wrong("POST", "/fetch", fetch)


_SEARCHES: Final[tuple[dict[str, Any], ...]] = (
    {"q": 1},
    {"q": ["a"]},
    {"limit": "x"},
    {"limit": -1},
    {"limit": None},
    {"offset": 1.5},
    {"page": "x"},
    {"page": -1},
    {"hitsPerPage": -1},
    {"hitsPerPage": 2.5},
    {"filter": "price >"},
    {"filter": "title = 1"},
    {"filter": 7},
    {"filter": {"price": 1}},
    {"filter": [["price > 1", 7]]},
    {"filter": [[["price > 1"]]]},
    {"filter": "price > 1 AND"},
    {"filter": "price TO 3"},
    {"filter": "(price > 1"},
    {"filter": "price IN [1, 2"},
    {"filter": "price IN"},
    {"filter": "NOT"},
    {"filter": "price = 'a"},
    {"filter": "_geoRadius(1)"},
    {"filter": "_geoRadius(91, 1, 10)"},
    {"filter": "_geoRadius(1, 2, 3)"},
    {"filter": "_geoBoundingBox([1, 2])"},
    {"filter": "_geoPoint(1, 2)"},
    {"filter": "_geo = 1"},
    {"filter": "price CONTAINS a"},
    {"filter": "price STARTS WITH"},
    {"sort": "price:asc"},
    {"sort": ["price"]},
    {"sort": [1]},
    {"sort": ["title:asc"]},
    {"sort": ["price:up"]},
    {"sort": ["_geoPoint(1):asc"]},
    {"sort": ["_geoPoint(1, 2):asc"]},
    {"sort": ["_geoRadius(1, 2, 3):asc"]},
    {"facets": ["title"]},
    {"facets": "price"},
    {"facets": [1]},
    {"matchingStrategy": "some"},
    {"matchingStrategy": 1},
    {"attributesToRetrieve": "title"},
    {"attributesToRetrieve": [1]},
    {"attributesToHighlight": 7},
    {"attributesToCrop": {"title": 1}},
    {"attributesToSearchOn": "title"},
    {"cropLength": -1},
    {"cropLength": "x"},
    {"cropMarker": 1},
    {"highlightPreTag": 1},
    {"highlightPostTag": []},
    {"showRankingScore": "yes"},
    {"showRankingScoreDetails": 1},
    {"showMatchesPosition": "yes"},
    {"rankingScoreThreshold": 2},
    {"rankingScoreThreshold": "x"},
    {"rankingScoreThreshold": -0.1},
    {"distinct": "title"},
    {"distinct": 1},
    {"locales": ["xyz"]},
    {"locales": "eng"},
    {"vector": [1.0]},
    {"vector": "x"},
    {"vector": ["a"]},
    {"hybrid": {}},
    {"hybrid": {"embedder": "none", "semanticRatio": 2}},
    {"hybrid": {"embedder": 1}},
    {"hybrid": 1},
    {"retrieveVectors": "yes"},
    {"media": 1},
    {"media": {"a": 1}},
    {"nothing": 1},
    {"limt": 1},
)


def _searches() -> Iterator[Wrong]:
    for body in _SEARCHES:
        yield Wrong("search", "POST", f"{INDEX}/search", body)
    for query in (
        "limit=x",
        "limit=-1",
        "offset=1.5",
        "page=x",
        "hitsPerPage=-1",
        "filter=price%20%3E",
        "filter=title%20%3D%201",
        "sort=price",
        "sort=title:asc",
        "facets=title",
        "matchingStrategy=some",
        "cropLength=x",
        "showRankingScore=yes",
        "showMatchesPosition=1",
        "rankingScoreThreshold=2",
        "rankingScoreThreshold=x",
        "distinct=title",
        "locales=xyz",
        "vector=x",
        "vector=1",
        "hybridSemanticRatio=2",
        "hybridSemanticRatio=0.5",
        "retrieveVectors=yes",
        "nothing=1",
        "qq=1",
    ):
        yield Wrong("search", "GET", f"{INDEX}/search?{query}")
    for body in (
        {},
        {"facetName": 1},
        {"facetName": "title"},
        {"facetName": "price", "facetQuery": 1},
        {"facetName": "price", "q": 1},
        {"facetName": "price", "filter": "price >"},
        {"facetName": "price", "matchingStrategy": "some"},
        {"facetName": "price", "attributesToSearchOn": "title"},
        {"facetName": "price", "rankingScoreThreshold": 2},
        {"facetName": "price", "exhaustiveFacetCount": "yes"},
        {"facetName": "price", "locales": ["xyz"]},
    ):
        yield Wrong("facet search", "POST", f"{INDEX}/facet-search", body)
    for body in (
        {},
        {"id": 1},
        {"embedder": "none"},
        {"id": 1, "embedder": "none"},
        {"id": [1], "embedder": "none"},
        {"id": "a b", "embedder": "none"},
        {"id": 1, "embedder": 1},
        {"id": 1, "embedder": "none", "limit": -1},
        {"id": 1, "embedder": "none", "offset": "x"},
        {"id": 1, "embedder": "none", "filter": 7},
        {"id": 1, "embedder": "none", "showRankingScore": "yes"},
        {"id": 1, "embedder": "none", "rankingScoreThreshold": 2},
        {"id": 1, "embedder": "none", "retrieveVectors": 1},
        {"id": 1, "embedder": "none", "nothing": 1},
    ):
        yield Wrong("similar documents", "POST", f"{INDEX}/similar", body)
    for query in ("", "id=1", "id=1&embedder=none", "id=1&embedder=none&limit=x", "id=&embedder=none", "nothing=1"):
        yield Wrong("similar documents", "GET", f"{INDEX}/similar?{query}")


def _multi_searches() -> Iterator[Wrong]:
    body: Any
    for body in (
        {},
        [],
        {"queries": {}},
        {"queries": None},
        {"queries": [{}]},
        {"queries": [1]},
        {"queries": [{"indexUid": 1}]},
        {"queries": [{"indexUid": "a b"}]},
        {"queries": [{"indexUid": "not_there"}]},
        {"queries": [{"indexUid": "{index}"}, {"indexUid": "not_there"}]},
        {"queries": [{"indexUid": "{index}"}, {"indexUid": "{index}", "limit": -1}]},
        {"queries": [{"indexUid": "{index}", "filter": "price >"}]},
        {"queries": [{"indexUid": "{index}", "filter": "title = 1"}]},
        {"queries": [{"indexUid": "{index}"}, {"indexUid": "{index}", "sort": ["title:asc"]}]},
        {"queries": [{"indexUid": "{index}", "facets": ["title"]}]},
        {"queries": [{"indexUid": "{index}", "nothing": 1}]},
        {"queries": [{"indexUid": "{index}", "federationOptions": {"weight": 2}}]},
        {"queries": [], "nothing": 1},
    ):
        yield Wrong("multi-search", "POST", "/multi-search", body)


_SETTINGS: Final[tuple[tuple[str, Any], ...]] = (
    ("rankingRules", "words"),
    ("rankingRules", ["nonsense"]),
    ("rankingRules", ["price:up"]),
    ("rankingRules", [1]),
    ("rankingRules", ["_geoPoint(1,2):asc"]),
    ("searchableAttributes", "title"),
    ("searchableAttributes", [1]),
    ("displayedAttributes", 7),
    ("filterableAttributes", 7),
    ("filterableAttributes", [1]),
    ("filterableAttributes", [{"attributePatterns": "a"}]),
    ("filterableAttributes", [{"features": {}}]),
    ("filterableAttributes", [{"attributePatterns": ["a"], "features": {"filter": {"equality": 1}}}]),
    ("filterableAttributes", [{"attributePatterns": ["a"], "nothing": 1}]),
    ("sortableAttributes", [1]),
    ("sortableAttributes", {"a": 1}),
    ("stopWords", "the"),
    ("stopWords", [1]),
    ("synonyms", []),
    ("synonyms", {"a": "b"}),
    ("synonyms", {"a": [1]}),
    ("distinctAttribute", 1),
    ("distinctAttribute", ["a"]),
    ("typoTolerance", 1),
    ("typoTolerance", {"enabled": "yes"}),
    ("typoTolerance", {"minWordSizeForTypos": {"oneTypo": 9, "twoTypos": 3}}),
    ("typoTolerance", {"minWordSizeForTypos": {"oneTypo": 300}}),
    ("typoTolerance", {"minWordSizeForTypos": {"oneTypo": "x"}}),
    ("typoTolerance", {"minWordSizeForTypos": {"three": 1}}),
    ("typoTolerance", {"disableOnWords": "a"}),
    ("typoTolerance", {"disableOnNumbers": 1}),
    ("typoTolerance", {"nothing": 1}),
    ("faceting", {"maxValuesPerFacet": -1}),
    ("faceting", {"maxValuesPerFacet": "x"}),
    ("faceting", {"sortFacetValuesBy": {"*": "size"}}),
    ("faceting", {"sortFacetValuesBy": "alpha"}),
    ("faceting", {"nothing": 1}),
    ("pagination", {"maxTotalHits": "x"}),
    ("pagination", {"maxTotalHits": -1}),
    ("pagination", {"nothing": 1}),
    ("proximityPrecision", "byLetter"),
    ("proximityPrecision", 1),
    ("searchCutoffMs", "soon"),
    ("searchCutoffMs", -1),
    ("separatorTokens", "a"),
    ("nonSeparatorTokens", [1]),
    ("dictionary", "a"),
    ("localizedAttributes", "a"),
    ("localizedAttributes", [{"attributePatterns": ["a"], "locales": ["xyz"]}]),
    ("localizedAttributes", [{"locales": ["eng"]}]),
    ("facetSearch", "yes"),
    ("prefixSearch", "sometimes"),
    ("prefixSearch", True),
    ("embedders", 1),
    ("embedders", {"a": 1}),
    ("embedders", {"a": {"source": "nowhere"}}),
    ("embedders", {"a": {"source": "userProvided"}}),
    ("embedders", {"a": {"source": "userProvided", "dimensions": "x"}}),
    ("embedders", {"a": {"source": "userProvided", "dimensions": 0}}),
    ("embedders", {"a": {"source": "userProvided", "dimensions": 2, "model": "m"}}),
    ("embedders", {"a": {"source": "rest", "url": "nowhere", "dimensions": 2}}),
    ("embedders", {"a": {"source": "openAi", "model": "none"}}),
    ("embedders", {"a": {"source": "userProvided", "dimensions": 2, "nothing": 1}}),
)


def _settings() -> Iterator[Wrong]:
    for name, value in _SETTINGS:
        yield Wrong("settings", "PATCH", f"{INDEX}/settings", {name: value})
        method = "PATCH" if name in _MERGED else "PUT"
        yield Wrong("settings one by one", method, f"{INDEX}/settings/{path_of(name)}", value)
    yield Wrong("settings", "PATCH", f"{INDEX}/settings", {"unknown": 1})
    yield Wrong("settings", "PATCH", f"{INDEX}/settings", {"rankingRule": ["words"]})
    yield Wrong("settings", "PATCH", f"{INDEX}/settings", {"stopWords": ["a"], "synonyms": 1, "dictionary": 1})


_TASK_FILTERS: Final = (
    "uids=1,x",
    "uids=4294967296",
    "uids=%201",
    "batchUids=x",
    "canceledBy=x",
    "statuses=done",
    "statuses=succeeded,gone",
    "types=everything",
    "types=indexCreation,x",
    "indexUids=a%20b",
    "indexUids=a,b%20c",
    "afterEnqueuedAt=yesterday",
    "beforeEnqueuedAt=2024-13-01",
    "afterStartedAt=2024-01-01T00:00:00",
    "beforeStartedAt=",
    "afterFinishedAt=12",
    "beforeFinishedAt=x",
    "status=succeeded",
    "statusse=succeeded",
    "aferEnqueuedAt=x",
    "foo=1",
)
_TASK_PAGES: Final = ("limit=x", "limit=-1", "limit=1.5", "from=x", "from=4294967296", "from=-1", "reverse=maybe")


def _tasks() -> Iterator[Wrong]:
    for query in (*_TASK_FILTERS, *_TASK_PAGES):
        yield Wrong("tasks", "GET", f"/tasks?{query}")
        yield Wrong("batches", "GET", f"/batches?{query}")
    for query in ("", *_TASK_FILTERS, "limit=1", "from=1", "uids=*,x"):
        yield Wrong("cancel tasks", "POST", f"/tasks/cancel?{query}")
        yield Wrong("delete tasks", "DELETE", f"/tasks?{query}")
    for uid in ("x", "-1", "999999", "99999999999999999999", "1.5", "%20"):
        yield Wrong("tasks", "GET", f"/tasks/{uid}")
        yield Wrong("batches", "GET", f"/batches/{uid}")


_KEY: Final[Mapping[str, Any]] = MappingProxyType({"actions": ["search"], "indexes": ["*"], "expiresAt": None})


def _keys() -> Iterator[Wrong]:
    for query in ("limit=x", "offset=-1", "limt=1", "nothing=1"):
        yield Wrong("keys", "GET", f"/keys?{query}")
    for missing in _KEY:
        yield Wrong("keys", "POST", "/keys", {name: value for name, value in _KEY.items() if name != missing})
    for change in (
        {"actions": "search"},
        {"actions": ["nothing"]},
        {"actions": [1]},
        {"actions": None},
        {"indexes": "a"},
        {"indexes": ["a b"]},
        {"indexes": ["a**"]},
        {"indexes": [1]},
        {"expiresAt": "yesterday"},
        {"expiresAt": "2020-01-01T00:00:00Z"},
        {"expiresAt": "2020-01-01"},
        {"expiresAt": 12},
        {"uid": "x"},
        {"uid": 1},
        {"name": 1},
        {"description": [1]},
        {"nothing": 1},
        {"key": "x"},
        {"createdAt": "2020-01-01T00:00:00Z"},
    ):
        yield Wrong("keys", "POST", "/keys", {**_KEY, **change})
    for path in (SOME_KEY, "/keys/x", "/keys/%20"):
        yield Wrong("keys", "GET", path)
        yield Wrong("keys", "DELETE", path)
        yield Wrong("keys", "PATCH", path, {"name": "a"})
    for body in (
        {"name": 1},
        {"description": 1},
        {"uid": "x"},
        {"key": "x"},
        {"actions": ["search"]},
        {"indexes": ["*"]},
        {"expiresAt": None},
        {"createdAt": "x"},
        {"updatedAt": "x"},
        {"nothing": 1},
        {"name": "a", "actions": 1},
    ):
        yield Wrong("keys", "PATCH", SOME_KEY, body)


def _webhooks() -> Iterator[Wrong]:
    for body in (
        {},
        {"url": 1},
        {"url": "nowhere"},
        {"url": ""},
        {"url": None},
        {"url": "http://a.example", "headers": 1},
        {"url": "http://a.example", "headers": {"a": 1}},
        {"url": "http://a.example", "headers": {"a b": "c"}},
        {"url": "http://a.example", "headers": {"a": "b\nc"}},
        {"url": "http://a.example", "nothing": 1},
        {"url": "http://a.example", "uuid": "x"},
        {"url": "http://a.example", "isEditable": True},
    ):
        yield Wrong("webhooks", "POST", "/webhooks", body)
        yield Wrong("webhooks", "PATCH", SOME_WEBHOOK, body)
    for path in (SOME_WEBHOOK, "/webhooks/x", "/webhooks/00000000-0000-0000-0000-000000000000"):
        yield Wrong("webhooks", "GET", path)
        yield Wrong("webhooks", "DELETE", path)


def _the_rest() -> Iterator[Wrong]:
    for body in ({"nothing": True}, {"metrics": 1}, {"metrics": "yes"}, {"containsFilters": True}, {"metrics": [True]}):
        yield Wrong("experimental features", "PATCH", "/experimental-features", body)
    for refused in REFUSED:
        for method in refused.methods if refused.template not in _BODILESS else ():
            yield Wrong("refused routes", method, refused.template.replace("{uid}", "0"), {"nothing": 1})
