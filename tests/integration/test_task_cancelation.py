"""Canceling and deleting tasks over real nodes, beside one plain node that is asked for the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.client import Api, wait_until
from tests.integration.test_tasks_equal_to_one_node import masked, read
from tests.nodes import Cluster, RealNode

TERMINAL = ("succeeded", "failed", "canceled")


def heavy(count: int) -> list[dict[str, Any]]:
    """Documents that take a node several seconds."""
    rng = random.Random(3)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=7)) for _ in range(30_000)]
    return [{"id": number, "t": " ".join(rng.choices(words, k=60))} for number in range(count)]


def pile(api: Api, index: str) -> list[int]:
    """A task that takes long, and behind it one of each kind that waits; all their numbers."""
    api.create_index(index, "id")
    api.succeeded(api.patch(f"/indexes/{index}/settings", {"stopWords": ["the"]}))
    documents = f"/indexes/{index}/documents"
    calls: list[tuple[str, str, Any]] = [
        ("POST", documents, heavy(15_000)),
        ("PUT", documents, [{"id": 1}, {"id": 2}]),
        ("POST", f"{documents}/delete-batch", [1, 2, 3]),
        ("DELETE", f"{documents}/7", None),
        ("PATCH", f"/indexes/{index}/settings", {"stopWords": ["a"], "sortableAttributes": ["t"]}),
        ("PATCH", f"/indexes/{index}/settings", {"stopWords": ["b"]}),
    ]
    uids = []
    for method, target, body in calls:
        answer = api.request(method, target, **({} if body is None else {"json": body}))
        uids.append(answer.json()["taskUid"])
        if len(uids) == 1:
            wait_until(lambda: api.get(f"/tasks/{uids[0]}")["status"] == "processing", 30, "the long task begun")
    return uids


def views(api: Api, uids: list[int]) -> list[dict[str, Any]]:
    return [masked(api.get(f"/tasks/{uid}")) for uid in uids]


def test_canceled_tasks_look_as_on_a_node_and_leave_nothing_behind(
    cluster: Callable[..., Cluster], real_node: Callable[..., RealNode], index_name: str
) -> None:
    seen = []
    for api in (real_node().api, cluster(groups=1, nodes=2, rf=2).client):
        uids = pile(api, index_name)
        waiting = views(api, uids)
        batch = api.get(f"/batches/{api.get(f'/tasks/{uids[0]}')['batchUid']}")
        assert batch["progress"]["steps"]
        assert batch["finishedAt"] is None
        answer = api.request("POST", f"/tasks/cancel?uids={','.join(map(str, uids))}&statuses=enqueued,processing")
        assert answer.status_code == 200
        cancelation = api.succeeded(answer.json(), 60)
        cancelation["details"].pop("originalFilter")
        canceled = [api.wait_task(uid) for uid in uids]
        assert {task["canceledBy"] for task in canceled} == {cancelation["uid"]}
        listed = read(api, f"/tasks?canceledBy={cancelation['uid']}&limit=50")
        assert [task["uid"] for task in listed["results"]] == sorted(uids, reverse=True)
        settings = api.get(f"/indexes/{index_name}/settings")
        found = api.post(f"/indexes/{index_name}/documents/fetch", {"limit": 0})["total"]
        seen.append((waiting, masked(answer.json()), masked(cancelation), views(api, uids), settings, found))
    assert seen[0] == seen[1]


def test_what_was_canceled_while_an_owner_was_away_is_canceled_there_too(
    cluster: Callable[..., Cluster], index_name: str
) -> None:
    """One copy a shard: a task stays open until the node that is away has been told."""
    running = cluster(groups=1, nodes=2, rf=1, fresh=True)
    api = running.client
    uids = pile(api, index_name)
    running.nodes[1].kill()
    running.wait_failed(1)
    summary = api.request("POST", f"/tasks/cancel?indexUids={index_name}").json()
    wait_until(lambda: api.get(f"/tasks/{summary['taskUid']}")["status"] in ("enqueued", "processing"))
    running.nodes[1].restart()
    running.wait_all_healthy()
    cancelation = api.succeeded(summary, 60)
    ended = [api.wait_task(uid) for uid in uids]
    assert all(task["status"] in TERMINAL for task in ended)
    canceled = [task for task in ended if task["status"] == "canceled"]
    assert cancelation["details"]["canceledTasks"] == len(canceled) > 0
    assert {task["canceledBy"] for task in canceled} == {cancelation["uid"]}
    assert {task["canceledBy"] for task in ended if task["status"] != "canceled"} <= {None}
    assert cancelation["details"]["matchedTasks"] == len(uids) + 2, "with what was over long before"


def test_a_cancelation_goes_on_after_a_crash(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=2, fresh=True)
    api = running.client
    uids = pile(api, index_name)
    summary = api.request("POST", f"/tasks/cancel?uids={','.join(map(str, uids))}").json()
    running.server.kill()
    running.server.restart()
    running.wait_all_healthy()
    cancelation = api.succeeded(summary, 60)
    ended = [api.wait_task(uid) for uid in uids]
    canceled = [task["uid"] for task in ended if task["canceledBy"] == cancelation["uid"]]
    assert canceled == [task["uid"] for task in ended if task["status"] == "canceled"]
    assert cancelation["details"]["canceledTasks"] == len(canceled) > 0


def test_deleted_tasks_are_gone_here_and_on_the_nodes(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=2, fresh=True)
    api = running.client
    api.create_index(index_name, "id")
    kept = api.succeeded(api.post(f"/indexes/{index_name}/documents", [{"id": 1}]))
    before = {node.node_id: node_tasks(node, index_name) for node in running.nodes}
    gone = api.succeeded(api.post(f"/indexes/{index_name}/documents", [{"id": 2}]))
    deletion = api.succeeded(api.request("DELETE", f"/tasks?uids={gone['uid']},999999").json())
    assert deletion["details"] == {
        "matchedTasks": 1,
        "deletedTasks": 1,
        "originalFilter": f"?uids={gone['uid']},999999",
    }
    assert api.request("GET", f"/tasks/{gone['uid']}").json()["code"] == "task_not_found"
    assert api.request("GET", f"/batches/{gone['uid']}").json()["code"] == "batch_not_found"
    assert api.get(f"/tasks/{kept['uid']}") == kept
    for node in running.nodes:
        wait_until(lambda node=node: node_tasks(node, index_name) == before[node.node_id], 30, "the node forgetting")
    # The nodes are still trusted: their newest task is the deletion.
    running.wait_all_healthy()
    everything = api.succeeded(api.request("DELETE", "/tasks?uids=*").json())
    assert api.get("/tasks")["total"] == 1
    assert api.get("/tasks")["results"][0]["uid"] == everything["uid"]
    assert api.post(f"/indexes/{index_name}/documents/fetch", {})["total"] == 2


def node_tasks(node: RealNode, index: str) -> set[int]:
    return {task["uid"] for task in read(node.api, f"/tasks?indexUids={index}&limit=1000")["results"]}
