"""Keys while nodes are away, wiped, slow and restarted, and while Miroir is killed: one list, the same everywhere."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.client import wait_until
from tests.integration.tokens import token
from tests.nodes import Cluster, RealNode

SOON_S = 70
"""Within which keys are right on a node: a look that falls short is followed by the next one half a minute later."""
pytestmark = pytest.mark.timeout(600)

SOUND: dict[str, Any] = {"actions": ["version"], "indexes": ["*"], "expiresAt": None}
DEFAULTS = {
    "Default Search API Key",
    "Default Admin API Key",
    "Default Read-Only Admin API Key",
    "Default Chat API Key",
}


@pytest.fixture
def running(cluster: Callable[..., Cluster]) -> Cluster:
    return cluster(groups=1, nodes=2, rf=2, fresh=True, over={"scatter": {"node_timeout_ms": 2000}})


@pytest.fixture
def patient(cluster: Callable[..., Cluster]) -> Cluster:
    """One that gives no node up that only hangs."""
    over = {"scatter": {"node_timeout_ms": 5000}, "health": {"unhealthy_threshold": 1000}}
    return cluster(groups=1, nodes=2, rf=2, fresh=True, over=over)


def shown(api: Any) -> dict[str, tuple[Any, ...]]:
    """Uid -> everything but times, which every node has its own of."""
    return {
        key["uid"]: (key["key"], key["name"], key["description"], key["actions"], key["indexes"], key["expiresAt"])
        for key in api.get("/keys", limit=1000)["results"]
    }


def alike(running: Cluster) -> bool:
    """Whether every node shows the keys that Miroir shows."""
    ours = shown(running.client)
    return all(shown(node.api) == ours for node in running.nodes)


def opens(running: Cluster, key: str) -> int:
    return httpx.get(
        f"{running.client.url}/version", headers={"Authorization": f"Bearer {key}"}, timeout=30
    ).status_code


def answers(running: Cluster) -> bool:
    try:
        return httpx.get(f"{running.client.url}/health", timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def test_every_node_has_the_clusters_default_keys(running: Cluster) -> None:
    wait_until(lambda: alike(running), SOON_S, "the same keys everywhere")
    keys = running.client.get("/keys")["results"]
    assert {key["name"] for key in keys} == DEFAULTS
    by_name = {key["name"]: key["key"] for key in keys}
    assert opens(running, by_name["Default Admin API Key"]) == 200
    assert opens(running, by_name["Default Search API Key"]) == 403
    for node in running.nodes:
        for key in by_name.values():
            assert (
                node.api.request("GET", "/health", headers={"Authorization": f"Bearer {key}"}, timeout=30).status_code
                == 200
            )
    before = shown(running.client)
    running.server.restart()
    running.wait_all_healthy()
    assert shown(running.client) == before


def test_a_node_that_was_away_catches_up(running: Cluster) -> None:
    gone = running.client.post("/keys", SOUND)
    kept = running.client.post("/keys", {**SOUND, "name": "before"})
    (admin,) = [key for key in running.client.get("/keys")["results"] if key["name"] == "Default Admin API Key"]
    wait_until(lambda: alike(running), SOON_S, "the same keys everywhere")
    away = running.nodes[1]
    away.kill()
    made = running.client.post("/keys", SOUND)  # noticed or not
    running.wait_failed(1)
    running.client.patch(f"/keys/{kept['uid']}", {"name": "after"})
    running.client.delete(f"/keys/{gone['key']}")
    running.client.delete(f"/keys/{admin['uid']}")
    assert [opens(running, key["key"]) for key in (gone, kept, made, admin)] == [403, 200, 200, 403]
    assert not {gone["uid"], admin["uid"]} & set(shown(running.nodes[0].api))
    running.nodes[0].pause()  # nobody but the one that was away is asked for what nobody knows
    away.restart()
    wait_until(lambda: opens(running, kept["key"]) == 200, SOON_S)
    assert [opens(running, key["key"]) for key in (gone, admin)] == [403, 403]
    running.nodes[0].resume()
    wait_until(lambda: alike(running), SOON_S, "the same keys everywhere")
    assert running.client.get(f"/keys/{kept['uid']}")["name"] == "after"
    away.kill()
    away.wipe()
    away.restart()
    wait_until(lambda: alike(running), SOON_S, "the same keys on the new disk")
    assert admin["uid"] not in shown(running.client)
    assert "Default Admin API Key" not in {key[1] for key in shown(away.api).values()}


def test_keys_outlive_every_disk(running: Cluster) -> None:
    made = running.client.post("/keys", {**SOUND, "expiresAt": "2050-01-01T00:00:00.5+02:00", "name": "é"})
    wait_until(lambda: alike(running), SOON_S, "the same keys everywhere")  # the nodes' own taken over
    before = shown(running.client)
    running.server.stop()
    for node in running.nodes:
        node.kill()
        node.wipe()
        node.restart()
    running.server.restart()
    wait_until(lambda: opens(running, made["key"]) == 200, SOON_S, "the key opens again")
    wait_until(lambda: alike(running), SOON_S, "the same keys on new disks")
    assert shown(running.client) == before


def test_a_key_is_made_on_every_node_or_on_none(patient: Cluster) -> None:
    running, slow = patient, patient.nodes[1]
    slow.pause()
    uid = str(uuid4())
    answer = running.client.request("POST", "/keys", json={**SOUND, "uid": uid})
    assert (answer.status_code, answer.json()["code"]) == (503, "miroir_no_quorum")
    assert uid not in shown(running.nodes[0].api)
    assert running.client.request("GET", f"/keys/{uid}").status_code == 404
    slow.resume()

    def away() -> bool:
        return uid not in shown(slow.api) and alike(running)

    # What the node is late with it may take up after a first look has found nothing.
    wait_until(lambda: all(away() for _ in range(20)), SOON_S, "the late key taken away again")
    made = running.client.post("/keys", {**SOUND, "uid": uid, "name": "again"})
    assert made["uid"] == uid
    wait_until(lambda: alike(running), SOON_S, "the same keys everywhere")


def test_a_key_that_was_being_made_when_miroir_died_is_not_made(cluster: Callable[..., Cluster]) -> None:
    over = {"scatter": {"node_timeout_ms": 25_000}, "health": {"unhealthy_threshold": 1000}}
    running = cluster(groups=1, nodes=2, rf=2, fresh=True, over=over)
    first, second = running.nodes
    uid = str(uuid4())
    for node in running.nodes:
        node.pause()
    asked = threading.Thread(target=_ask_and_lose, args=(running, uid))
    asked.start()
    # Whichever is asked first has the key, the other keeps the answer back.
    for node in (first, second):
        node.resume()
        try:
            wait_until(lambda: uid in shown(node.api), 5)  # noqa: B023 - called at once
            break
        except AssertionError:
            node.pause()
    running.server.kill()
    asked.join()
    for node in running.nodes:
        node.resume()
    running.server.restart()
    running.wait_all_healthy()
    wait_until(lambda: alike(running), SOON_S, "half a key taken away")
    assert running.client.request("GET", f"/keys/{uid}").status_code == 404
    made = running.client.post("/keys", {**SOUND, "uid": uid})
    assert opens(running, made["key"]) == 200
    wait_until(lambda: alike(running), SOON_S, "the same keys everywhere")


def _ask_and_lose(running: Cluster, uid: str) -> None:
    headers = {"Authorization": f"Bearer {running.client.key}"}
    try:
        httpx.post(f"{running.client.url}/keys", json={**SOUND, "uid": uid}, headers=headers, timeout=60)
    except httpx.TransportError:
        return
    raise AssertionError("it was to be killed before it answered")


def test_keys_made_at_the_nodes_open_the_door_and_are_left_alone(running: Cluster) -> None:
    wish = {**SOUND, "actions": ["version", "search"], "uid": str(uuid4())}
    made = [node.api.post("/keys", wish) for node in running.nodes]
    key = made[0]["key"]
    wait_until(lambda: opens(running, key) == 200, SOON_S, "seen at its first use")
    lent = token({"searchRules": ["*"], "apiKeyUid": wish["uid"]}, key)
    answer = httpx.post(
        f"{running.client.url}/indexes/no/search", json={}, headers={"Authorization": f"Bearer {lent}"}, timeout=30
    )
    assert answer.json()["code"] == "index_not_found"
    assert wish["uid"] not in shown(running.client)
    assert running.client.request("GET", f"/keys/{wish['uid']}").status_code == 404
    assert running.client.request("POST", "/keys", json=wish).json()["code"] == "api_key_already_exists"
    assert all(wish["uid"] in shown(node.api) for node in running.nodes)
    for node in running.nodes:
        node.api.delete(f"/keys/{key}")
    running.server.restart()
    running.wait_all_healthy()
    assert opens(running, key) == 403


def test_an_api_key_of_the_nodes_may_be_the_node_key(running: Cluster) -> None:
    before = running.client.post("/keys", SOUND)
    wish = {**SOUND, "actions": ["*"], "uid": str(uuid4())}
    (value,) = {node.api.post("/keys", wish)["key"] for node in running.nodes}
    running.server.stop()
    running.server.keys = replace(running.server.keys, node=value)
    running.server.restart()
    running.wait_all_healthy()
    assert running.client.get(f"/keys/{before['uid']}") == before
    assert (opens(running, before["key"]), opens(running, value)) == (200, 403)
    assert wish["uid"] not in shown(running.client)
    made = running.client.post("/keys", SOUND)
    assert all(made["uid"] in shown(node.api) for node in running.nodes)
    assert all(wish["uid"] in shown(node.api) for node in running.nodes)


def test_keys_are_changed_one_after_the_other(running: Cluster) -> None:
    uids = [str(uuid4()) for _ in range(3)]
    answers: list[int] = []

    def create(number: int) -> None:
        headers = {"Authorization": f"Bearer {running.client.key}"}
        body = {**SOUND, "uid": uids[number % 3], "name": f"{number}"}
        answers.append(httpx.post(f"{running.client.url}/keys", json=body, headers=headers, timeout=30).status_code)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [201] * 3 + [409] * 9
    wait_until(lambda: alike(running), SOON_S, "the same keys everywhere")


def test_while_no_node_is_there(running: Cluster) -> None:
    made = running.client.post("/keys", SOUND)
    for node in running.nodes:
        node.kill()
    running.wait_failed(2)
    tasks = httpx.get(f"{running.client.url}/version", headers={"Authorization": f"Bearer {made['key']}"}, timeout=30)
    assert tasks.json()["code"] == "miroir_shard_unavailable", "let in, and nobody to ask"
    assert running.client.request("POST", "/keys", json=SOUND).status_code == 503
    running.client.delete(f"/keys/{made['uid']}")
    assert opens(running, made["key"]) == 403
    running.server.stop()
    running.server.start()
    wait_until(lambda: answers(running), 30, "Miroir without nodes")
    unknown = httpx.get(f"{running.client.url}/version", headers={"Authorization": "Bearer abc"}, timeout=30)
    assert (unknown.status_code, unknown.json()["code"]) == (503, "miroir_shard_unavailable")
    for node in running.nodes:
        node.restart()
    wait_until(lambda: opens(running, "abc") == 403, 30, "nodes to ask")
    wait_until(lambda: alike(running), SOON_S, "the deleted key gone from every node")
    assert made["uid"] not in shown(running.client)


def test_a_node_of_its_own_keys(real_node: Callable[..., RealNode]) -> None:
    """What the replacing of default keys rests on: a new node makes four, and no one else's uids."""
    first, second = real_node("one"), real_node("two")
    keys = [first.api.get("/keys")["results"], second.api.get("/keys")["results"]]
    assert [{key["name"] for key in each} for each in keys] == [DEFAULTS, DEFAULTS]
    assert not {key["uid"] for key in keys[0]} & {key["uid"] for key in keys[1]}
