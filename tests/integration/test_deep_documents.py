"""Documents nested deeper than a node reads: refused, or failed as a task, in the words of a plain node."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.client import Api, wait_until
from tests.embedder import Embedder
from tests.nodes import Cluster, RealNode

JSON = "application/json"
NDJSON = "application/x-ndjson"


def lists(depth: int) -> bytes:
    return b"[" * depth + b"1" + b"]" * depth


def objects(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


DEEP = lists(200)

CASES: dict[str, tuple[str, str, str, bytes]] = {
    **{
        f"{kind.__name__} {depth} deep in {form}": (
            "POST", "", NDJSON if form == "NDJSON" else JSON, body % (b'{"id":1,"x":%b}' % kind(depth))
        )
        for kind in (lists, objects)
        for depth in (126, 127, 128, 129, 2000)
        for form, body in (("a list", b"[%b]"), ("a lone object", b"%b"), ("NDJSON", b"%b\n"))
    },
    "to update": ("PUT", "", JSON, b'[{"id":1,"x":%b}]' % DEEP),
    "with the key named": ("POST", "?primaryKey=sku", JSON, b'[{"sku":1,"x":%b}]' % DEEP),
    "without any key": ("POST", "", JSON, b'[{"x":%b}]' % DEEP),
    "as the key": ("POST", "", JSON, b'[{"id":%b}]' % DEEP),
}  # fmt: skip

# The index has the primary key `sku` already, and a node would find none by itself, or another.
OF_A_KNOWN_KEY: dict[str, tuple[str, str, str, bytes]] = {
    "that is no id by name": ("POST", "", JSON, b'[{"sku":1,"x":%b}]' % DEEP),
    "to update": ("PUT", "", JSON, b'[{"sku":1,"x":%b}]' % DEEP),
    "beside two ids": ("POST", "", JSON, b'[{"sku":1,"a_id":1,"b_id":2,"x":%b}]' % DEEP),
    "that is named": ("POST", "?primaryKey=sku", JSON, b'[{"sku":1,"x":%b}]' % DEEP),
    "and another is named": ("POST", "?primaryKey=isbn", JSON, b'[{"sku":1,"isbn":2,"x":%b}]' % DEEP),
    "that another document lacks": ("POST", "", JSON, b'[{"sku":1,"x":%b},{"id":3}]' % DEEP),
}


@pytest.fixture
def servers(cluster: Callable[..., Cluster], single_node: RealNode) -> tuple[Api, Api]:
    return single_node.api, cluster(groups=1, nodes=2, rf=1).client


def outcome(api: Api, index: str, case: tuple[str, str, str, bytes]) -> Any:
    """The refusal, or how the task ended."""
    method, query, content_type, body = case
    headers = {"content-type": content_type}
    response = api.request(method, f"/indexes/{index}/documents{query}", content=body, headers=headers)
    if response.status_code != 202:
        return response.status_code, re.sub(r'"taskUid":\d+', "", response.text)
    task = api.wait_task(response.json())
    return 202, task["status"], task["error"], task["details"]


def test_on_a_new_index(servers: tuple[Api, Api], index_name: str) -> None:
    ends = set()
    for number, (name, case) in enumerate(CASES.items()):
        node, ours = (outcome(api, f"{index_name}_{number}", case) for api in servers)
        assert ours == node, name
        ends.add(node[:2] if node[0] == 202 else node[:1])
    assert ends == {(202, "succeeded"), (202, "failed"), (400,)}, "all that a node may make of them"


def test_on_an_index_that_has_its_key(servers: tuple[Api, Api], index_name: str) -> None:
    for api in servers:
        api.create_index(index_name, "sku")
    for name, case in OF_A_KNOWN_KEY.items():
        node, ours = (outcome(api, index_name, case) for api in servers)
        assert node[1] == "failed", name
        assert ours == node, name


def test_for_a_key_that_may_not_create_the_index(servers: tuple[Api, Api], index_name: str) -> None:
    ends = []
    for api in servers:
        rights = {"actions": ["documents.add", "tasks.get"], "indexes": ["*"], "expiresAt": None}
        key = api.post("/keys", rights)
        writer = api.with_key(key["key"])
        ends.append(outcome(writer, index_name, ("POST", "", JSON, b'[{"id":1,"x":%b}]' % DEEP)))
        writer.close()
        api.delete(f"/keys/{key['uid']}")
    assert ends[0] == ends[1]
    assert ends[0][2]["code"] == "index_not_found"


@pytest.mark.parametrize(
    "body",
    [
        b'[{"id":1,"x":%b},{"id":1}]' % DEEP,
        b'[{"id":1,"x":%b,"x":1}]' % DEEP,
        b'[{"id":1,"_geo":%b}]' % DEEP,
    ],
    ids=["in a document that is replaced", "in a member that comes again", "in a place"],
)
def test_depths_that_a_node_does_not_look_at_are_refused(
    body: bytes, servers: tuple[Api, Api], index_name: str
) -> None:
    node, ours = (outcome(api, index_name, ("POST", "", JSON, body)) for api in servers)
    assert node[1] == "succeeded"
    assert (ours[0], "miroir_not_supported" in ours[1]) == (501, True)
    assert index_name not in servers[1].get("/stats")["indexes"]


def test_waiting_for_the_verdict_keeps_nobody_out(cluster: Callable[..., Cluster], index_name: str) -> None:
    """A node says by a task that a document is too deep, and that waits in its queue, here behind one that hangs."""
    running = cluster(groups=1, nodes=1, rf=1, fresh=True, over={"server": {"max_concurrent_requests": 2}})
    (node,) = running.nodes
    running.client.add_documents(index_name, [{"id": 1, "title": "Emma"}])
    with Embedder() as embedder, ThreadPoolExecutor(2) as clients:
        node.api.update_settings("held-up", {"embedders": {"default": embedder.settings()}})
        embedder.answering.clear()
        node.api.post("/indexes/held-up/documents", [{"id": 1, "title": "Emma"}])
        case = ("POST", "", JSON, b'[{"id":2,"x":%b}]' % DEEP)
        sent = [clients.submit(outcome, running.client, index_name, case) for _ in range(2)]

        def waiting() -> list[str]:
            tasks = node.api.get("/tasks", statuses="enqueued", limit=100)["results"]
            return [task["indexUid"] for task in tasks if task["indexUid"].startswith("_miroir_scratch")]

        wait_until(lambda: len(waiting()) == 2, 30, "both uploads waiting for the node")
        for _ in range(5):
            assert running.client.search(index_name, "emma")["hits"] == [{"id": 1, "title": "Emma"}]
        assert not any(each.done() for each in sent)
        embedder.answering.set()
        assert [each.result()[:2] for each in sent] == [(202, "failed")] * 2
