"""Names change hands under fifty clients, and a kill: no write and no answer is of two indexes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import trio

from tests.client import Api, eventually
from tests.nodes import Cluster

SHAPE: dict[str, Any] = {"groups": 1, "nodes": 2, "rf": 2, "shards": 8}
WRITERS = 25
READERS = 25
SEEDS = 60
BATCH = 8


@dataclass
class Load:
    """What clients did and saw."""

    written: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Batch -> the name it was sent to, and its task."""
    torn: list[Any] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    sides: set[str] = field(default_factory=set)
    reads: int = 0

    async def goes_on(self, reads: int, writes: int) -> None:
        """Wait until so many more were answered."""
        reads, writes = self.reads + reads, len(self.written) + writes
        await eventually(lambda: self.reads >= reads and len(self.written) >= writes, 60)


def seed(api: Api, names: tuple[str, str]) -> None:
    """Two indexes, each of documents that say which it is; the name on the left is of side `left`."""
    for name, side in zip(names, ("left", "right"), strict=True):
        api.create_index(name, "id")
        api.update_settings(name, {"filterableAttributes": ["seed", "batch"]})
        api.add_documents(name, [{"id": f"seed{number}", "seed": True, "side": side} for number in range(SEEDS)])


async def write(client: httpx.AsyncClient, load: Load, who: int, names: tuple[str, ...], stop: trio.Event) -> None:
    """Batches to each name in turn, until told to stop. What was not answered may have happened or not."""
    number = 0
    while not stop.is_set():
        number += 1
        name, batch = names[number % len(names)], f"w{who}_{number}"
        documents = [{"id": f"{batch}_{place}", "batch": batch} for place in range(BATCH)]
        try:
            response = await client.post(f"/indexes/{name}/documents", json=documents)
        except httpx.TransportError:
            await trio.sleep(0.05)
            continue
        if response.status_code == 202:
            load.written[batch] = (name, response.json()["taskUid"])
        else:
            load.refused.append(response.text)


async def read(client: httpx.AsyncClient, load: Load, name: str, stop: trio.Event) -> None:
    """Every answer holds all the seeds of one index and none of the other's."""
    while not stop.is_set():
        try:
            response = await client.post(f"/indexes/{name}/search", json={"filter": "seed = true", "limit": SEEDS + 5})
        except httpx.TransportError:
            await trio.sleep(0.05)
            continue
        load.reads += 1
        if response.status_code != 200:
            if response.status_code != 503:  # a restarted server has not looked at its nodes yet
                load.torn.append(response.text)
            continue
        sides = [hit["side"] for hit in response.json()["hits"]]
        if len(sides) != SEEDS or len(set(sides)) != 1 or "x-miroir-degraded" in response.headers:
            load.torn.append(sides)
        load.sides.update(sides)


def batches_of(api: Api, name: str) -> dict[str, int]:
    """Batch -> how many of its documents the index has."""
    counts: dict[str, int] = {}
    found = api.get(f"/indexes/{name}/documents", limit=1_000_000, fields="batch")["results"]
    for document in found:
        if "batch" in document:
            counts[document["batch"]] = counts.get(document["batch"], 0) + 1
    return counts


def judge(api: Api, load: Load, names: tuple[str, str]) -> None:
    """Each acknowledged batch is whole in one index: that which its name stood for when its turn came."""
    swaps = api.get("/tasks", types="indexSwap", limit=1000)["results"]
    swaps = [task["uid"] for task in swaps if set(task["details"]["swaps"][0]["indexes"]) == set(names)]
    for uid in swaps:
        api.succeeded(uid, 120)
    for _, uid in load.written.values():
        api.succeeded(uid, 120)
    held = {name: batches_of(api, name) for name in names}
    for batch, (name, uid) in load.written.items():
        later = sum(swap > uid for swap in swaps)
        place = names[(names.index(name) + later) % 2]
        assert held[place].get(batch) == BATCH, (batch, name, uid, later)
        other = names[1 - names.index(place)]
        assert batch not in held[other], (batch, name, uid, later)


async def test_swaps_tear_nothing(cluster: Callable[..., Cluster], index_name: str) -> None:
    server = cluster(**SHAPE)
    names = (f"{index_name}_x", f"{index_name}_y")
    await trio.to_thread.run_sync(seed, server.client, names)
    load, stop = Load(), trio.Event()
    async with server.client.concurrent(WRITERS + READERS + 1) as client, trio.open_nursery() as nursery:
        for who in range(WRITERS):
            nursery.start_soon(write, client, load, who, names, stop)
        for who in range(READERS):
            nursery.start_soon(read, client, load, names[who % 2], stop)
        for _ in range(8):
            answer = await client.post("/swap-indexes", json=[{"indexes": list(names)}])
            assert answer.status_code == 202, answer.text
            await load.goes_on(25, 25)
        stop.set()
    assert not load.torn, load.torn[:3]
    assert not load.refused, load.refused[:3]  # a write waits for a swap, it does not fail
    assert load.sides == {"left", "right"}
    await trio.to_thread.run_sync(judge, server.client, load, names)


async def test_a_kill_amid_swaps_tears_nothing(cluster: Callable[..., Cluster], index_name: str) -> None:
    server = cluster(**SHAPE, fresh=True)
    names = (f"{index_name}_x", f"{index_name}_y")
    seed(server.client, names)
    load, stop = Load(), trio.Event()

    async def swap() -> None:
        while not stop.is_set():
            try:
                await client.post("/swap-indexes", json=[{"indexes": list(names)}])
            except httpx.TransportError:
                await trio.sleep(0.05)

    async with server.client.concurrent(WRITERS + READERS + 1) as client, trio.open_nursery() as nursery:
        for who in range(WRITERS):
            nursery.start_soon(write, client, load, who, names, stop)
        for who in range(READERS):
            nursery.start_soon(read, client, load, names[who % 2], stop)
        nursery.start_soon(swap)
        for _ in range(2):
            await load.goes_on(100, 50)
            server.server.kill()
            server.server.restart()
        await load.goes_on(100, 50)
        stop.set()
    assert not load.torn, load.torn[:3]
    assert load.sides == {"left", "right"}
    judge(server.client, load, names)
