"""Every route of every setting, with good bodies and bad ones, on Miroir and on a plain node: the same answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.client import Api
from tests.nodes import Cluster, RealNode

# Each is made in turn on one index. A text is sent as it stands, anything else as JSON.
BODIES: dict[str, list[Any]] = {
    "displayed-attributes": [["b", "a", "a"], ["a", "*"], [], None, [1], "a", {"a": 1}],
    "searchable-attributes": [["b", "a", "a"], ["*"], [], None, [None], 3],
    "filterable-attributes": [
        ["b", "a", {"attributePatterns": ["c*"], "features": {"facetSearch": True}}],
        [{"attributePatterns": ["*"], "features": {"filter": {"equality": False, "comparison": True}}}],
        ["_geo"],
        [],
        None,
        [{"attributePatterns": "a"}],
        [{"attributePatterns": [], "unheardOf": 1}],
        [3],
        "a",
    ],
    "sortable-attributes": [["b", "a", "a", "_geo"], [], None, [True], {"a": "b"}],
    "ranking-rules": [["words", "a:desc", "sort"], [], None, ["a:asc", "nonsense"], ["_geo:asc"], "words", [{}]],
    "stop-words": [["the", "A", "a", "a"], [], None, "the", [1]],
    "non-separator-tokens": [["#", "@", "@"], [], None, [1], {}],
    "separator-tokens": [["#", "&sep", "&sep"], [], None, [1], {}],
    "dictionary": [["J. R. R.", "W. E. B."], [], None, [1], {}],
    "synonyms": [{"b": ["c", "a"], "New York": ["NYC"]}, {}, None, {"a": "b"}, {"a": [1]}, []],
    "distinct-attribute": ["a", None, 3, ["a"]],
    "proximity-precision": ["byAttribute", None, "byWorld", 3],
    "typo-tolerance": [
        {"enabled": False, "disableOnWords": ["b", "a"]},
        {"minWordSizeForTypos": {"oneTypo": 3}},
        {"disableOnNumbers": True, "disableOnAttributes": ["b", "a"]},
        {"minWordSizeForTypos": None},
        {},
        None,
        {"minWordSizeForTypos": {"oneTypo": 8, "twoTypos": 3}},
        {"minWordSizeForTypos": {"oneTypo": 300}},
        {"enabled": 3},
        {"unheardOf": 1},
        [],
    ],
    "faceting": [
        {"maxValuesPerFacet": 5},
        {"sortFacetValuesBy": {"b": "count", "*": "alpha"}},
        {"maxValuesPerFacet": None},
        {},
        None,
        {"maxValuesPerFacet": -1},
        {"sortFacetValuesBy": {"b": "size"}},
        {"unheardOf": 1},
        3,
    ],
    "pagination": [{"maxTotalHits": 5}, {}, None, {"maxTotalHits": 0}, {"maxTotalHits": "x"}, {"unheardOf": 1}, []],
    "embedders": [
        {"b": {"source": "userProvided", "dimensions": 3}},
        {"a": {"source": "userProvided", "dimensions": 2, "binaryQuantized": True}},
        {"b": {"distribution": {"mean": 0.5, "sigma": 0.2}}},
        {"o": {"source": "openAi", "apiKey": "sk-0123456789abcdef0123", "dimensions": 100}},
        {"b": None, "o": None},
        {},
        {"a": {"binaryQuantized": False}},
        None,
        {"e": {"source": "userProvided"}},
        {"e": {"source": "nobody"}},
        {"e": {"source": "userProvided", "dimensions": 2, "apiKey": "x"}},
        {"e": 5},
        5,
    ],
    "search-cutoff-ms": [150, 0, None, -1, 1.5, "x"],
    "localized-attributes": [
        [{"locales": ["jpn", "en"], "attributePatterns": ["*_ja", "a"]}],
        [],
        None,
        [{"locales": ["xx"], "attributePatterns": []}],
        [{"locales": ["en"]}],
        {},
    ],
    "facet-search": [False, True, None, "x", 1],
    "prefix-search": ["disabled", None, "sometimes", 3],
    "chat": [None, {"description": "x"}, {"unheardOf": 1}, 3],
    "vector-store": [None, "experimental", "nonsense", 3],
}
MERGED = frozenset({"typo-tolerance", "faceting", "pagination", "embedders", "chat", "vector-store"})


def _answer(response: httpx.Response) -> Any:
    """What must be equal; the order of what a 405 allows is nobody's business."""
    allowed = sorted(response.headers.get("allow", "").split(", "))
    if response.status_code != 202:
        return response.status_code, allowed, response.text
    return response.status_code, {name: value for name, value in response.json().items() if name not in _OWN}


_OWN = frozenset({"taskUid", "enqueuedAt"})
_SHOWN = ("indexUid", "status", "type", "details", "error")


def both(plain: Api, ours: Api, method: str, path: str, **sent: Any) -> None:
    """The same request to both, and the same task if it became one."""
    answers = []
    for api in (plain, ours):
        # A connection of its own: a node that refuses before it has read the body keeps the next request waiting.
        response = api.request(method, path, **sent, **_closing(sent))
        task = api.wait_task(response.json()) if response.status_code == 202 else {}
        answers.append((_answer(response), {name: task.get(name) for name in _SHOWN}))
    right, got = answers
    assert got == right, (method, path, sent)


def _closing(sent: dict[str, Any]) -> dict[str, Any]:
    return {} if "headers" in sent else {"headers": {"connection": "close"}}


@pytest.mark.parametrize("name", BODIES)
def test_a_setting_by_itself(
    cluster: Callable[..., Cluster], single_node: RealNode, index_name: str, name: str
) -> None:
    plain, ours = single_node.api, cluster(groups=1, nodes=2, rf=1).client
    path = f"/indexes/{index_name}/settings/{name}"
    method = "PATCH" if name in MERGED else "PUT"
    both(plain, ours, "GET", path)
    both(plain, ours, "DELETE", path)
    for body in BODIES[name]:
        both(plain, ours, method, path, json=body)
        both(plain, ours, "GET", path)
        both(plain, ours, "GET", f"/indexes/{index_name}/settings")
    both(plain, ours, "DELETE", path)
    both(plain, ours, "GET", path)
    for other in {"PUT", "PATCH", "POST"} - {method}:
        both(plain, ours, other, path, json=None)


def test_bodies_that_are_no_json_and_names_that_are_none(
    cluster: Callable[..., Cluster], single_node: RealNode, index_name: str
) -> None:
    plain, ours = single_node.api, cluster(groups=1, nodes=2, rf=1).client
    path = f"/indexes/{index_name}/settings"
    json = {"content-type": "application/json", "connection": "close"}
    for where, method in ((f"{path}/stop-words", "PUT"), (f"{path}/faceting", "PATCH"), (path, "PATCH")):
        for content in ("", "{", "[1", "nul", '"a" 3', '{"a":}'):
            both(plain, ours, method, where, content=content, headers=json)
        both(plain, ours, method, where, content="{}", headers={"connection": "close"})
        both(plain, ours, method, where, content="{}", headers={"content-type": "text/plain", "connection": "close"})
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        for name in ("nonsense", "stopWords", "foreign-keys", "stop-words/more"):
            both(plain, ours, method, f"{path}/{name}")
    for uid in ("%20", "a%2Fb", "x" * 513):
        both(plain, ours, "GET", f"/indexes/{uid}/settings/stop-words")
        both(plain, ours, "PUT", f"/indexes/{uid}/settings/stop-words", json=["a"])
        both(plain, ours, "PUT", f"/indexes/{uid}/settings/stop-words", json=[1])
        both(plain, ours, "DELETE", f"/indexes/{uid}/settings/stop-words")
        both(plain, ours, "PATCH", f"/indexes/{uid}/settings", json={"stopWords": 3})
    both(plain, ours, "GET", f"/indexes/{index_name}")


def test_what_is_refused_makes_no_index(
    cluster: Callable[..., Cluster], single_node: RealNode, index_name: str
) -> None:
    plain, ours = single_node.api, cluster(groups=1, nodes=2, rf=1).client
    path = f"/indexes/{index_name}/settings"
    for change in (
        {"embedders": {"e": {"source": "userProvided"}}, "stopWords": ["a"]},
        {"chat": {"description": "x"}},
        {"vectorStore": "experimental"},
        {"stopWords": 3},
        {"unheardOf": 1},
    ):
        both(plain, ours, "PATCH", path, json=change)
        both(plain, ours, "GET", f"/indexes/{index_name}")
    both(plain, ours, "PATCH", path, json={"embedders": {"e": {"source": "userProvided", "dimensions": 2}}})
    both(plain, ours, "GET", path)
