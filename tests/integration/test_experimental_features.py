"""Experimental features: those of all nodes as one node's, whoever was away when they were switched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.client import Api, wait_until
from tests.nodes import Cluster, RealNode

ROUTE = "/experimental-features"
BODIES: list[Any] = [
    {},
    {"containsFilter": True},
    {"containsFilter": None, "editDocumentsByFunction": True},
    {"containsFilter": False, "editDocumentsByFunction": False},
    {"nope": True},
    {"containsFilter": 1},
    {"containsFilter": "true", "nope": 1},
    [],
    "on",
    {"containsfilter": True},
]


def test_they_are_switched_and_refused_as_by_a_node(
    cluster: Callable[..., Cluster], real_node: Callable[..., RealNode], index_name: str
) -> None:
    ours, plain = cluster(groups=1, nodes=3, rf=1, fresh=True).client, real_node().api

    def said(api: Api, method: str, **arguments: Any) -> tuple[int, str]:
        # A node goes deaf on a connection on which it refused a body unread.
        headers = {"connection": "close", **arguments.pop("headers", {})}
        answer = api.request(method, ROUTE, headers=headers, **arguments)
        return answer.status_code, answer.text

    assert said(ours, "GET") == said(plain, "GET")
    for body in BODIES:
        assert said(ours, "PATCH", json=body) == said(plain, "PATCH", json=body), body
        assert said(ours, "GET") == said(plain, "GET")
    bad = {"content": b'{"metrics":', "headers": {"content-type": "application/json"}}
    assert said(ours, "PATCH", **bad) == said(plain, "PATCH", **bad)
    assert said(ours, "PATCH", content=b"{}") == said(plain, "PATCH", content=b"{}")
    for api in (ours, plain):
        api.create_index(index_name, "id")
    # Settings behind a feature are shown among all settings while it is on.
    for change in ({}, {"vectorStoreSetting": True}, {"chatCompletions": True}, {"vectorStoreSetting": False}):
        assert said(ours, "PATCH", json=change) == said(plain, "PATCH", json=change)
        settings = [api.request("GET", f"/indexes/{index_name}/settings").text for api in (ours, plain)]
        assert settings[0] == settings[1], change


def test_a_node_that_was_away_or_wiped_is_brought_to_them_before_it_is_asked(
    cluster: Callable[..., Cluster], index_name: str
) -> None:
    running = cluster(groups=1, nodes=2, rf=2, fresh=True)
    client, (first, second) = running.client, running.nodes
    client.create_index(index_name, "id")
    client.succeeded(client.patch(f"/indexes/{index_name}/settings", {"filterableAttributes": ["name"]}))
    client.add_documents(index_name, [{"id": number, "name": f"name {number}"} for number in range(10)])
    second.kill()
    assert client.patch(ROUTE, {"containsFilter": True})["containsFilter"]
    second.wipe()
    second.restart()
    wait_until(lambda: _refilled(running, second, index_name), 60.0, "every copy refilled")
    first.kill()

    def found() -> bool:
        answer = client.request("POST", f"/indexes/{index_name}/search", json={"filter": "name CONTAINS 7"})
        assert answer.status_code in (200, 503), answer.text
        return answer.status_code == 200 and [hit["id"] for hit in answer.json()["hits"]] == [7]

    wait_until(found, 30.0, "the node that was wiped answers")
    assert second.api.get(ROUTE)["containsFilter"]
    first.restart()
    running.server.restart()
    running.wait_all_healthy()
    assert client.get(ROUTE)["containsFilter"]
    assert not client.patch(ROUTE, {"containsFilter": False})["containsFilter"]
    assert [node.api.get(ROUTE)["containsFilter"] for node in running.nodes] == [False, False]


def _refilled(running: Cluster, node: RealNode, index: str) -> bool:
    listed = node.api.request("GET", f"/indexes/{index}/documents", params={"limit": 0})
    shards = running.admin.get("/_miroir/shards", index=index)["shards"]
    whole = all(len(shard["in_sync"]) == len(running.nodes) for shard in shards)
    return listed.status_code == 200 and listed.json()["total"] == 10 and whole
