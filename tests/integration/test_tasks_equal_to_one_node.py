"""Tasks and batches as one plain node shows them: texts of refusals, details by type, pages, and times."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.client import Api
from tests.nodes import Cluster, RealNode

SHAPE: dict[str, Any] = {"groups": 1, "nodes": 2, "rf": 2}

REFUSED_LISTS = [
    "uids=a",
    "uids=1,a",
    "uids=,a",
    "uids=1,,a",
    "uids=*,a",
    "uids=-1",
    "uids=1.5",
    "uids=%201%20,2",
    "uids=4294967296",
    "batchUids=x",
    "canceledBy=x",
    "canceledBy=1,b",
    "statuses=foo",
    "statuses=Succeeded,%20failed",
    "types=foo",
    "types=%20",
    "indexUids=a%20b",
    "indexUids=a,b%20c",
    "beforeEnqueuedAt=abc",
    "beforeFinishedAt=",
    "afterStartedAt=2024-13-01",
    "afterStartedAt=2024-02-30",
    "afterStartedAt=2024-2-3",
    "afterStartedAt=20240203",
    "afterStartedAt=10000-01-01",
    "afterEnqueuedAt=2024-01-01T00:00:00",
    "afterEnqueuedAt=2024-01-01T00:00Z",
    "afterEnqueuedAt=2024-01-01T24:00:00Z",
    "afterEnqueuedAt=2024-01-01T00:00:60Z",
    "afterEnqueuedAt=2024-01-01T00:00:00.Z",
    "afterEnqueuedAt=2024-01-01T00:00:00,5Z",
    "afterEnqueuedAt=2024-01-01T00:00:00%2B0000",
    "afterEnqueuedAt=%202024-01-01",
    "foo=1",
    "uid=1",
    "statuse=1",
    "=5",
]
REFUSED_PAGES = ["limit=-1", "limit=abc", "limit=", "limit=4294967296", "from=-1", "from=4294967296", "reverse=1"]
REFUSED_TWICE = [
    "from=x&reverse=y",
    "reverse=y&uids=x",
    "foo=1&limit=x",
    "limit=x&foo=1",
    "types=foo&batchUids=x",
    "batchUids=x&types=foo",
    "beforeFinishedAt=x&reverse=y&statuses=z",
    "indexUids=a%20b&uids=x",
]
ACCEPTED = [
    "uids=",
    "uids=,",
    "uids=4294967295",
    "uids=%2B4294967295",
    "uids=04294967295",
    "batchUids=4294967295",
    "indexUids=nowhere_at_all,nor_here",
    "types=UPGRADEDATABASE",
    "statuses=Canceled&indexUids=nowhere_at_all",
    "canceledBy=4294967295",
    "beforeEnqueuedAt=2000-01-01",
    "afterEnqueuedAt=9999-12-31",
    "afterStartedAt=2999-01-01t00:00:00.123456789012z",
    "afterFinishedAt=2999-01-01%2000:00:00%2B23:59",
    "uids=4294967295&afterEnqueuedAt=*",
]


def read(api: Api, target: str) -> Any:
    """`GET` of a target with its query in it."""
    response = api.request("GET", target)
    assert response.status_code == 200, response.text
    return response.json()


def answers(api: Api, requests: list[tuple[str, str]]) -> list[tuple[str, str, int, Any]]:
    found = []
    for method, target in requests:
        response = api.request(method, target)
        found.append((method, target, response.status_code, response.json() if response.content else None))
    return found


def test_what_a_node_refuses_is_refused_in_its_words(cluster: Callable[..., Cluster], single_node: RealNode) -> None:
    requests = [
        (method, f"{path}?{query}")
        for query in REFUSED_LISTS
        for method, path in (("GET", "/tasks"), ("GET", "/batches"), ("POST", "/tasks/cancel"), ("DELETE", "/tasks"))
    ]
    requests += [
        (method, f"{path}?{query}")
        for query in (*REFUSED_PAGES, *REFUSED_TWICE)
        for method, path in (("GET", "/tasks"), ("GET", "/batches"), ("POST", "/tasks/cancel"), ("DELETE", "/tasks"))
    ]
    requests += [
        (method, path + query)
        for query in ("", "?", "?&")
        for method, path in (("POST", "/tasks/cancel"), ("DELETE", "/tasks"))
    ]
    for what in ("tasks", "batches"):
        requests += [("GET", f"/{what}/{uid}") for uid in ("a", "-1", "1.5", "4294967296", "4294967295", "%20", "+")]
        requests += [("POST", f"/{what}"), ("PATCH", f"/{what}/1"), ("DELETE", f"/{what}/1")]
    requests.append(("GET", "/tasks/cancel"))
    assert answers(cluster(**SHAPE).client, requests) == answers(single_node.api, requests)


def test_what_matches_nothing_is_an_empty_page(cluster: Callable[..., Cluster], single_node: RealNode) -> None:
    requests = [("GET", f"/{what}?{query}") for query in ACCEPTED for what in ("tasks", "batches")]
    assert answers(cluster(**SHAPE).client, requests) == answers(single_node.api, requests)


def test_selections_that_match_nothing_are_tasks(cluster: Callable[..., Cluster], single_node: RealNode) -> None:
    for method, target in (("POST", "/tasks/cancel"), ("DELETE", "/tasks")):
        for query in ACCEPTED:
            shapes = []
            for api in (cluster(**SHAPE).client, single_node.api):
                response = api.request(method, f"{target}?{query}")
                shapes.append((response.status_code, masked(response.json()), masked(api.succeeded(response.json()))))
            assert shapes[0] == shapes[1], (method, query)


TIMES = ("enqueuedAt", "startedAt", "finishedAt")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z")
DURATION = re.compile(r"PT\d+(\.\d+)?S")


def masked(task: dict[str, Any]) -> dict[str, Any]:
    """With what differs from run to run replaced by whether it has the right form."""
    shown = dict(task)
    for name in ("uid", "taskUid", "batchUid", "canceledBy"):
        if isinstance(shown.get(name), int):
            shown[name] = "number"
    for name in TIMES:
        if shown.get(name) is not None:
            shown[name] = bool(TIME.fullmatch(shown[name])) or shown[name]
    if shown.get("duration") is not None:
        shown["duration"] = bool(DURATION.fullmatch(shown["duration"])) or shown["duration"]
    return shown


def batch_of(api: Api, task: dict[str, Any]) -> dict[str, Any]:
    """Its batch without what only a node can know: where its time went, and the sizes of its tables."""
    batch = masked(api.get(f"/batches/{task['batchUid']}"))
    assert batch["stats"].pop("progressTrace")
    assert str(task["uid"]) in batch["batchStrategy"] or "batched" in batch["batchStrategy"]
    batch["batchStrategy"] = "text"
    for name in ("writeChannelCongestion", "internalDatabaseSizes"):
        batch["stats"].pop(name, None)
    return batch


SETTINGS: list[dict[str, Any]] = [
    {},
    {"stopWords": ["b", "a", "b"]},
    {"displayedAttributes": None, "searchableAttributes": ["b", "a"]},
    {"filterableAttributes": ["z", "a", "z"]},
    {"filterableAttributes": [{"attributePatterns": ["a"], "features": {"facetSearch": True}}, "b"]},
    {"filterableAttributes": [{"attributePatterns": ["a"]}]},
    {"filterableAttributes": [{"attributePatterns": ["a"], "features": {"filter": {"comparison": True}}}]},
    {"sortableAttributes": ["b", "a"], "rankingRules": ["words", "a:asc"], "synonyms": {"b": ["x", "a"]}},
    {"typoTolerance": {"minWordSizeForTypos": {"oneTypo": 4, "twoTypos": None}, "disableOnWords": ["b", "a"]}},
    {"typoTolerance": {}, "faceting": {"maxValuesPerFacet": None}, "pagination": {"maxTotalHits": 7}},
    {"dictionary": ["b", "a"], "separatorTokens": ["|", "&"], "nonSeparatorTokens": ["@", "#"]},
    {"embedders": {"u": {"source": "userProvided", "dimensions": 3}}},
    {"embedders": {"u": None}},
    {"localizedAttributes": [{"attributePatterns": ["a"], "locales": ["fr", "jpn"]}], "searchCutoffMs": 150},
]


def work(api: Api, index: str) -> list[tuple[Any, Any, Any]]:
    """Every kind of task there is so far: how it was answered, what became of it, and its batch."""
    other = f"{index}_other"
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/indexes", {"uid": index}),
        ("POST", "/indexes", {"uid": index, "primaryKey": "id"}),
        ("POST", f"/indexes/{index}/documents", [{"id": 1, "t": "x"}, {"id": 2, "t": "y"}, {"id": 1, "t": "z"}]),
        ("PUT", f"/indexes/{index}/documents", [{"id": 3}]),
        ("POST", f"/indexes/{index}/documents", [{"id": "a b"}]),
        ("POST", f"/indexes/{index}/documents/delete-batch", [1, 77]),
        ("DELETE", f"/indexes/{index}/documents/2", None),
        ("DELETE", f"/indexes/{index}/documents/3", None),
        *(("PATCH", f"/indexes/{index}/settings", change) for change in SETTINGS),
        ("DELETE", f"/indexes/{index}/settings", None),
        ("DELETE", f"/indexes/{index}", None),
        ("DELETE", f"/indexes/{index}", None),
        ("DELETE", f"/indexes/{other}/settings", None),
        ("POST", f"/indexes/{other}/documents/delete-batch", [1]),
        ("POST", "/indexes", {"uid": other, "primaryKey": "k"}),
    ]
    seen = []
    for method, target, body in calls:
        summary = api.request(method, target, **({} if body is None else {"json": body})).json()
        task = api.wait_task(summary)
        seen.append((masked(summary), masked(task), batch_of(api, task)))
    return seen


def test_every_kind_of_task_shows_what_a_node_shows(
    cluster: Callable[..., Cluster], single_node: RealNode, index_name: str
) -> None:
    expected, found = work(single_node.api, index_name), work(cluster(**SHAPE).client, index_name)
    differing = [
        (there[1]["type"], name, one.get(name), other.get(name))
        for there, here in zip(expected, found, strict=True)
        for one, other in zip(there, here, strict=True)
        for name in [*one, *other]
        if one.get(name) != other.get(name) or list(one) != list(other)
    ]
    assert not differing


def fill(api: Api, index: str) -> int:
    """Ten tasks, four of them failed; the first one's number."""
    first: int = api.request("POST", "/indexes", json={"uid": index, "primaryKey": "id"}).json()["taskUid"]
    for number in range(3):
        sent = [
            api.request("POST", f"/indexes/{index}/documents", json=[{"id": number}]),
            api.request("POST", "/indexes", json={"uid": index}),
            api.request("POST", f"/indexes/{index}/documents/delete-batch", json=[number]),
        ]
        for answer in sent:
            api.wait_task(answer.json())
    return first


def pages(api: Api, index: str, first: int, query: str) -> list[Any]:
    """All pages of a listing, tasks told by how many came before them in this index."""
    listed: list[Any] = []
    following: int | None = None
    for _ in range(20):
        start = "" if following is None else f"&from={following}"
        page = read(api, f"/tasks?indexUids={index}&{query}{start}")
        numbers = [task["uid"] - first for task in page["results"]]
        following = page["next"]
        listed.append((numbers, page["total"], page["limit"], bool(following is None)))
        assert page["from"] == (page["results"][0]["uid"] if numbers else None)
        if following is None:
            break
    return listed


def test_pages_and_filters_find_the_same_tasks(
    cluster: Callable[..., Cluster], real_node: Callable[..., RealNode], index_name: str
) -> None:
    queries = [
        "limit=3",
        "limit=3&reverse=true",
        "limit=4&statuses=failed",
        "limit=4&statuses=FAILED,succeeded&types=indexcreation",
        "types=documentDeletion,documentAdditionOrUpdate&limit=2&reverse=true",
        "afterEnqueuedAt=2020-01-01&limit=100",
        "beforeFinishedAt=2020-01-01",
        "statuses=enqueued,processing",
        "limit=0",
    ]
    # A fresh node and a fresh cluster, whose tasks follow on each other without a gap.
    seen = []
    for api in (real_node().api, cluster(**SHAPE, fresh=True).client):
        first = fill(api, index_name)
        seen.append([(query, pages(api, index_name, first, query)[:10]) for query in queries])
    assert seen[0] == seen[1]


def test_a_tasks_number_may_be_written_with_its_prefix(cluster: Callable[..., Cluster], index_name: str) -> None:
    api = cluster(**SHAPE).client
    task = api.succeeded(api.post("/indexes", {"uid": index_name}))
    uid = task["uid"]
    assert api.get(f"/tasks/mtask-{uid}") == task
    assert read(api, f"/tasks?uids=mtask-{uid}")["results"] == [task]
    assert read(api, f"/batches?batchUids=mtask-{uid}")["results"][0]["uid"] == uid


def test_every_time_filter_is_exact_to_the_nanosecond(cluster: Callable[..., Cluster], index_name: str) -> None:
    api = cluster(**SHAPE).client
    task = api.succeeded(api.post("/indexes", {"uid": index_name}))
    for name in ("Enqueued", "Started", "Finished"):
        at = task[f"{name.lower()}At"]
        for path in ("tasks", "batches"):
            for relation, text, total in (
                ("after", at, 0),
                ("before", at, 0),
                ("after", shifted(at, -1), 1),
                ("before", shifted(at, 1), 1),
            ):
                page = read(api, f"/{path}?indexUids={index_name}&{relation}{name}At={text}")
                assert page["total"] == total, (relation, name)


def shifted(text: str, nanoseconds: int) -> str:
    whole, _, fraction = text.removesuffix("Z").partition(".")
    number = int(fraction.ljust(9, "0")) + nanoseconds
    if not 0 <= number < 10**9:
        pytest.fail("a time at the very edge of its second; run again")
    return f"{whole}.{number:09d}Z"
