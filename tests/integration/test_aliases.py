"""Aliases on a real cluster: an index by another name in every route, flipped in one step, never torn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
import trio

from tests.client import Api
from tests.integration.test_names_under_load import (
    READERS,
    SEEDS,
    SHAPE,
    WRITERS,
    Load,
    batches_of,
    read,
    seed,
    write,
)
from tests.integration.test_tenant_tokens_oracle import signed
from tests.nodes import ADMIN_KEY, Cluster


@pytest.fixture
def server(cluster: Callable[..., Cluster]) -> Cluster:
    return cluster(**SHAPE)


def alias(server: Cluster, name: str, target: str) -> dict[str, Any]:
    made: dict[str, Any] = server.admin.post("/_miroir/aliases", {"name": name, "current_uid": target})
    return made


def flip(server: Cluster, name: str, target: str) -> dict[str, Any]:
    flipped: dict[str, Any] = server.admin.put(f"/_miroir/aliases/{name}", {"current_uid": target})
    return flipped


def refusal(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_it_answers_like_an_index_of_its_name(server: Cluster, index_name: str) -> None:
    api, name, one, two = server.client, f"{index_name}_alias", f"{index_name}_one", f"{index_name}_two"
    for uid, colour in ((one, "red"), (two, "blue")):
        api.create_index(uid, "id")
        api.update_settings(uid, {"filterableAttributes": ["colour"]})
        api.add_documents(uid, [{"id": number, "colour": colour} for number in range(30)])
    made = alias(server, name, one)
    assert (made["name"], made["kind"], made["current_uid"], made["version"]) == (name, "single", one, 1)
    # reads
    assert api.get(f"/indexes/{name}")["uid"] == name
    assert name not in [index["uid"] for index in api.get("/indexes", limit=1000)["results"]]
    assert api.get(f"/indexes/{name}/stats")["numberOfDocuments"] == 30
    assert api.get(f"/indexes/{name}/settings")["filterableAttributes"] == ["colour"]
    assert api.get(f"/indexes/{name}/settings/filterable-attributes") == ["colour"]
    assert api.get(f"/indexes/{name}/documents/7")["colour"] == "red"
    assert api.get(f"/indexes/{name}/documents")["total"] == 30
    assert api.post(f"/indexes/{name}/documents/fetch", {"ids": [3]})["results"] == [{"id": 3, "colour": "red"}]
    found = api.search(name, "", facets=["colour"], limit=5)
    assert (len(found["hits"]), found["facetDistribution"]) == (5, {"colour": {"red": 30}})
    assert api.get(f"/indexes/{name}/search", q="", filter="colour = red")["estimatedTotalHits"] == 30
    assert api.post(f"/indexes/{name}/facet-search", {"facetName": "colour"})["facetHits"][0]["value"] == "red"
    (side,) = api.post("/multi-search", {"queries": [{"indexUid": name, "limit": 1}]})["results"]
    assert (side["indexUid"], side["hits"][0]["colour"]) == (name, "red")
    message = api.request("POST", f"/indexes/{name}/search", json={"filter": "size = 1"}).json()["message"]
    assert f"Index `{name}`" in message
    # writes
    tasks = [
        api.post(f"/indexes/{name}/documents", [{"id": 100, "colour": "green"}]),
        api.put(f"/indexes/{name}/documents", [{"id": 101, "colour": "green"}]),
        api.delete(f"/indexes/{name}/documents/1"),
        api.post(f"/indexes/{name}/documents/delete-batch", [2]),
        api.post(f"/indexes/{name}/documents/delete", {"filter": "colour = none"}),
        api.patch(f"/indexes/{name}/settings", {"sortableAttributes": ["colour"]}),
        api.put(f"/indexes/{name}/settings/stop-words", ["the"]),
    ]
    for task in tasks:
        assert api.succeeded(task)["indexUid"] == one
    assert api.get(f"/indexes/{one}/stats")["numberOfDocuments"] == 30
    assert api.get(f"/indexes/{one}/settings")["sortableAttributes"] == ["colour"]
    # the flip
    assert flip(server, name, two)["version"] == 2
    assert api.search(name, "", facets=["colour"])["facetDistribution"] == {"colour": {"blue": 30}}
    assert api.get(f"/indexes/{name}/settings")["sortableAttributes"] == []
    api.succeeded(api.delete(f"/indexes/{name}/documents"))
    assert [api.get(f"/indexes/{uid}/stats")["numberOfDocuments"] for uid in (one, two)] == [30, 0]
    # a swap of what it stands for
    api.succeeded(api.post("/swap-indexes", [{"indexes": [one, two]}]))
    assert api.get(f"/indexes/{name}/stats")["numberOfDocuments"] == 30
    history = server.admin.get(f"/_miroir/aliases/{name}")["history"]
    assert [(each["version"], each["current_uid"]) for each in history] == [(2, two), (1, one)]


def test_a_new_index_takes_its_primary_key_through_an_alias(server: Cluster, index_name: str) -> None:
    api, name, uid = server.client, f"{index_name}_alias", f"{index_name}_bare"
    api.create_index(uid)
    alias(server, name, uid)
    api.add_documents(name, [{"sku_id": 1}])
    assert api.get(f"/indexes/{uid}")["primaryKey"] == "sku_id"


def test_names_are_an_indexes_or_an_aliases(server: Cluster, index_name: str) -> None:
    api, admin = server.client, server.admin
    name, one, two = f"{index_name}_alias", f"{index_name}_one", f"{index_name}_two"
    api.create_index(one, "id")
    api.create_index(two, "id")
    alias(server, name, one)
    path = f"/_miroir/aliases/{name}"
    conflict = (409, "miroir_alias_conflict")
    for body in ({"name": one, "current_uid": two}, {"name": name, "current_uid": two}):
        assert refusal(admin.request("POST", "/_miroir/aliases", json=body)) == conflict, body
    assert refusal(admin.request("PUT", path, json={"current_uid": name})) == conflict
    assert refusal(admin.request("PUT", path, json={"current_uid": two, "version": 7})) == conflict
    assert refusal(admin.request("PUT", path, json={"current_uid": f"{one}_none"})) == (404, "index_not_found")
    assert refusal(admin.request("PUT", f"{path}_none", json={"current_uid": one})) == (404, "miroir_alias_not_found")
    assert refusal(admin.request("DELETE", f"{path}_none")) == (404, "miroir_alias_not_found")
    assert refusal(admin.request("GET", f"{path}_none")) == (404, "miroir_alias_not_found")
    wrong = (b"{}", b'{"current_uid":5}', b'{"current_uid":"x","foo":1}', b'{"current_uid":"x","target_uids":["x"]}')
    for bad in (b"{", b"", b"[]", *wrong, b'{"target_uids":[]}', b'{"target_uids":[1]}', b'{"target_uids":"x"}'):
        assert admin.request("PUT", path, content=bad).json()["code"] in ("malformed_payload", "bad_request"), bad
    made = admin.request("POST", "/_miroir/aliases", json={"name": "bad name", "current_uid": one})
    assert refusal(made) == (400, "invalid_index_uid")
    kept = admin.request("PUT", path, json={"target_uids": [one, two]})
    assert refusal(kept) == conflict
    assert "stands for one index" in kept.json()["message"]
    for targets in ([one, one], [one, name]):
        made = admin.request("POST", "/_miroir/aliases", json={"name": f"{name}_many", "target_uids": targets})
        assert refusal(made) == conflict, targets
    lacking = {"name": f"{name}_many", "target_uids": [one, f"{one}_none"]}
    assert refusal(admin.request("POST", "/_miroir/aliases", json=lacking)) == (404, "index_not_found")
    # indexes and their names
    task = api.wait_task(api.post("/indexes", {"uid": name}))
    assert (task["status"], task["error"]["code"]) == ("failed", "index_already_exists")
    task = api.wait_task(api.patch(f"/indexes/{two}", {"uid": name}))
    assert task["error"]["code"] == "index_already_exists"
    task = api.wait_task(api.post("/swap-indexes", [{"indexes": [two, name], "rename": True}]))
    assert task["error"]["code"] == "index_already_exists"
    asked: list[tuple[str, str, Any]] = [
        ("DELETE", f"/indexes/{name}", None),
        ("PATCH", f"/indexes/{name}", {"uid": f"{one}_new"}),
        ("POST", "/swap-indexes", [{"indexes": [name, two]}]),
        ("DELETE", f"/indexes/{one}", None),
        ("PATCH", f"/indexes/{one}", {"uid": f"{one}_new"}),
        ("POST", "/swap-indexes", [{"indexes": [one, f"{one}_new"], "rename": True}]),
    ]
    for method, where, content in asked:
        assert refusal(api.request(method, where, json=content)) == conflict, (method, where, content)
    listed = admin.get("/_miroir/aliases")["results"]
    assert [(each["current_uid"], each["version"]) for each in listed if each["name"] == name] == [(one, 1)]
    # and when it is gone
    admin.delete(path)
    assert refusal(api.request("GET", f"/indexes/{name}")) == (404, "index_not_found")
    api.create_index(name)
    api.delete_index(one)


def test_of_an_index_and_an_alias_of_one_name_one_comes_to_be(server: Cluster, index_name: str) -> None:
    api, target = server.client, f"{index_name}_target"
    api.create_index(target)

    async def race(name: str) -> tuple[int, int]:
        statuses: dict[str, int] = {}

        async def send(what: str, client: httpx.AsyncClient, path: str, body: Any) -> None:
            statuses[what] = (await client.post(path, json=body)).status_code

        async with api.concurrent(1) as data, server.admin.concurrent(1) as admin, trio.open_nursery() as nursery:
            nursery.start_soon(send, "index", data, f"/indexes/{name}/documents", [{"id": 1}])
            nursery.start_soon(send, "alias", admin, "/_miroir/aliases", {"name": name, "current_uid": target})
        return statuses["index"], statuses["alias"]

    for number in range(8):
        name = f"{index_name}_{number}"
        written, made = trio.run(race, name)
        assert (written, made) in ((202, 409), (202, 201)), (written, made)
        own = name in [index["uid"] for index in api.get("/indexes", limit=1000)["results"]]
        aliases = [each["name"] for each in server.admin.get("/_miroir/aliases")["results"]]
        assert own != (name in aliases)


def run_alias_command(server: Cluster, *arguments: str) -> str:
    """What `miroir-ctl alias` prints; where it fails, its exit status and what it says of that."""
    environment = {**os.environ, "MIROIR_ADMIN_API_KEY": ADMIN_KEY, "MIROIR_URL": server.server.address}
    done = subprocess.run(
        [sys.executable, "-c", "from miroir.cli.ctl import main; main()", "alias", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode == 0 else f"{done.returncode}: {done.stderr}"


def test_commands_for_several_indexes(server: Cluster, index_name: str) -> None:
    name, one, two = f"{index_name}_both", f"{index_name}_one", f"{index_name}_two"
    for uid in (one, two):
        server.client.create_index(uid, "id")
    made = json.loads(run_alias_command(server, "create", name, one, two, "--json"))
    assert (made["kind"], made["target_uids"]) == ("multi", [one, two])
    assert json.loads(run_alias_command(server, "flip", name, two, "--multi", "--json"))["target_uids"] == [two]
    flips = json.loads(run_alias_command(server, "history", name, "--json"))
    assert [flip["target_uids"] for flip in flips] == [[two], [one, two]]


def test_it_outlives_the_process_and_shows_in_metrics_and_commands(
    cluster: Callable[..., Cluster],
) -> None:
    server = cluster(**SHAPE, fresh=True, over={"aliases": {"history_retention": 2}})
    api, name = server.client, "shop"
    for uid in ("one", "two"):
        api.add_documents(uid, [{"id": uid}])

    command = partial(run_alias_command, server)
    made = command("create", name, "one")
    assert made.startswith(f"{name} stands for one now, version 1. Reads and writes may name it")
    again = command("create", name, "one")
    assert again == f"1: miroir-ctl: Alias `{name}` already exists. Flip it instead. (miroir_alias_conflict)\n"
    for version, target in enumerate(("two", "one", "two"), start=2):
        assert command("flip", name, target).startswith(f"{name} stands for {target} now, version {version};")
    assert command("flip", name, "one", "--version", "1").startswith("1: miroir-ctl: Alias")
    assert "stands for one index, and stays so" in command("flip", name, "one", "two")
    server.server.kill()
    server.server.restart()
    assert api.search(name, "")["hits"] == [{"id": "two"}]
    rows = [line.split()[:3] for line in command("list").splitlines()]
    assert rows == [["name", "index", "version"], [name, "two", "4"]]
    assert [each["version"] for each in json.loads(command("history", name, "--json"))] == [4, 3]
    metrics = httpx.get(server.metrics_url, timeout=30).text
    assert f'miroir_alias_resolutions_total{{alias="{name}"}} 1.0' in metrics
    assert "two" in command("delete", name)
    assert api.request("GET", f"/indexes/{name}").status_code == 404


async def test_flips_and_a_kill_tear_nothing(cluster: Callable[..., Cluster], index_name: str) -> None:
    """Fifty clients by one alias: each batch lands in one index whole, each answer is of one index."""
    server = cluster(**SHAPE, fresh=True)
    names = (f"{index_name}_x", f"{index_name}_y")
    name = f"{index_name}_alias"
    seed(server.client, names)
    alias(server, name, names[0])
    load, stop = Load(), trio.Event()
    async with (
        server.client.concurrent(WRITERS + READERS) as client,
        server.admin.concurrent(1) as admin,
        trio.open_nursery() as nursery,
    ):
        for who in range(WRITERS):
            nursery.start_soon(write, client, load, who, (name,), stop)
        for _ in range(READERS):
            nursery.start_soon(read, client, load, name, stop)
        for turn in range(1, 9):
            sent = await admin.put(f"/_miroir/aliases/{name}", json={"current_uid": names[turn % 2]})
            assert sent.status_code == 200, sent.text
            await load.goes_on(30, 10)
            if turn == 4:
                server.server.kill()
                server.server.restart()
        stop.set()
    assert not load.torn, load.torn[:3]
    assert load.sides == {"left", "right"}
    _judge(server.client, load, names)


async def test_flips_of_several_tear_nothing(cluster: Callable[..., Cluster], index_name: str) -> None:
    """The same where readers have an alias for two indexes: each answer is of both, or of the other two."""
    server = cluster(**SHAPE)
    api, name = server.client, f"{index_name}_alias"
    sides = {side: [f"{index_name}_{side}{number}" for number in range(2)] for side in ("left", "right")}
    for side, names in sides.items():
        for place, uid in enumerate(names):
            api.create_index(uid, "id")
            api.update_settings(uid, {"filterableAttributes": ["seed", "batch"]})
            numbers = range(place, SEEDS, 2)
            api.add_documents(uid, [{"id": f"seed{number}", "seed": True, "side": side} for number in numbers])
    alias(server, f"{name}_write", sides["left"][0])
    server.admin.post("/_miroir/aliases", {"name": name, "target_uids": sides["left"]})
    load, stop = Load(), trio.Event()
    async with (
        api.concurrent(WRITERS + READERS) as client,
        server.admin.concurrent(1) as admin,
        trio.open_nursery() as nursery,
    ):
        for who in range(WRITERS):
            nursery.start_soon(write, client, load, who, (f"{name}_write",), stop)
        for _ in range(READERS):
            nursery.start_soon(read, client, load, name, stop)
        for turn in range(1, 9):
            uids = sides["right" if turn % 2 else "left"]
            for path, body in ((f"{name}_write", {"current_uid": uids[0]}), (name, {"target_uids": uids})):
                sent = await admin.put(f"/_miroir/aliases/{path}", json=body)
                assert sent.status_code == 200, sent.text
            await load.goes_on(30, 10)
        stop.set()
    assert not load.torn, load.torn[:3]
    assert load.sides == {"left", "right"}
    await trio.to_thread.run_sync(_judge, api, load, (sides["left"][0], sides["right"][0]))


def _judge(api: Api, load: Load, names: tuple[str, str]) -> None:
    places = {uid: api.succeeded(uid, 120)["indexUid"] for _, uid in load.written.values()}
    held = {uid: batches_of(api, uid) for uid in names}
    for batch, (_, uid) in load.written.items():
        place = places[uid]
        other = names[1 - names.index(place)]
        assert held[place].get(batch) == 8, batch
        assert batch not in held[other], batch
    assert set(places.values()) == set(names)


def test_keys_and_tokens_go_by_the_name_that_is_used(server: Cluster, index_name: str) -> None:
    """A token's rule for an alias filters what is found by it, and opens nothing else."""
    api, name, uid = server.client, f"{index_name}_alias", f"{index_name}_own"
    api.create_index(uid, "id")
    api.update_settings(uid, {"filterableAttributes": ["owner"]})
    api.add_documents(uid, [{"id": number, "owner": number % 2} for number in range(10)])
    alias(server, name, uid)
    key = api.post("/keys", {"actions": ["search"], "indexes": [name], "expiresAt": None})
    (token,) = signed([key], {"searchRules": {name: {"filter": "owner = 1"}}})
    for credential, found in ((key["key"], 10), (token, 5)):
        as_tenant = api.with_key(credential)
        assert as_tenant.search(name, "")["estimatedTotalHits"] == found
        (side,) = as_tenant.post("/multi-search", {"queries": [{"indexUid": name}]})["results"]
        assert side["estimatedTotalHits"] == found
        assert refusal(as_tenant.request("POST", f"/indexes/{uid}/search", json={})) == (403, "invalid_api_key")
        as_tenant.close()
