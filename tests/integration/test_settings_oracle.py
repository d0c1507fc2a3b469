"""Settings against a real node: what we say it shows, what we send it, and the errors it gives, made the client's."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from miroir.indexes.embedders import NODE_TEMPLATE
from miroir.indexes.settings import (
    apply_change,
    clean_error_of,
    clean_message,
    expected_on_node,
    fingerprint,
    node_settings,
    reset_all,
    reset_one,
    shown,
    view,
)
from miroir.indexes.settings_rules import features_of, first_match, node_rules
from miroir.stamps import SEQ_FIELD, SHARD_FIELD
from tests.client import Api
from tests.nodes import RealNode

pytestmark = pytest.mark.allow_stamps

RESET = object()
"""In a sequence: `DELETE /settings`."""

OURS: dict[str, Any] = {"primary_key": "id", "exact_ties": True, "anti_entropy": True}

SEQUENCES: dict[str, list[Any]] = {
    "displayed": [
        {"displayedAttributes": ["z", "a", "a"]},
        {"displayedAttributes": ["a*"]},
        {"displayedAttributes": ["z", "*", "a"]},
        {"displayedAttributes": []},
        {"displayedAttributes": None},
    ],
    "searchable": [
        {"searchableAttributes": ["z", "a", "a"]},
        {"searchableAttributes": ["z", "*"]},
        {"searchableAttributes": []},
        {"searchableAttributes": ["*"]},
    ],
    "sortable": [
        {"sortableAttributes": ["z", "a", "a", "_geo", "Z", "é"]},
        {"sortableAttributes": ["*"]},
        {"sortableAttributes": None},
    ],
    "filterable": [
        {"filterableAttributes": ["z", "a", "a", "_geo"]},
        {"filterableAttributes": ["z", {"attributePatterns": ["b", "a", "b"]}, "a"]},
        {"filterableAttributes": [{"attributePatterns": ["b"], "features": {"facetSearch": True}}]},
        {"filterableAttributes": [{"attributePatterns": ["*"], "features": {"filter": {"comparison": True}}}]},
        {"filterableAttributes": [{"attributePatterns": ["i*"], "features": {"filter": {"equality": False}}}, "id"]},
        {"filterableAttributes": [{"attributePatterns": [], "features": {}}]},
        {"filterableAttributes": ["*"]},
        {"filterableAttributes": None},
    ],
    "ranking rules": [
        {"rankingRules": []},
        {"rankingRules": ["words", "words", "a:asc", "sort"]},
        {"rankingRules": None},
    ],
    "words": [
        {"stopWords": ["z", "A", "a", "the", "the", "É", "Å", "ﬁx"]},
        {"nonSeparatorTokens": ["z", "#", "#"]},
        {"separatorTokens": ["z", "#", "#"]},
        {"dictionary": ["z", "J. R. R.", "J. R. R."]},
        {"stopWords": [], "dictionary": None},
    ],
    "synonyms": [
        {"synonyms": {"Z": ["b", "a", "b"], "a": [], "New York": ["NYC"]}},
        {"synonyms": {"c": ["d"]}},
        {"synonyms": {}},
        {"synonyms": None},
    ],
    "scalars": [
        {"distinctAttribute": "a", "proximityPrecision": "byAttribute", "facetSearch": False},
        {"prefixSearch": "disabled", "searchCutoffMs": 150},
        {"searchCutoffMs": 0, "distinctAttribute": ""},
        {"distinctAttribute": None, "searchCutoffMs": None, "facetSearch": None, "prefixSearch": None},
        {"proximityPrecision": None},
    ],
    "localized": [
        {"localizedAttributes": [{"locales": ["jpn", "en", "eng"], "attributePatterns": ["*_ja", "a"]}]},
        {"localizedAttributes": []},
        {"localizedAttributes": [{"locales": [], "attributePatterns": []}]},
        {"localizedAttributes": None},
    ],
    "typos": [
        {"typoTolerance": {"enabled": False}},
        {"typoTolerance": {"minWordSizeForTypos": {"oneTypo": 3}}},
        {"typoTolerance": {"minWordSizeForTypos": {"twoTypos": 10}}},
        {
            "typoTolerance": {
                "disableOnWords": ["B", "a", "a", "É", "Straße", "ﬁx", "İ", "ΑΣ", "日本", " x ", "Œuf", "й", "ガ", "ς"]
            }
        },
        {"typoTolerance": {"disableOnAttributes": ["z", "a", "a"], "disableOnNumbers": True}},
        {"typoTolerance": {"minWordSizeForTypos": {"twoTypos": None}}},
        {"typoTolerance": {}},
        {"typoTolerance": {"minWordSizeForTypos": None}},
        {"typoTolerance": {"disableOnWords": None, "enabled": None}},
        {"typoTolerance": None},
        {"typoTolerance": {"enabled": False}},
    ],
    "faceting": [
        {"faceting": {"maxValuesPerFacet": 5}},
        {"faceting": {"sortFacetValuesBy": {"z": "count", "a": "alpha"}}},
        {"faceting": {"sortFacetValuesBy": {"*": "count", "b": "count"}}},
        {"faceting": {"sortFacetValuesBy": {"b": "alpha"}}},
        {"faceting": {"maxValuesPerFacet": None}},
        {"faceting": {"maxValuesPerFacet": 5000}},
        {"faceting": {"sortFacetValuesBy": {}}},
        {"faceting": None},
        {"faceting": {"maxValuesPerFacet": 0}},
    ],
    "pagination": [
        {"pagination": {"maxTotalHits": 5}},
        {"pagination": {}},
        {"pagination": {"maxTotalHits": 18446744073709551614}},
        {"pagination": {"maxTotalHits": None}},
        {"pagination": None},
    ],
    "all at once": [
        {
            "rankingRules": ["words", "a:desc"],
            "stopWords": ["x"],
            "synonyms": {"a": ["b"]},
            "typoTolerance": {"disableOnWords": ["c"]},
            "faceting": {"sortFacetValuesBy": {"a": "count"}},
            "embedders": {"v": {"source": "userProvided", "dimensions": 2}},
            "displayedAttributes": ["a"],
        },
        RESET,
        {"typoTolerance": {"enabled": False}},
    ],
    "vectors of the user": [
        {
            "embedders": {
                "b": {"source": "userProvided", "dimensions": 3},
                "a": {"source": "userProvided", "dimensions": 2},
            }
        },
        {"embedders": {"b": {"dimensions": 4, "distribution": {"sigma": 1e-7, "mean": 0.123456789}}}},
        {"embedders": {"a": {"binaryQuantized": False}}},
        {"embedders": {"b": {"distribution": None}}},
        {"embedders": {"a": {}}},
        {"embedders": {"a": None, "nobody": None}},
        {"embedders": {}},
        {"embedders": None},
        {"embedders": {"a": {"source": "userProvided", "dimensions": 5, "binaryQuantized": True}}},
    ],
    "OpenAI": [
        {"embedders": {"o": {}}},
        {"embedders": {"o": {"apiKey": "k", "documentTemplateMaxBytes": 500}}},
        {
            "embedders": {
                "o": {"apiKey": "1234567890123456789012", "model": "text-embedding-3-large", "dimensions": 100}
            }
        },
        {
            "embedders": {
                "o": {"apiKey": "sk-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "documentTemplate": "{{doc.a}}"}
            }
        },
        {"embedders": {"o": {"model": None, "dimensions": None, "apiKey": None}}},
        {"embedders": {"o": {"documentTemplate": None, "documentTemplateMaxBytes": 500}}},
        {"embedders": {"o": {"url": "http://127.0.0.1:9/x", "documentTemplateMaxBytes": 600}}},
        {"embedders": {"o": {"source": "ollama", "model": "m", "dimensions": 4}}},
        {"embedders": {"o": {"source": "userProvided", "dimensions": 4}}},
        {"embedders": {"o": {"source": "openAi"}}},
    ],
}


class _Embedder(BaseHTTPRequestHandler):
    """Answers one vector of three numbers, or one for each text in `in`, and keeps what it was asked."""

    protocol_version = "HTTP/1.1"
    asked: list[Any]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append(body)
        vector = [0.1, 0.2, 0.3]
        answer = json.dumps({"out": [vector] * len(body["in"]) if isinstance(body["in"], list) else vector}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def embedder() -> Iterator[tuple[str, list[Any]]]:
    """An embedding server: its URL and every body it was sent."""
    asked: list[Any] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Embedder,), {"asked": asked}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _settings(api: Api, uid: str) -> Any:
    return api.get(f"/indexes/{uid}/settings")


def _bytes(value: Any) -> str:
    """With the order of members, which clients see."""
    return json.dumps(value, ensure_ascii=False)


def follow(api: Api, name: str, changes: list[Any], *, experimental: tuple[str, ...] = ()) -> dict[str, Any]:
    """Make the changes on a plain index and, our way, on another; compare both with our sayings after each."""
    plain, ours = f"{name}_plain", f"{name}_ours"
    api.create_index(plain, "id")
    api.create_index(ours, "id")
    wish: dict[str, Any] = {}
    api.update_settings(ours, node_settings(wish, **OURS))
    for change in changes:
        before = expected_on_node(wish, **OURS, experimental=experimental)
        if change is RESET:
            api.succeeded(api.delete(f"/indexes/{plain}/settings"))
            wish = reset_all(wish)
        else:
            api.update_settings(plain, change)
            wish = apply_change(wish, json.loads(json.dumps(change)))
        seen = _settings(api, plain)
        assert seen == shown(wish, experimental=experimental), change
        assert _bytes(seen) == _bytes(shown(wish, experimental=experimental)), change
        patch = node_settings(wish, **OURS, node=before)
        api.update_settings(ours, patch)
        expected = expected_on_node(wish, **OURS, experimental=experimental)
        assert _settings(api, ours) == expected, (change, patch)
        assert fingerprint(_settings(api, ours)) == fingerprint(expected)
    # A node that missed all of it, and one that somebody else set otherwise, end the same.
    for start in (
        {},
        {"stopWords": ["q"], "sortableAttributes": ["q"], "synonyms": {"q": ["r"]}, "facetSearch": False},
    ):
        api.succeeded(api.delete(f"/indexes/{ours}/settings"))
        api.update_settings(ours, {**start, "embedders": {"stranger": {"source": "userProvided", "dimensions": 9}}})
        api.update_settings(ours, node_settings(wish, **OURS, node=_settings(api, ours)))
        assert _settings(api, ours) == expected_on_node(wish, **OURS, experimental=experimental)
    return wish


@pytest.mark.parametrize("changes", SEQUENCES.values(), ids=list(SEQUENCES))
def test_what_a_node_shows_and_what_it_is_sent(single_node: RealNode, index_name: str, changes: list[Any]) -> None:
    follow(single_node.api, index_name, changes)


def test_experimental_settings_and_remote_embedders(
    real_node: Callable[..., RealNode], index_name: str, embedder: tuple[str, list[Any]]
) -> None:
    api = real_node().api
    features = {"chatCompletions": True, "multimodal": True, "compositeEmbedders": True, "vectorStoreSetting": True}
    api.patch("/experimental-features", features)
    url, _ = embedder
    rest: dict[str, Any] = {
        "source": "rest",
        "url": url,
        "request": {"in": "{{text}}"},
        "response": {"out": "{{embedding}}"},
    }
    batched = {**rest, "request": {"in": ["{{text}}", "{{..}}"]}, "response": {"out": ["{{embedding}}", "{{..}}"]}}
    pieces: dict[str, Any] = {
        "indexingFragments": {"b": {"value": "{{doc.b}}"}, "a": {"value": {"z": 1, "a": "{{doc.a}}"}}}
    }
    fragments = {**rest, **pieces, "request": {"in": "{{fragment}}"}, "searchFragments": {"s": {"value": "{{q}}"}}}
    both = {"source": "composite", "searchEmbedder": batched, "indexingEmbedder": batched}
    follow(
        api,
        index_name,
        [
            {"embedders": {"r": {**rest, "dimensions": 3, "apiKey": "secretkey123456789"}}},
            {"embedders": {"r": {"headers": {"Z": "1", "A": "2"}, "documentTemplate": "{{doc.a}}"}}},
            {"embedders": {"r": {"headers": {"B": "1"}, "dimensions": None, "documentTemplateMaxBytes": 77}}},
            {"embedders": {"r": {"headers": None, "apiKey": None}}},
            {
                "embedders": {
                    "r": {"source": "ollama", "model": "m", "url": "http://127.0.0.1:9/api/embed", "dimensions": 3}
                }
            },
            {"embedders": {"r": {**rest, "documentTemplate": None}}},
            {"embedders": {"r": None, "f": {**fragments, "dimensions": 3}}},
            {"embedders": {"f": {"indexingFragments": {"b": None, "c": {"value": "c"}}}}},
            {"embedders": {"f": {"searchFragments": {"t": {"value": "x"}, "s": None}}}},
            {"embedders": {"f": None, "c": both}},
            {"embedders": {"c": {"searchEmbedder": {**batched, "apiKey": "bbbbbbbb"}}}},
            {
                "embedders": {
                    "c": {"indexingEmbedder": {"documentTemplate": "u"}, "distribution": {"mean": 0.5, "sigma": 0.2}}
                }
            },
            {"embedders": {"c": {"indexingEmbedder": {"documentTemplate": None}}}},
            {"embedders": None, "vectorStore": "experimental"},
            {"vectorStore": None},
            {"chat": {"description": "x", "documentTemplateMaxBytes": 500}},
            {"chat": {"searchParameters": {"limit": 3, "matchingStrategy": "all", "hybrid": {"embedder": "x"}}}},
            {"chat": {"searchParameters": {"sort": ["a:asc"], "limit": None, "rankingScoreThreshold": 0.5}}},
            {"chat": {"documentTemplate": "{{doc.a}}"}},
            {"chat": {"searchParameters": None, "description": None, "documentTemplate": None}},
            {"chat": None},
            {"chat": {"description": "y"}, "vectorStore": "stable"},
            RESET,
        ],
        experimental=("chat", "vectorStore"),
    )


def test_our_template_embeds_what_the_default_would_without_stamps(
    single_node: RealNode, index_name: str, embedder: tuple[str, list[Any]]
) -> None:
    api, (url, asked) = single_node.api, embedder
    settings: dict[str, Any] = {
        "source": "rest",
        "url": url,
        "request": {"in": "{{text}}"},
        "response": {"out": "{{embedding}}"},
    }
    document = {"id": 1, "title": "a book", "n": {"deep": True}}
    texts = []
    both: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
        ("_plain", {"embedders": {"e": settings}}, document),
        (
            "_ours",
            node_settings(apply_change({}, {"embedders": {"e": settings}}), **OURS),
            {**document, SHARD_FIELD: "⁖⁖⁖⁖", SEQ_FIELD: "⁖⁘", "_miroir_placed_at": "⁙", "_miroir_updated_at": "⁚"},
        ),
    )
    for suffix, change, stored in both:
        api.create_index(index_name + suffix, "id")
        api.update_settings(index_name + suffix, change)
        asked.clear()
        api.add_documents(index_name + suffix, [stored])
        texts.append([body["in"] for body in asked if body["in"] != "test"])  # a node tries an embedder out with that
    assert len(texts[0]) == 1
    assert texts[0] == texts[1]
    ours = f"{index_name}_ours"
    assert _settings(api, ours)["embedders"]["e"]["documentTemplate"] == NODE_TEMPLATE
    # Said again, with or without knowledge of the node, it embeds nothing again.
    asked.clear()
    wish = apply_change({}, {"embedders": {"e": settings}})
    for node in (None, expected_on_node(wish, **OURS), _settings(api, ours)):
        api.update_settings(ours, node_settings(wish, **OURS, node=node))
    assert [body for body in asked if body["in"] != "test"] == []


def test_one_reset_leaves_what_a_delete_of_one_setting_leaves(single_node: RealNode, index_name: str) -> None:
    api = single_node.api
    api.create_index(index_name, "id")
    change = {"stopWords": ["a"], "typoTolerance": {"enabled": False}, "sortableAttributes": ["b"]}
    api.update_settings(index_name, change)
    wish = apply_change({}, change)
    for path, name in (("stop-words", "stopWords"), ("typo-tolerance", "typoTolerance")):
        api.succeeded(api.delete(f"/indexes/{index_name}/settings/{path}"))
        wish = reset_one(wish, name)
        assert _settings(api, index_name) == shown(wish)


RULES: list[list[Any]] = [
    [],
    ["*"],
    ["b"],
    ["b.c"],
    ["b."],
    [""],
    ["id"],
    [{"attributePatterns": ["b"]}],
    [{"attributePatterns": ["b.*"]}],
    [{"attributePatterns": ["*c"]}],
    [{"attributePatterns": ["b*c"]}],
    [{"attributePatterns": ["**"]}],
    [{"attributePatterns": ["*.*"]}],
    [{"attributePatterns": ["*"], "features": {"filter": {"equality": False}}}, "b", "id"],
    [{"attributePatterns": ["*"], "features": {"filter": {"equality": False, "comparison": True}}}, "b", "id"],
    [{"attributePatterns": ["b.c", "i*"], "features": {"facetSearch": True, "filter": {"equality": False}}}, "b"],
]


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_the_first_matching_rule_is_the_node_s(single_node: RealNode, index_name: str, rules: list[Any]) -> None:
    api = single_node.api
    api.create_index(index_name, "id")
    api.add_documents(index_name, [{"id": 1, "b": {"c": 1, "d": {"e": 1}}, "bc": 1}])
    api.update_settings(index_name, {"filterableAttributes": rules})
    body: dict[str, Any]
    for attribute in ("id", "b", "b.c", "b.d.e", "bc"):
        for operator, allowed in (("=", "equality"), (">", "comparison")):
            body = {"filter": f"{attribute} {operator} 0"}
            status = api.request("POST", f"/indexes/{index_name}/search", json=body).status_code
            decisive = first_match(rules, attribute)
            assert (status == 200) == (decisive is not None and getattr(features_of(decisive), allowed)), body
    # With ours in front the key and the stamps are always to be filtered by.
    for key in ("id", "b.c"):
        added = node_rules(rules, key, anti_entropy=True)
        api.update_settings(index_name, {"filterableAttributes": added.rules})
        for body in ({"filter": f"{key} = 1"}, {"filter": [f'{SHARD_FIELD} IN ["⁖"]', f'{SEQ_FIELD} >= "⁖"']}):
            assert api.request("POST", f"/indexes/{index_name}/search", json=body).status_code == 200


NO_FEATURES = {"facetSearch": False, "filter": {"equality": False, "comparison": False}}
ERROR_SETTINGS: dict[str, dict[str, Any]] = {
    "nothing set": {},
    "texts": {"filterableAttributes": ["a", "b"], "sortableAttributes": ["s", "a"], "searchableAttributes": ["a", "b"]},
    "rules that forbid": {
        "filterableAttributes": [
            {"attributePatterns": ["a"]},
            {"attributePatterns": ["x", "*"], "features": NO_FEATURES},
            "id",
        ]
    },
    "comparison only": {
        "filterableAttributes": [
            "b",
            {"attributePatterns": ["a", "q*"], "features": {"filter": {"equality": False, "comparison": True}}},
        ]
    },
    "some displayed": {
        "displayedAttributes": ["a", "nope"],
        "searchableAttributes": ["a", "b"],
        "sortableAttributes": ["a", "s"],
        "filterableAttributes": ["a", "b", {"attributePatterns": ["nope"], "features": {"facetSearch": True}}],
    },
    "others displayed": {
        "displayedAttributes": ["t"],
        "searchableAttributes": ["a", "b"],
        "sortableAttributes": ["a"],
        "filterableAttributes": ["a"],
    },
    "nothing displayed": {"displayedAttributes": [], "searchableAttributes": ["a"], "sortableAttributes": ["a"]},
}
BAD_REQUESTS: list[tuple[str, Any]] = [
    ("search", {"filter": "zz = 1"}),
    ("search", {"filter": "a > 1 AND b = 2"}),
    ("search", {"filter": "a = 1 AND b > 2"}),
    ("search", {"filter": "_geoRadius(1,2,3)"}),
    ("search", {"filter": "a @@ 1"}),
    ("search", {"sort": ["zz:asc"]}),
    ("search", {"sort": ["_geoPoint(1,2):asc"]}),
    ("search", {"facets": ["zz"]}),
    ("search", {"facets": ["b", "yy", "zz"]}),
    ("search", {"distinct": "zz"}),
    ("search", {"distinct": "b"}),
    ("search", {"attributesToSearchOn": ["zz"]}),
    ("facet-search", {"facetName": "zz"}),
    ("facet-search", {"facetName": "b"}),
    ("facet-search", {"facetName": "a"}),
    ("documents/fetch", {"filter": "zz = 1"}),
    ("documents/fetch", {"sort": ["zz:asc"]}),
    ("search", {"nonsense": 1}),
]


@pytest.mark.parametrize("change", ERROR_SETTINGS.values(), ids=list(ERROR_SETTINGS))
def test_errors_read_as_those_of_the_clients_own_node(
    single_node: RealNode, index_name: str, change: dict[str, Any]
) -> None:
    api = single_node.api
    plain, ours = f"{index_name}_plain", f"{index_name}_ours"
    wish = apply_change({}, change)
    document = {"id": 1, "a": 1, "b": 2, "s": 3, "t": 4}
    for uid, settings, stored in (
        (plain, change, document),
        (ours, node_settings(wish, **OURS), {**document, SHARD_FIELD: "⁖", SEQ_FIELD: "⁖"}),
    ):
        api.create_index(uid, "id")
        api.update_settings(uid, settings)
        api.add_documents(uid, [stored])
    index = view(plain, ours, "id", 16, 1, wish, exact_ties=True)
    refused = 0
    for path, body in BAD_REQUESTS:
        right = api.request("POST", f"/indexes/{plain}/{path}", json=body)
        got = api.request("POST", f"/indexes/{ours}/{path}", json=body)
        assert got.status_code == right.status_code, (path, body, got.text)
        if right.status_code >= 400:
            refused += 1
            assert clean_error_of(got.content, index) == right.content, (path, body)
    assert refused >= 10
    body = {"filter": "zz = 1"}
    failed = [api.wait_task(api.post(f"/indexes/{uid}/documents/delete", body))["error"] for uid in (plain, ours)]
    cleaned = clean_message(
        failed[1]["message"], uid=plain, physical_uid=ours, hidden=index.unlisted, added_rules=index.added_rules
    )
    assert cleaned == failed[0]["message"]


BAD_CHANGES: list[Any] = [
    {"unheardOf": 1},
    {"displayedAttributes": 5},
    {"displayedAttributes": [5]},
    {"searchableAttributes": "a"},
    {"sortableAttributes": ["a", {}]},
    {"filterableAttributes": "a"},
    {"filterableAttributes": ["a", 5]},
    {"filterableAttributes": ["a", {"attributePattern": ["x"]}]},
    {"filterableAttributes": ["id", {"attributePatterns": ["x"], "features": {"filter": {"equality": 3}}}]},
    {"filterableAttributes": [{"attributePatterns": ["x"], "features": {"filter": 3}}]},
    {"rankingRules": ["typo", " a : asc "]},
    {"rankingRules": {"a": 1}},
    {"rankingRules": [7]},
    {"stopWords": {"a": 1}},
    {"synonyms": {"a": None}},
    {"synonyms": ["a"]},
    {"distinctAttribute": ["a"]},
    {"proximityPrecision": "byLetter"},
    {"typoTolerance": 3},
    {"typoTolerance": {"enabled": "x"}},
    {"typoTolerance": {"unheardOf": 1}},
    {"typoTolerance": {"minWordSizeForTypos": {"oneTypo": 300}}},
    {"typoTolerance": {"minWordSizeForTypos": {"oneTypo": 20}}},
    {"typoTolerance": {"minWordSizeForTypos": {"oneTypo": 8, "twoTypos": 3}}},
    {"faceting": 3},
    {"faceting": {"maxValuesPerFacet": "x"}},
    {"faceting": {"maxValuesPerFacet": -1}},
    {"faceting": {"maxValuesPerFacet": 1.5}},
    {"faceting": {"sortFacetValuesBy": {"b": None}}},
    {"faceting": {"sortFacetValuesBy": {"b": "size"}}},
    {"pagination": {"maxTotalHits": 0}},
    {"pagination": []},
    {"embedders": 5},
    {"embedders": {"e": 5}},
    {"embedders": {"e": {"source": "userProvided"}}},
    {"embedders": {"e": {"source": "nobody"}}},
    {"embedders": {"e": {"source": "userProvided", "dimensions": 2, "apiKey": "x"}}},
    {"embedders": {"e": {"source": "userProvided", "dimensions": 2, "unheardOf": 1}}},
    {"embedders": {"e": {"source": "userProvided", "dimensions": 2, "distribution": {"mean": 0.5}}}},
    {"localizedAttributes": [{"locales": ["xx"], "attributePatterns": []}]},
    {"localizedAttributes": [{"locales": ["en"]}]},
    {"searchCutoffMs": 3.5},
    {"facetSearch": "x"},
    {"prefixSearch": "sometimes"},
    {"chat": {"description": "x"}},
    {"vectorStore": "experimental"},
]


def test_a_node_refuses_our_patch_as_it_refuses_the_clients(single_node: RealNode, index_name: str) -> None:
    api = single_node.api
    plain, ours = f"{index_name}_plain", f"{index_name}_ours"
    for uid in (plain, ours):
        api.create_index(uid, "id")
    before = apply_change({}, {"filterableAttributes": ["a"]})
    for change in BAD_CHANGES:
        wish = apply_change(before, change)
        index = view(plain, ours, "id", 16, 1, wish, exact_ties=True)
        right = api.request("PATCH", f"/indexes/{plain}/settings", json=change)
        got = api.request("PATCH", f"/indexes/{ours}/settings", json=node_settings(wish, **OURS))
        assert (got.status_code, _refusal(api, got, index)) == (right.status_code, _refusal(api, right, None)), change


def _refusal(api: Api, response: httpx.Response, index: Any) -> Any:
    """What was wrong, whether a node said so at once or with the failed task."""
    if response.status_code >= 400:
        return json.loads(clean_error_of(response.content, index) if index else response.content)
    error = api.wait_task(response.json())["error"]
    assert error is not None
    return json.loads(clean_error_of(json.dumps(error).encode(), index)) if index else error
