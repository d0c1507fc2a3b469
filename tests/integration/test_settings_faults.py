"""Changes of settings while nodes are away, drift, refuse and disagree: the whole change everywhere, or none of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.client import Api, wait_until
from tests.integration.test_faults import documents
from tests.nodes import Cluster, RealNode

OWN: dict[str, Any] = {"own": {"source": "userProvided", "dimensions": 3}}
VERSION = "x-miroir-settings-version"
IN_FLIGHT = "x-miroir-settings-inconsistent"


def searched(running: Cluster, index: str, **headers: str) -> httpx.Response:
    return running.client.request("POST", f"/indexes/{index}/search", json={"q": ""}, headers=headers)


def on_node(node: RealNode, index: str) -> dict[str, Any]:
    found: dict[str, Any] = node.api.get(f"/indexes/{index}/settings")
    return found


def readers(running: Cluster, index: str) -> set[str]:
    shards = running.admin.get("/_miroir/shards", index=index)["shards"]
    return {node for shard in shards for group in shard["groups"] for node in group["read_owners"]}


def metric(running: Cluster, name: str) -> float:
    lines = httpx.get(running.metrics_url, trust_env=False, timeout=30).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"miroir_{name}"))


@pytest.mark.parametrize("strategy", ["two_phase", "sequential"])
def test_what_a_node_fails_no_node_keeps(
    cluster: Callable[..., Cluster], single_node: RealNode, index_name: str, strategy: str
) -> None:
    running = cluster(groups=1, nodes=2, rf=1, over={"settings_broadcast": {"strategy": strategy}})
    quantized = {"embedders": {"own": {**OWN["own"], "binaryQuantized": True}}}
    undone = {"embedders": {"own": {"binaryQuantized": False}}, "sortableAttributes": ["price"]}

    def story(api: Api) -> list[Any]:
        api.create_index(index_name, "id")
        told = [api.update_settings(index_name, quantized), api.get(f"/indexes/{index_name}/settings")]
        told.append(api.wait_task(api.patch(f"/indexes/{index_name}/settings", undone)))
        told.append(api.get(f"/indexes/{index_name}/settings"))
        told.append(api.update_settings(index_name, {"stopWords": ["the"]}))
        told.append(api.get(f"/indexes/{index_name}/settings"))
        return [
            {name: each[name] for name in ("status", "type", "details", "error")} if "uid" in each else each
            for each in told
        ]

    assert story(running.client) == story(single_node.api)
    for node in running.nodes:
        shown = on_node(node, index_name)
        assert "price" not in shown["sortableAttributes"]
        assert shown["stopWords"] == ["the"]
    assert searched(running, index_name).headers[VERSION] == "3"
    assert readers(running, index_name) == {"meili-0", "meili-1"}


def test_a_node_that_is_away_is_behind_until_it_was_mended(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=1, fresh=True)
    client, away = running.client, running.nodes[1]
    client.create_index(index_name, "id")
    client.add_documents(index_name, documents(0, 40))
    client.update_settings(index_name, {"stopWords": ["the"]})
    away.kill()
    running.wait_failed(1)
    task = client.succeeded(client.patch(f"/indexes/{index_name}/settings", {"sortableAttributes": ["price"]}))
    assert task["details"] == {"sortableAttributes": ["price"]}
    assert client.get(f"/indexes/{index_name}/settings")["sortableAttributes"] == ["price"]
    answer = searched(running, index_name)
    assert (answer.headers[VERSION], IN_FLIGHT in answer.headers) == ("3", False)
    away.restart()
    # Whenever it is read again, it can sort: no answer is refused or comes from the old settings.
    wait_until(lambda: readers(running, index_name) == {"meili-0", "meili-1"}, 30, "the node read again")
    assert "price" in on_node(away, index_name)["sortableAttributes"]
    found = client.search(index_name, "", sort=["price:desc"], limit=3)["hits"]
    assert [hit["id"] for hit in found] == [39, 38, 37]
    assert searched(running, index_name, **{"X-Miroir-Min-Settings-Version": "3"}).status_code == 200
    stale = searched(running, index_name, **{"X-Miroir-Min-Settings-Version": "4"})
    assert (stale.status_code, stale.json()["code"]) == (503, "miroir_settings_version_stale")
    assert searched(running, index_name, **{"X-Miroir-Min-Settings-Version": "soon"}).status_code == 200


def test_a_wiped_node_gets_the_settings_with_the_documents(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=2, fresh=True)
    client, wiped = running.client, running.nodes[1]
    client.create_index(index_name, "id")
    client.add_documents(index_name, documents(0, 30))
    wiped.kill()
    wiped.wipe()
    running.wait_failed(1)
    client.update_settings(index_name, {"sortableAttributes": ["price"], "synonyms": {"a": ["b"]}})
    wiped.restart()
    wait_until(lambda: readers(running, index_name) == {"meili-0", "meili-1"}, 60, "the node read again")
    shown = on_node(wiped, index_name)
    assert (shown["synonyms"], "price" in shown["sortableAttributes"]) == ({"a": ["b"]}, True)
    assert searched(running, index_name).headers[VERSION] == "2"


def test_drift_is_mended(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=1, over={"settings_drift_check": {"interval_s": 1}})
    client, drifted = running.client, running.nodes[1]
    client.create_index(index_name, "id")
    client.update_settings(index_name, {"stopWords": ["the"], "synonyms": {"a": ["b"]}})
    before = on_node(drifted, index_name)
    repairs = metric(running, "settings_drift_repair_total")
    drifted.api.update_settings(index_name, {"stopWords": ["of"], "rankingRules": ["words"], "embedders": OWN})
    wait_until(lambda: on_node(drifted, index_name) == before, 30, "the drifted node as it was")
    wait_until(lambda: metric(running, "settings_drift_repair_total") == repairs + 1, 30, "counted")
    assert searched(running, index_name).headers[VERSION] == "2"
    assert metric(running, "settings_hash_mismatch_total") >= 1


def test_words_that_only_nodes_know_how_to_spell_are_no_drift(
    cluster: Callable[..., Cluster], single_node: RealNode, index_name: str
) -> None:
    running = cluster(groups=1, nodes=2, rf=1, over={"settings_drift_check": {"interval_s": 1}})
    words = {"stopWords": ["الكتاب", "國"], "typoTolerance": {"disableOnWords": ["الكِتاب", "國"]}}
    repairs = metric(running, "settings_drift_repair_total")
    for api in (running.client, single_node.api):
        api.create_index(index_name, "id")
        api.update_settings(index_name, words)
    assert searched(running, index_name).headers[VERSION] == "2"
    running.client.update_settings(index_name, {"sortableAttributes": ["price"]})
    assert readers(running, index_name) == {"meili-0", "meili-1"}
    assert metric(running, "settings_frozen_indexes") == 0
    assert metric(running, "settings_drift_repair_total") == repairs


def test_without_repair_drift_is_only_counted(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=1, over={"settings_drift_check": {"interval_s": 1, "auto_repair": False}})
    client, drifted = running.client, running.nodes[1]
    client.create_index(index_name, "id")
    client.update_settings(index_name, {"stopWords": ["the"]})
    drifted.api.update_settings(index_name, {"stopWords": ["of"]})
    seen = metric(running, "settings_hash_mismatch_total")
    wait_until(lambda: metric(running, "settings_hash_mismatch_total") >= seen + 2, 30, "seen twice")
    assert on_node(drifted, index_name)["stopWords"] == ["of"]
    assert metric(running, "settings_drift_repair_total") == 0
    # The next change of a client's is made everywhere all the same.
    client.update_settings(index_name, {"stopWords": ["a"]})
    assert on_node(drifted, index_name)["stopWords"] == ["a"]


def stubborn_node(running: Cluster, index: str) -> RealNode:
    """One that shows other settings than it should, and cannot be mended."""
    running.client.create_index(index, "id")
    running.client.update_settings(index, {"embedders": {"own": {**OWN["own"], "binaryQuantized": False}}})
    # Somebody quantizes the vectors there directly, which no change of settings undoes.
    running.nodes[1].api.update_settings(index, {"embedders": {"own": {"binaryQuantized": True}}})
    return running.nodes[1]


def mend_by_hand(stubborn: RealNode, index: str) -> None:
    """Miroir goes on trying meanwhile, and a node fails what it takes up together with such a try."""

    def mended() -> bool:
        task = stubborn.api.patch(f"/indexes/{index}/settings", {"embedders": {"own": None}})
        return bool(stubborn.api.wait_task(task, 60)["status"] == "succeeded")

    wait_until(mended, 60, "the embedder taken away")


def test_where_nothing_is_frozen_the_others_go_on_without_the_node(
    cluster: Callable[..., Cluster], index_name: str
) -> None:
    over = {"settings_broadcast": {"max_repair_retries": 1, "freeze_writes_on_unrepairable": False}}
    running = cluster(groups=1, nodes=2, rf=2, over=over)
    client, stubborn = running.client, stubborn_node(running, index_name)
    client.update_settings(index_name, {"stopWords": ["the"]})
    assert metric(running, "settings_frozen_indexes") == 0
    assert readers(running, index_name) == {"meili-0"}, "it does not answer for what it may see otherwise"
    client.add_documents(index_name, [{"id": 1, "_vectors": {"own": [1, 2, 3]}}])
    answer = searched(running, index_name)
    assert (answer.status_code, answer.headers[VERSION]) == (200, "3")
    mend_by_hand(stubborn, index_name)
    wait_until(lambda: readers(running, index_name) == {"meili-0", "meili-1"}, 60, "the node in line and read again")


@pytest.mark.parametrize(
    "knobs", [{"max_repair_retries": 1}, {"max_repair_retries": 1000, "verify_timeout_s": 1}], ids=["tries", "time"]
)
def test_a_node_that_cannot_be_mended_freezes_the_index_until_it_can(
    cluster: Callable[..., Cluster], index_name: str, knobs: dict[str, int]
) -> None:
    running = cluster(groups=1, nodes=2, rf=2, over={"settings_broadcast": knobs})
    client, stubborn = running.client, stubborn_node(running, index_name)
    task = client.patch(f"/indexes/{index_name}/settings", {"stopWords": ["the"]})

    with_vector = {"id": 1, "_vectors": {"own": [1, 2, 3]}}

    def frozen() -> bool:
        answer = client.request("POST", f"/indexes/{index_name}/documents", json=[with_vector])
        return answer.status_code == 503 and answer.json()["code"] == "miroir_index_frozen"

    wait_until(frozen, 30, "the index frozen")
    assert metric(running, "settings_frozen_indexes") == 1
    assert client.get(f"/tasks/{task['taskUid']}")["status"] in ("enqueued", "processing")
    answer = searched(running, index_name)
    assert (answer.status_code, answer.headers[VERSION], answer.headers[IN_FLIGHT]) == (200, "2", "true")
    assert client.get(f"/indexes/{index_name}/settings")["stopWords"] == []
    mend_by_hand(stubborn, index_name)
    client.succeeded(task, 60)
    assert client.get(f"/indexes/{index_name}/settings")["stopWords"] == ["the"]
    client.add_documents(index_name, [with_vector])
    assert metric(running, "settings_frozen_indexes") == 0
    answer = searched(running, index_name)
    assert (answer.headers[VERSION], IN_FLIGHT in answer.headers) == ("3", False)


def test_what_one_node_refuses_is_undone_on_the_others(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=1, fresh=True)
    client = running.client
    client.create_index(index_name, "id")
    before = client.get(f"/indexes/{index_name}/settings")
    running.nodes[0].api.patch("/experimental-features", {"chatCompletions": True})
    change = {"chat": {"description": "x"}, "stopWords": ["the"]}
    answer = client.request("PATCH", f"/indexes/{index_name}/settings", json=change)
    assert (answer.status_code, answer.json()["code"]) == (400, "feature_not_enabled")

    def undone() -> bool:
        shown = on_node(running.nodes[0], index_name)
        return bool(shown["stopWords"] == [] and shown["chat"]["description"] == "")

    wait_until(undone, 30, "the change undone")
    after = client.get(f"/indexes/{index_name}/settings")
    chat = after.pop("chat", {"description": ""})  # only one of the nodes shows it, and either may be asked
    assert chat["description"] == ""
    assert after == before
    assert searched(running, index_name).headers[VERSION] == "1"
    client.update_settings(index_name, {"stopWords": ["of"]})


def test_many_clients_change_settings_at_once_and_documents_do_not_wait(
    cluster: Callable[..., Cluster], index_name: str
) -> None:
    running = cluster(groups=1, nodes=2, rf=1)
    client = running.client
    client.create_index(index_name, "id")
    changes: list[dict[str, Any]] = [
        {"stopWords": ["the"]},
        {"sortableAttributes": ["price"]},
        {"filterableAttributes": ["price"]},
        {"synonyms": {"a": ["b"]}},
        {"rankingRules": ["words", "sort"]},
        {"typoTolerance": {"enabled": False}},
        {"typoTolerance": {"minWordSizeForTypos": {"oneTypo": 3}}},
        {"pagination": {"maxTotalHits": 50}},
    ]
    tasks: list[dict[str, Any]] = []

    def change(wanted: dict[str, Any]) -> None:
        api = client.with_key(client.key)
        tasks.append(api.patch(f"/indexes/{index_name}/settings", wanted))
        tasks.append(api.post(f"/indexes/{index_name}/documents", documents(len(tasks) * 10, 10)))
        api.close()

    threads = [threading.Thread(target=change, args=(wanted,)) for wanted in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for task in tasks:
        client.succeeded(task, 60)
    shown = client.get(f"/indexes/{index_name}/settings")
    assert shown["typoTolerance"]["enabled"] is False
    assert shown["typoTolerance"]["minWordSizeForTypos"] == {"oneTypo": 3, "twoTypos": 9}
    assert (shown["stopWords"], shown["pagination"]) == (["the"], {"maxTotalHits": 50})
    assert (shown["sortableAttributes"], shown["filterableAttributes"]) == (["price"], ["price"])
    assert (shown["synonyms"], shown["rankingRules"]) == ({"a": ["b"]}, ["words", "sort"])
    answer = searched(running, index_name)
    assert (answer.headers[VERSION], IN_FLIGHT in answer.headers) == (str(1 + len(changes)), False)


def test_a_filter_may_rely_on_the_settings_sent_before_it(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=1)
    client = running.client
    client.create_index(index_name, "id")
    client.add_documents(index_name, documents(0, 20))
    settings = client.patch(f"/indexes/{index_name}/settings", {"filterableAttributes": ["price"]})
    deletion = client.post(f"/indexes/{index_name}/documents/delete", {"filter": "price < 5"})
    client.succeeded(settings)
    assert client.succeeded(deletion)["details"]["deletedDocuments"] == 5


def test_a_preview_changes_nothing(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=1)
    running.client.create_index(index_name, "id")
    path = f"/_miroir/indexes/{index_name}/settings/preview"
    seen = running.admin.post(path, {"stopWords": ["the"], "pagination": {"maxTotalHits": 1000}})
    assert seen["diff"] == [{"setting": "stopWords", "before": [], "after": ["the"]}]
    assert seen["fingerprint"] != seen["fingerprint_after"]
    assert {node["id"]: node["settings_version"] for node in seen["nodes"]} == {"meili-0": 1, "meili-1": 1}
    same = running.admin.post(path, {"stopWords": []})
    assert (same["diff"], same["fingerprint_after"]) == ([], seen["fingerprint"])
    for bad in ({"stopWords": 3}, {"embedders": {"e": {"source": "userProvided"}}}, {"unheardOf": 1}):
        refused = running.admin.request("POST", path, json=bad)
        right = running.client.request("PATCH", f"/indexes/{index_name}/settings", json=bad)
        assert (refused.status_code, refused.json()) == (right.status_code, right.json())
    assert running.admin.request("POST", "/_miroir/indexes/nope/settings/preview", json={}).status_code == 404
    assert running.client.get(f"/indexes/{index_name}/settings")["stopWords"] == []
    assert searched(running, index_name).headers[VERSION] == "1"
