"""Listing and fetching documents, beside a plain node: order, sort, ids, fields, vectors, pages however deep."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.client import Api
from tests.nodes import Cluster, RealNode

VALUES: list[Any] = [
    3, 1, "b", "A", "a", "10", None, [2, 9], ["z", 0.5], True, False, "", "  c ", "É", "e", "f", {"k": 1}, [], 1.5, -2,
    "é", [[1], ["q"]], "ſ", "s", "ß", "ss", "Z", "_x", "!", "~", "1", "02", "ﬁ", "fi", "Ω", "中", "x" * 600,
]  # fmt: skip
SETTINGS = {
    "filterableAttributes": ["a"],
    "sortableAttributes": ["a", "v", "n.x", "_geo", "u"],
    "embedders": {"own": {"source": "userProvided", "dimensions": 2}},
}


def documents() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {
            "id": number * 7 % 1201,
            "a": number % 5,
            "u": number * 13 % 1201,
            "v": VALUES[number % len(VALUES)],
            "n": {"x": VALUES[number % len(VALUES)], "y": number},
            "_geo": {"lat": number * 37 % 80, "lng": number * 53 % 170},
            "_vectors": {"own": [1.5, number]},
        }
        for number in range(1100)
    ]
    vectors = {"_vectors": {"own": None}}
    rows += [
        {"id": "bare", **vectors},
        {"id": "list", "n": [{"x": 4, "y": 5}, {"x": "k"}, {"y": 6}, 7], **vectors},
        {"id": "dots", "n.x": 4.5, "n": {"y": {"x": 1}}, **vectors},
        {"id": "text-geo", "_geo": {"lat": "12.5", "lng": "-3"}, **vectors},
    ]
    random.Random(3).shuffle(rows)
    return rows


FETCHES: list[Any] = [
    {}, {"limit": 5}, {"offset": 1110}, {"offset": 5000}, {"limit": 0}, {"limit": 2000},
    {"limit": 18446744073709551615}, {"offset": 18446744073709551615, "limit": 18446744073709551615},
    {"offset": 600, "limit": 30}, {"offset": 1100, "limit": 30}, {"offset": 501, "limit": 1}, {"offset": 777},
    {"offset": 600, "limit": 0}, {"offset": 900, "limit": 2000}, {"filter": "a = 3", "offset": 100, "limit": 400},
    {"filter": ["a > 0", ["a = 3", "a = 2"]], "limit": 7, "offset": 12},
    {"ids": [5, 3, 5, "3", 9999, 1, "bare"]}, {"ids": ["7", "14"], "limit": 1}, {"ids": []}, {"ids": None},
    {"ids": "5"}, {"ids": [5], "filter": "a = 0"}, {"ids": [1.5]}, {"ids": ["bad id"]}, {"ids": [7, 14], "sort": []},
    {"ids": [7, 14, "list"], "sort": ["n.x:desc"]}, {"ids": list(range(0, 1201, 2)), "offset": 510, "limit": 9},
    {"fields": ["id", "n.x"]}, {"fields": []}, {"fields": ["*"]}, {"fields": ["nope"]}, {"fields": None},
    {"fields": ["n.y", "n"]}, {"fields": ["id"], "offset": 800}, {"fields": ["_miroir_seq"], "limit": 2},
    {"fields": ["_miroir_seq"], "limit": 2, "sort": ["u:asc"], "offset": 700}, {"fields": "id"}, {"fields": [1]},
    {"retrieveVectors": True, "limit": 3}, {"retrieveVectors": True, "fields": ["id"], "limit": 3},
    {"retrieveVectors": True, "fields": ["id"], "limit": 3, "sort": ["u:desc"]},
    {"retrieveVectors": True, "fields": ["id"], "limit": 3, "sort": ["u:desc"], "offset": 600},
    {"retrieveVectors": True, "limit": 3, "offset": 600}, {"retrieveVectors": 1}, {"retrieveVectors": None},
    {"sort": ["nope:asc"]}, {"sort": ["v"]}, {"sort": ["v:up"]}, {"sort": "v:asc"}, {"sort": [""]}, {"sort": [1]},
    {"sort": ["_geo:asc"]}, {"sort": ["_geoPoint(1):asc"]}, {"sort": ["id:asc"]}, {"sort": ["n:asc"]}, {"sort": None},
    {"sort": ["_miroir_seq:asc"]}, {"sort": ["a:asc", "_miroir_seq.x:desc"]}, {"sort": ["_miroir_shard:asc"]},
    {"filter": "b = 1"}, {"filter": "id = 1"}, {"filter": ["a = 1", "_miroir_seq EXISTS"]}, {"filter": ""},
    {"filter": []}, {"filter": None}, {"filter": 1}, {"filter": {"a": 1}}, {"filter": "a ="}, {"filter": [1]},
    {"filter": "id = 1", "sort": ["v"]}, {"foo": 1}, {"offset": -1}, {"limit": None}, {"limit": "3"}, {"limit": 1.0},
]  # fmt: skip
SORTS: list[list[str]] = [
    ["v:asc"], ["v:desc"], ["n.x:asc"], ["u:asc"], ["u:desc"], ["a:asc"], ["a:desc", "u:asc"], ["v:asc", "a:desc"],
]  # fmt: skip
# Offsets into these are not a node's: it counts documents that its own list leaves out, or has twice.
UNEVEN: list[list[str]] = [
    ["n.x:desc", "u:asc"], ["a:desc", "v:asc"], ["a:asc", "v:desc", "u:desc"], ["v:asc", "v:desc"],
    ["v:desc", "n.x:asc", "a:asc"],
]  # fmt: skip
# And of these it begins again after a thousand.
BY_DISTANCE: list[list[str]] = [
    ["_geoPoint(3, 4):asc"],
    ["_geoPoint(50,-100):desc"],
    ["a:asc", "_geoPoint(3,4):asc"],
    ["_geoPoint(9,9):asc", "v:desc"],
]
WINDOWS = ((0, 1500), (0, 20), (1, 20), (30, 17), (220, 5), (600, 40), (660, 3), (1100, 100))
QUERIES = [
    "limit=x&offset=1.5",
    "offset=y&limit=x&foo=1",
    "foo=1&retrieveVectors=x",
    "fields=id&retrieveVectors=x&limit=-1",
    "", "ids=7,14,7", "ids=", "ids=*", "ids=7, 14", "ids=7&ids=14", "fields=id,n.x&limit=2", "fields=*&limit=2",
    "fields=&limit=2", "sort=u:asc,a:desc&limit=3", "sort=u:asc&limit=30&offset=700&fields=id", "sort=nope:asc",
    "sort=", "sort=_geoPoint(3,3):asc&limit=4", "filter=a=1", 'filter=["a=1",["a=2","a=1"]]', "filter=", "filter=b = 1",
    "filter=[1]", 'filter={"a":1}', "filter=3", 'filter="a=1"', "filter=null", "filter=id = 3", "foo=1", "limit=x",
    "retrieveVectors=1", "retrieveVectors=true&limit=2", "offset=650&limit=3", "limit=1&limit=2", "sort=id:asc",
    "offset=18446744073709551616", "filter=a=1&sort=v",
]  # fmt: skip


@pytest.fixture(params=[(1, 3, 1), (2, 2, 1), (1, 2, 2)], ids=["3 nodes", "2 groups", "RF 2"])
def both(
    cluster: Callable[..., Cluster], single_node: RealNode, index_name: str, request: pytest.FixtureRequest
) -> tuple[Api, Api, str]:
    groups, nodes, rf = request.param
    running = cluster(groups=groups, nodes=nodes, rf=rf)
    rows = documents()
    for api in (single_node.api, running.client):
        api.create_index(index_name, "id")
        api.update_settings(index_name, SETTINGS)
        for start in range(0, len(rows), 300):
            api.add_documents(index_name, rows[start : start + 300])
    return single_node.api, running.client, index_name


def answers(both: tuple[Api, Api, str], method: str, path: str, body: Any = None) -> list[Any]:
    found = []
    for api in both[:2]:
        response = api.request(
            method, f"/indexes/{both[2]}/documents{path}", **({} if body is None else {"json": body})
        )
        found.append(
            (response.status_code, response.json(), [list(each) for each in response.json().get("results", [])])
        )
    return found


def first_difference(left: Any, right: Any) -> Any:
    """Where two answers part: statuses and tails, else the first document that differs."""
    if left[0] != 200 or right[0] != 200:
        return left, right
    both = (left[1]["results"], right[1]["results"])
    for place, (one, other) in enumerate(zip(*both, strict=False)):
        if one != other or list(one) != list(other):
            return place, one, other
    return [{**side[1], "results": len(side[1]["results"])} for side in (left, right)]


@pytest.mark.allow_stamps
def test_documents_are_fetched_as_from_a_node(both: tuple[Api, Api, str]) -> None:
    sorted_bodies = [
        {"sort": sort, "fields": ["id", "v"], "offset": offset, "limit": limit}
        for sorts, windows in ((SORTS, WINDOWS), (UNEVEN, ((0, 1500), (0, 25))), (BY_DISTANCE, ((0, 900), (0, 25))))
        for sort in sorts
        for offset, limit in windows
    ]
    differing = []
    for body in (*FETCHES, *sorted_bodies):
        left, right = answers(both, "POST", "/fetch", body)
        if left != right:
            differing.append((body, first_difference(left, right)))
    assert not differing, "\n".join(repr(each)[:600] for each in differing)


@pytest.mark.allow_stamps
def test_documents_are_listed_as_by_a_node(both: tuple[Api, Api, str]) -> None:
    differing = []
    for query in QUERIES:
        left, right = answers(both, "GET", "?" + quote(query, safe="&="))
        if left != right:
            differing.append((query, first_difference(left, right)))
    assert not differing, "\n".join(repr(each)[:600] for each in differing)
    for key, query in (("bare", ""), ("7", "?fields=n.x"), ("14", "?retrieveVectors=true"), ("nope", "")):
        left, right = answers(both, "GET", f"/{key}{query}")
        assert left == right


def test_deep_pages_after_deletions_are_without_gaps(both: tuple[Api, Api, str]) -> None:
    """Replaced ones go to the end, a known approximation; what was deleted leaves no gap."""
    _, client, index = both
    order = [each["id"] for each in client.post(f"/indexes/{index}/documents/fetch", {"limit": 2000})["results"]]
    gone = order[10:900:9]
    client.succeeded(client.post(f"/indexes/{index}/documents/delete-batch", gone))
    rest = [key for key in order if key not in gone]
    for offset in range(0, len(rest), 170):
        page = client.post(f"/indexes/{index}/documents/fetch", {"offset": offset, "limit": 170})
        assert [each["id"] for each in page["results"]] == rest[offset : offset + 170]
        assert page["total"] == len(rest)


SPARSE: list[dict[str, Any]] = [
    {},
    {"limit": 0},
    {"offset": 600},
    *(
        {"sort": sort, **page}
        for sort in (["rare:asc"], ["u:desc", "rare:asc"], ["_geoPoint(1,1):asc"], ["_geoPoint(1,1):desc", "u:desc"],
                     ["rare:desc", "_geoPoint(1,1):asc"], ["u:desc", "_geoPoint(1,1):asc"], ["never:asc"],
                     ["nested.rare:asc"], ["nested.never:asc"])
        for page in ({"limit": 3}, {"limit": 0}, {"offset": 1, "limit": 2}, {"filter": "u > 3", "limit": 2})
    ),
]  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, 40])
def test_a_node_without_what_is_listed_by_does_not_spoil_the_list(
    count: int, cluster: Callable[..., Cluster], single_node: RealNode, index_name: str
) -> None:
    """A node knows only attributes that one of its documents had; the one document that has it is on one of three."""
    settings = {"sortableAttributes": ["rare", "never", "nested", "u", "_geo"], "filterableAttributes": ["u"]}
    rows: list[dict[str, Any]] = [{"id": number, "u": number} for number in range(count)]
    for row in rows[:1]:
        row |= {"rare": 1, "nested": [{"rare": "x"}], "_geo": {"lat": 2, "lng": 3}}
    miroir = cluster(groups=1, nodes=3, rf=1).client
    for api in (single_node.api, miroir):
        api.create_index(index_name, "id")
        api.update_settings(index_name, settings)
        if rows:
            api.add_documents(index_name, rows)
    for body in SPARSE:
        one, ours = (
            api.http.post(f"/indexes/{index_name}/documents/fetch", json=body) for api in (single_node.api, miroir)
        )
        assert (ours.status_code, ours.json()) == (one.status_code, one.json()), body
        assert "x-miroir-degraded" not in ours.headers
