"""What one node does not survive and Miroir does: nodes stopped, groups stopped, everything stopped, and back again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx

from tests.client import wait_until
from tests.nodes import Cluster, RealNode

DEGRADED = "x-miroir-degraded"


def documents(first: int, count: int, word: str = "gadget") -> list[dict[str, Any]]:
    return [{"id": number, "title": f"{word} {number}", "price": number} for number in range(first, first + count)]


def all_ids(cluster: Cluster, index: str) -> tuple[list[int], httpx.Response]:
    response = cluster.client.request("POST", f"/indexes/{index}/search", json={"q": "", "limit": 1000})
    assert response.status_code == 200, response.text
    return sorted(hit["id"] for hit in response.json()["hits"]), response


def add(cluster: Cluster, index: str, rows: list[dict[str, Any]]) -> httpx.Response:
    return cluster.client.request("POST", f"/indexes/{index}/documents", json=rows)


def fully_repaired(cluster: Cluster, index: str) -> bool:
    """Whether every shard is read from all its owners again."""
    shards = cluster.admin.get("/_miroir/shards", index=index)["shards"]
    return all(group["read_owners"] == group["write_owners"] for shard in shards for group in shard["groups"])


def node_contents(cluster: Cluster, physical: str) -> dict[str, dict[str, Any]]:
    """Node -> shard stamp and version of every document it stores, asked of the nodes themselves."""
    return {node.node_id: contents_of(node, physical) for node in cluster.nodes}


def contents_of(node: RealNode, physical: str) -> dict[str, Any]:
    listed = node.api.request("POST", f"/indexes/{physical}/documents/fetch", json={"limit": 10_000}).json()
    return {
        str(each["id"]): (each["_miroir_shard"], each["_miroir_seq"], each.get("title")) for each in listed["results"]
    }


def assert_copies_equal(cluster: Cluster, index: str) -> None:
    """Every owner of a shard stores the same documents in the same versions."""
    view = cluster.admin.get("/_miroir/shards", index=index)
    contents = node_contents(cluster, view["physical_uid"])
    by_shard: dict[str, set[str]] = {}
    for node, stored in contents.items():
        for _, (shard, _, _) in stored.items():
            by_shard.setdefault(shard, set()).add(node)
    for shard, nodes in by_shard.items():
        parts = [{key: value for key, value in contents[node].items() if value[0] == shard} for node in sorted(nodes)]
        assert all(part == parts[0] for part in parts), shard
        assert len(nodes) == cluster.rf * cluster.groups


def store_rows(cluster: Cluster, table: str) -> int:
    """How many rows a table of the store's file has, read beside the running server."""
    with closing(sqlite3.connect(f"file:{cluster.directory / 'miroir.db'}?mode=ro", uri=True)) as store:
        count: int = store.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return count


def nothing_pending(cluster: Cluster) -> bool:
    return store_rows(cluster, "intents") == 0 and store_rows(cluster, "repairs") == 0


def test_with_two_copies_a_stopped_node_is_not_noticed(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=3, rf=2)
    running.client.create_index(index_name, "id")
    running.client.add_documents(index_name, documents(0, 300))
    running.nodes[1].kill()
    for _ in range(12):
        found, response = all_ids(running, index_name)
        assert found == list(range(300))
        assert DEGRADED not in response.headers
    # Writes go on too, and are there at once; the dead node's copies leave the trusted ones.
    running.client.add_documents(index_name, documents(300, 100))
    assert all_ids(running, index_name)[0] == list(range(400))
    running.client.succeeded(running.client.post(f"/indexes/{index_name}/documents/delete-batch", [5, 6, 7]))
    # It comes back onto its old data, is filled up, and then answers alone when the others stop.
    running.nodes[1].restart()
    running.wait_all_healthy()
    wait_until(lambda: fully_repaired(running, index_name), 60, "the copies refilled")
    assert_copies_equal(running, index_name)
    assert all_ids(running, index_name)[0] == [number for number in range(400) if number not in (5, 6, 7)]


def test_with_two_groups_one_may_stop(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=2, nodes=2, rf=1)
    created = running.client.request("POST", "/indexes", json={"uid": index_name, "primaryKey": "id"})
    assert DEGRADED not in created.headers
    running.client.succeeded(created.json())
    running.client.add_documents(index_name, documents(0, 200))
    for node in running.group(1):
        node.kill()
    for method, path, body in (
        ("POST", "/indexes", {"uid": f"{index_name}-new", "primaryKey": "id"}),
        ("PATCH", f"/indexes/{index_name}/settings", {"sortableAttributes": ["price"]}),
        ("PUT", f"/indexes/{index_name}/settings/stop-words", ["the"]),
        ("DELETE", f"/indexes/{index_name}/settings", None),
    ):
        changed = running.client.request(method, path, json=body)
        assert (changed.status_code, changed.headers.get(DEGRADED)) == (202, "groups=1"), path
        running.client.succeeded(changed.json())
    again = running.client.request("POST", "/indexes", json={"uid": index_name})  # a failed task is nobody's part
    assert (again.status_code, DEGRADED in again.headers) == (202, False)
    response = add(running, index_name, documents(200, 50))
    assert response.status_code == 202
    assert response.headers[DEGRADED] == "groups=1"
    running.client.succeeded(response.json())
    for _ in range(6):
        found, answer = all_ids(running, index_name)
        assert found == list(range(250))
        assert DEGRADED not in answer.headers


def test_a_majority_that_is_not_there_lets_no_write_stand(cluster: Callable[..., Cluster], index_name: str) -> None:
    """`write_quorum: majority` wants both copies; what one took meanwhile is made equal, and may be sent again."""
    running = cluster(groups=1, nodes=2, rf=2, fresh=True, over={"scatter": {"write_quorum": "majority"}})
    running.client.create_index(index_name, "id")
    running.client.add_documents(index_name, documents(0, 20))
    running.nodes[1].kill()
    for _ in range(2):
        response = add(running, index_name, documents(20, 10))
        assert (response.status_code, response.json()["code"]) == (503, "miroir_no_quorum")
    assert running.client.get("/tasks", indexUids=index_name, types="documentAdditionOrUpdate")["total"] == 1
    running.nodes[1].restart()
    running.wait_all_healthy()
    # The copy without what the other one took is found out, and not trusted until it is equal.
    wait_until(lambda: nothing_pending(running) and fully_repaired(running, index_name), 60, "verified and repaired")
    again = add(running, index_name, documents(20, 10))
    assert again.status_code == 202, again.text
    assert DEGRADED not in again.headers
    running.client.succeeded(again.json())
    wait_until(lambda: fully_repaired(running, index_name), 60, "the copies equal")
    assert all_ids(running, index_name)[0] == list(range(30))
    assert_copies_equal(running, index_name)


def test_a_write_that_cannot_stand_is_applied_nowhere(cluster: Callable[..., Cluster], index_name: str) -> None:
    """With the only copy of some shards known to be away, the nodes of the others are not sent their part either."""
    running = cluster(groups=1, nodes=2, rf=1)
    running.client.create_index(index_name, "id")
    running.client.add_documents(index_name, documents(0, 40))
    left, gone = running.nodes
    gone.kill()
    running.wait_left(left)
    before = left.api.get("/tasks", indexUids=index_name)["total"]
    refused = [
        add(running, index_name, documents(0, 40, "widget")),
        running.client.request("POST", f"/indexes/{index_name}/documents/delete-batch", json=list(range(40))),
        running.client.request("DELETE", f"/indexes/{index_name}/documents"),
        running.client.request("POST", "/indexes", json={"uid": f"{index_name}_2"}),
    ]
    for response in refused:
        assert (response.status_code, response.json()["code"]) == (503, "miroir_no_quorum")
        assert "Nothing of it was applied" in response.json()["message"]
    assert left.api.get("/tasks", indexUids=index_name)["total"] == before
    wait_until(lambda: left.api.request("GET", f"/indexes/{index_name}_2").status_code == 404, 30, "no second index")
    assert {title for _, _, title in contents_of(left, index_name).values()} <= {f"gadget {each}" for each in range(40)}
    gone.restart()
    running.wait_all_healthy()
    running.client.add_documents(index_name, documents(0, 40, "widget"))
    found = running.client.get(f"/indexes/{index_name}/documents", limit=100)["results"]
    assert sorted(each["title"] for each in found) == sorted(f"widget {each}" for each in range(40))


def test_with_everything_stopped_writes_and_reads_say_so(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=2)
    running.client.create_index(index_name, "id")
    running.client.add_documents(index_name, documents(0, 10))
    for node in running.nodes:
        node.kill()
    response = add(running, index_name, documents(10, 1))
    assert response.status_code == 503
    assert response.json()["code"] == "miroir_no_quorum"
    assert response.headers["retry-after"]
    wait_until(lambda: running.client.request("GET", "/_miroir/ready").status_code == 503, 30, "not ready")
    response = running.client.request("POST", f"/indexes/{index_name}/search", json={"q": ""})
    assert response.status_code == 503
    assert response.json()["code"] == "miroir_shard_unavailable"
    assert running.client.get("/health") == {"status": "available"}
    # Nothing was acknowledged, and nothing that was is lost.
    for node in running.nodes:
        node.restart()
    running.wait_all_healthy()
    wait_until(lambda: all_ids(running, index_name)[0] == list(range(10)), 30, "the documents back")


def test_with_one_copy_a_stopped_node_is_named_by_its_shards(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=1)
    running.client.create_index(index_name, "id")
    running.client.add_documents(index_name, documents(0, 100))
    owned = [
        shard["shard"]
        for shard in running.admin.get("/_miroir/shards", index=index_name)["shards"]
        if shard["groups"][0]["write_owners"] == ["meili-1"]
    ]
    running.nodes[1].kill()
    found, response = all_ids(running, index_name)
    assert 0 < len(found) < 100
    assert response.headers[DEGRADED] == "shards=" + ",".join(map(str, owned))


def test_a_wiped_node_is_filled_again(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=2)
    running.client.create_index(index_name, "id")
    running.client.update_settings(index_name, {"filterableAttributes": ["price"]})
    running.client.add_documents(index_name, documents(0, 120))
    running.nodes[0].kill()
    running.nodes[0].wipe()
    running.nodes[0].restart()

    def stored() -> int:
        answer = running.nodes[0].api.request("POST", f"/indexes/{index_name}/documents/fetch", json={"limit": 0})
        found: int = answer.json()["total"] if answer.is_success else 0
        return found

    wait_until(lambda: stored() == 120 and fully_repaired(running, index_name), 60, "the copies refilled")
    assert_copies_equal(running, index_name)
    running.nodes[1].kill()
    found = running.client.post(f"/indexes/{index_name}/search", {"filter": "price >= 60", "limit": 1000})
    assert sorted(hit["id"] for hit in found["hits"]) == list(range(60, 120))
