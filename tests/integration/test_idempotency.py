"""`Idempotency-Key` on real nodes: every write once, whatever became of its first attempt."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.client import wait_until
from tests.integration.test_crashes import PATIENT
from tests.integration.test_faults import (
    all_ids,
    assert_copies_equal,
    documents,
    fully_repaired,
    nothing_pending,
    store_rows,
)
from tests.nodes import MASTER_KEY, Cluster

EDIT = "editDocumentsByFunction"
REUSED = "miroir_idempotency_key_reused"


def send(cluster: Cluster, key: str, method: str, path: str, body: Any = None) -> httpx.Response:
    return cluster.client.request(method, path, json=body, headers={"Idempotency-Key": key})


def newest_task(cluster: Cluster) -> int:
    uid: int = cluster.client.get("/tasks", limit=1)["results"][0]["uid"]
    return uid


def prepared(
    cluster: Callable[..., Cluster], index: str, *, fresh: bool = False, over: Mapping[str, Any] | None = None
) -> Cluster:
    running = cluster(groups=1, nodes=2, rf=2, fresh=fresh, over=over)
    running.client.create_index(index, "id")
    running.client.update_settings(index, {"filterableAttributes": ["price"]})
    running.client.add_documents(index, documents(0, 20))
    for node in running.nodes:
        node.api.patch("/experimental-features", {EDIT: True})
    return running


# -- every route -----------------------------------------------------------------------------------------------------

ROUTES: dict[str, tuple[str, str, Any]] = {
    "add": ("POST", "/indexes/{index}/documents", documents(100, 5)),
    "update": ("PUT", "/indexes/{index}/documents", [{"id": 100, "price": 1}]),
    "add to an index that is not there": ("POST", "/indexes/{index}-new/documents", documents(0, 3)),
    "delete one": ("DELETE", "/indexes/{index}/documents/100", None),
    "delete by ids": ("POST", "/indexes/{index}/documents/delete-batch", [101, 102]),
    "delete by filter": ("POST", "/indexes/{index}/documents/delete", {"filter": "price = 103"}),
    "edit": ("POST", "/indexes/{index}/documents/edit", {"function": "doc.price = 7;"}),
    "delete all": ("DELETE", "/indexes/{index}/documents", None),
    "a task that fails": ("POST", "/indexes/{index}/documents", [{"id": "not an id"}]),
    "no documents": ("POST", "/indexes/{index}/documents", []),
    "settings": ("PATCH", "/indexes/{index}/settings", {"sortableAttributes": ["price"]}),
    "settings reset": ("DELETE", "/indexes/{index}/settings", None),
    "one setting": ("PUT", "/indexes/{index}/settings/stop-words", ["the"]),
    "one setting reset": ("DELETE", "/indexes/{index}/settings/stop-words", None),
    "create": ("POST", "/indexes", {"uid": "{index}-made", "primaryKey": "id"}),
    "create what is there": ("POST", "/indexes", {"uid": "{index}"}),
    "swap": ("POST", "/swap-indexes", [{"indexes": ["{index}", "{index}-made"]}]),
    "swap back": ("POST", "/swap-indexes", [{"indexes": ["{index}", "{index}-made"]}]),
    "rename": ("PATCH", "/indexes/{index}-made", {"uid": "{index}-renamed"}),
    "cancel tasks": ("POST", "/tasks/cancel?uids=1", None),
    "delete tasks": ("DELETE", "/tasks?uids=1", None),
    "delete the index": ("DELETE", "/indexes/{index}", None),
}


def test_every_write_is_done_once(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = prepared(cluster, index_name)
    for name, (method, template, body) in ROUTES.items():
        path = template.replace("{index}", index_name)
        body = json.loads(json.dumps(body).replace("{index}", index_name))
        key = f"{index_name} {name}"
        first = send(running, key, method, path, body)
        assert first.status_code in (200, 202), (name, first.text)
        newest = newest_task(running)
        again = send(running, key, method, path, body)
        assert (again.status_code, again.json()) == (first.status_code, first.json()), name
        running.client.wait_task(first.json())
        again = send(running, key, method, path, body)
        assert (again.status_code, again.json()) == (first.status_code, first.json()), name
        assert newest_task(running) == newest, name
        other = send(running, key, method, f"{path}{'&' if '?' in path else '?'}x=1", body)
        assert (other.status_code, other.json()["code"]) == (409, REUSED), name


def test_many_at_once_are_one(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = prepared(cluster, index_name, fresh=True, over=PATIENT)
    path = f"/indexes/{index_name}/documents/edit"
    body = {"function": "doc.price += 1;"}
    held = running.nodes[1]
    with ThreadPoolExecutor(8) as pool:
        held.pause()  # so that whoever is first takes a while
        sent = [pool.submit(send, running, index_name, "POST", path, body) for _ in range(8)]
        wait_until(lambda: store_rows(running, "idempotency") == 1, 50, "one of them on its way")
        held.resume()
        answers = [each.result() for each in sent]
    assert len({answer.json()["taskUid"] for answer in answers}) == 1
    assert {answer.status_code for answer in answers} == {202}
    running.client.succeeded(answers[0].json())
    assert running.client.get(f"/indexes/{index_name}/documents/3")["price"] == 4
    figures = httpx.get(running.metrics_url, timeout=30).text
    assert 'miroir_idempotency_hits_total{outcome="waited"}' in figures
    assert "miroir_idempotency_cache_size" in figures


# -- attempts that came to no end ------------------------------------------------------------------------------------


def test_a_refused_request_frees_its_key(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = prepared(cluster, index_name)
    path = f"/indexes/{index_name}/documents"
    refusals: list[Any] = [[{"_miroir_shard": 1, "id": 1}], [{"title": "no id"}], "no documents"]
    for refused in refusals:
        assert send(running, index_name, "POST", path, refused).status_code == 400
    corrected = send(running, index_name, "POST", path, documents(50, 1))
    running.client.succeeded(corrected.json())
    assert send(running, index_name, "POST", path, refusals[0]).json()["code"] == REUSED


def test_with_no_node_there_nothing_is_done_and_the_key_stays_free(
    cluster: Callable[..., Cluster], index_name: str
) -> None:
    running = prepared(cluster, index_name, fresh=True)
    for node in running.nodes:
        node.kill()
    running.wait_failed(2)
    path = f"/indexes/{index_name}/documents"
    refused = send(running, "k", "POST", path, documents(100, 1))
    assert (refused.status_code, refused.json()["code"]) == (503, "miroir_no_quorum")
    for node in running.nodes:
        node.restart()
    running.wait_all_healthy()
    corrected = send(running, "k", "POST", path, documents(200, 1))
    assert send(running, "k", "POST", path, documents(200, 1)).json() == corrected.json()
    running.client.succeeded(corrected.json())
    assert all_ids(running, index_name)[0] == [*range(20), 200]


def test_a_client_that_hung_up_gets_the_task_of_its_write(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = prepared(cluster, index_name)
    body = b'[{"id":300}]'
    head = (
        f"POST /indexes/{index_name}/documents HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {MASTER_KEY}\r\n"
        f"content-type: application/json\r\nidempotency-key: {index_name}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    before = newest_task(running)
    host, port = running.client.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + body)
    wait_until(lambda: newest_task(running) > before, 30, "the write registered")
    again = running.client.request(
        "POST",
        f"/indexes/{index_name}/documents",
        content=body,
        headers={"content-type": "application/json", "Idempotency-Key": index_name},
    )
    assert again.json()["taskUid"] == before + 1 == newest_task(running)
    running.client.succeeded(again.json())


def test_an_answer_that_was_lost_with_the_process_is_given_by_the_next(
    cluster: Callable[..., Cluster], index_name: str
) -> None:
    running = prepared(cluster, index_name, fresh=True)
    path = f"/indexes/{index_name}/documents/edit"
    first = send(running, "k", "POST", path, {"function": "doc.price += 1;"}).json()
    running.server.kill()
    running.server.restart()
    assert send(running, "k", "POST", path, {"function": "doc.price += 1;"}).json() == first
    running.client.succeeded(first)
    assert running.client.get(f"/indexes/{index_name}/documents/3")["price"] == 4


# -- killed between begin and commit ---------------------------------------------------------------------------------


def _killed_before_commit(running: Cluster, key: str, method: str, path: str, body: Any, node_type: str) -> None:
    """Node 0 has taken the write, node 1 holds it unread in its socket, and Miroir is gone."""
    first, second = running.nodes

    def taken() -> int:
        found: int = first.api.get("/tasks", types=node_type, limit=1)["results"][0]["uid"]
        return found

    before = first.api.get("/tasks", types=node_type, limit=1)["results"]
    newest = before[0]["uid"] if before else -1
    second.pause()

    def post() -> None:
        with pytest.raises(httpx.HTTPError):
            send(running, key, method, path, body)

    thread = threading.Thread(target=post)
    thread.start()
    wait_until(lambda: store_rows(running, "intents") == 1 and taken() > newest, 50, "node 0 took the write")
    running.server.kill()
    thread.join()
    second.resume()
    running.server.restart()
    running.wait_all_healthy()


@pytest.fixture
def hurt(cluster: Callable[..., Cluster], index_name: str) -> Cluster:
    return prepared(cluster, index_name, fresh=True, over=PATIENT)


def _at_rest(running: Cluster, index: str) -> None:
    wait_until(lambda: nothing_pending(running) and fully_repaired(running, index), 120, "verified and repaired")
    assert_copies_equal(running, index)


def test_killed_before_commit_documents_are_written_when_sent_again(hurt: Cluster, index_name: str) -> None:
    path = f"/indexes/{index_name}/documents"
    _killed_before_commit(hurt, "k", "POST", path, documents(100, 10), "documentAdditionOrUpdate")
    other = send(hurt, "k", "POST", path, documents(500, 1))
    assert (other.status_code, other.json()["code"]) == (409, REUSED)
    again = send(hurt, "k", "POST", path, documents(100, 10))
    assert hurt.client.succeeded(again.json())["details"]["indexedDocuments"] == 10
    assert send(hurt, "k", "POST", path, documents(100, 10)).json() == again.json()
    _at_rest(hurt, index_name)
    assert all_ids(hurt, index_name)[0] == [*range(20), *range(100, 110)]


def test_killed_before_commit_an_edit_is_not_done_twice(hurt: Cluster, index_name: str) -> None:
    path = f"/indexes/{index_name}/documents/edit"
    body = {"function": "doc.price += 1000;"}
    _killed_before_commit(hurt, "k", "POST", path, body, "documentEdition")
    again = send(hurt, "k", "POST", path, body)
    assert again.status_code == 202
    task = hurt.client.wait_task(again.json())
    assert task["status"] == "failed"
    assert "Idempotency-Key" in task["error"]["message"]
    assert send(hurt, "k", "POST", path, body).json() == again.json()
    _at_rest(hurt, index_name)
    found = hurt.client.post(f"/indexes/{index_name}/search", {"limit": 100})["hits"]
    assert {hit["price"] - hit["id"] for hit in found} <= {0, 1000}


def test_killed_before_commit_a_created_index_is_ours(hurt: Cluster, index_name: str) -> None:
    body = {"uid": f"{index_name}-made", "primaryKey": "id"}
    _killed_before_commit(hurt, "k", "POST", "/indexes", body, "indexCreation")
    again = send(hurt, "k", "POST", "/indexes", body)
    task = hurt.client.succeeded(again.json())
    assert task["details"] == {"primaryKey": "id"}
    assert send(hurt, "k", "POST", "/indexes", body).json() == again.json()
    stranger = send(hurt, "another", "POST", "/indexes", body)
    assert hurt.client.wait_task(stranger.json())["error"]["code"] == "index_already_exists"
    hurt.client.add_documents(f"{index_name}-made", documents(0, 10))
    _at_rest(hurt, f"{index_name}-made")


# -- knobs -----------------------------------------------------------------------------------------------------------


def test_switched_off_the_header_is_ignored(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=1, rf=1, over={"idempotency": {"enabled": False}})
    path = f"/indexes/{index_name}/documents"
    first = send(running, "k", "POST", path, documents(0, 1)).json()
    assert send(running, "k", "POST", path, documents(1, 1)).json()["taskUid"] == first["taskUid"] + 1
    assert "miroir_idempotency" not in httpx.get(running.metrics_url, timeout=30).text


def test_keys_are_forgotten_when_their_time_is_over_and_beyond_their_number(
    cluster: Callable[..., Cluster], index_name: str
) -> None:
    over = {"idempotency": {"ttl_seconds": 5, "max_cached_keys": 1}, "task_registry": {"prune_interval_s": 1}}
    running = cluster(groups=1, nodes=1, rf=1, over=over)
    path = f"/indexes/{index_name}/documents"
    first = send(running, "k", "POST", path, documents(0, 1)).json()
    assert send(running, "k", "POST", path, documents(0, 1)).json() == first
    for key in ("l", "m"):
        send(running, key, "POST", path, documents(0, 1))
    wait_until(lambda: store_rows(running, "idempotency") <= 1, 30, "the oldest keys forgotten")
    wait_until(lambda: store_rows(running, "idempotency") == 0, 30, "every key forgotten")
    assert send(running, "k", "POST", path, documents(1, 1)).json()["taskUid"] > first["taskUid"]
