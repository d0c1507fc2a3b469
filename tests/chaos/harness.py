"""One seeded run: writers, readers and a schedule of faults over real processes, then rest, then judgement."""

from __future__ import annotations

import os
import random
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import trio
import yaml

from miroir.cli.dev_server import merged
from tests.chaos.crashing_server import STEPS
from tests.chaos.history import ABSENT, Attempt, History
from tests.chaos.proxy import Proxy
from tests.client import StampGuard, eventually
from tests.nodes import MASTER_KEY, Cluster, RealServer

KEYS_PER_WRITER = 8
WRITERS = 3
REST_S = 120.0

HASTY: dict[str, Any] = {
    "scatter": {"node_timeout_ms": 800},
    "server": {"request_timeout_ms": 3000, "shutdown_grace_s": 1},
    "rebalancer": {"cutover_hold_ms": 2000},
}


class CrashingServer(RealServer):
    """Miroir that can be told to die at a step of a write."""

    @property
    def crash_file(self) -> Path:
        return self.directory / "crash"

    def crash_at(self, step: str, count: int) -> None:
        """Die when that step is come to for the `count`-th time from now."""
        self.disturbed = True
        self.crash_file.write_text(f"{step} {count}")

    def start(self) -> None:
        self.crash_file.unlink(missing_ok=True)
        file = self.directory / "miroir.yaml"
        file.write_text(yaml.safe_dump(dict(self.config), sort_keys=False), encoding="utf-8")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MIROIR_")}
        command = [sys.executable, "-m", "tests.chaos.crashing_server", "serve", "--config", str(file)]
        extra = {"CHAOS_CRASH_FILE": str(self.crash_file), "PYTHONPATH": str(Path(__file__).parents[2])}
        self.spawn(command, {**environment, **extra, **self.keys.environment()}, self.directory)


class ChaosCluster(Cluster):
    """A cluster with a proxy before each node and a server that crashes on demand."""

    def __init__(self, directory: Path, *, groups: int, nodes: int, rf: int, over: Mapping[str, Any] = HASTY) -> None:
        super().__init__(directory, StampGuard(), groups=groups, nodes=nodes, rf=rf, shards=8, over=over)
        self.proxies = [Proxy(node.port) for node in self.nodes]
        entries = [
            {"id": node.node_id, "address": proxy.address, "replica_group": number * groups // len(self.nodes)}
            for number, (node, proxy) in enumerate(zip(self.nodes, self.proxies, strict=True))
        ]
        config = merged(self.server.config, {"miroir": {"nodes": entries}})
        self.server: CrashingServer = CrashingServer(directory, config, self.server.keys)

    def close(self) -> None:
        super().close()
        for proxy in self.proxies:
            proxy.close()


class Run:
    """One seed on a running cluster, on an index of its own."""

    def __init__(self, cluster: ChaosCluster, seed: int) -> None:
        self.cluster = cluster
        self.seed = seed
        self.rng = random.Random(seed)
        self.index = f"chaos-{seed}"
        self.history = History()
        self.log: list[str] = []
        self._over = trio.Event()
        self._versions = 0

    async def run(self) -> History:
        """Do everything; what went wrong is in the history's violations."""
        limits = httpx.Limits(max_connections=50)
        headers = {"authorization": f"Bearer {MASTER_KEY}"}
        async with httpx.AsyncClient(
            base_url=self.cluster.server.address, headers=headers, timeout=20.0, limits=limits
        ) as client:
            await self._create(client)
            async with trio.open_nursery() as nursery:
                for number in range(WRITERS):
                    nursery.start_soon(self._write, client, number)
                nursery.start_soon(self._read, client)
                await self._hurt()
                self._over.set()
            await self._rest(client)
            await self._judge(client)
        return self.history

    # -- load --------------------------------------------------------------------------------------------------------

    async def _write(self, client: httpx.AsyncClient, number: int) -> None:
        rng = random.Random(f"{self.seed}-{number}")
        names = [f"w{number}-{each}" for each in range(KEYS_PER_WRITER)]
        while not self._over.is_set():
            chosen = rng.sample(names, rng.randint(1, 4))
            delete = rng.random() < 0.25
            self._versions += 1
            attempt = Attempt(ABSENT if delete else self._versions)
            for name in chosen:
                self.history.key(name).attempts.append(attempt)
            path = f"/indexes/{self.index}/documents"
            try:
                if delete:
                    answer = await client.post(f"{path}/delete-batch", json=chosen)
                else:
                    answer = await client.post(path, json=[{"id": name, "v": self._versions} for name in chosen])
            except httpx.HTTPError:
                await trio.sleep(0.1)
                continue
            if answer.status_code != 202:
                if answer.status_code not in (503, 504):
                    self.history.violations.append(f"a write was answered {answer.status_code}: {answer.text}")
                await trio.sleep(0.05)
                continue
            attempt.acknowledged = True
            uid = answer.json()["taskUid"]
            self.history.tasks.append(uid)
            if rng.random() < 0.6:
                attempt.settled = await self._succeeds(client, uid)
            await trio.sleep(rng.random() * 0.05)

    async def _succeeds(self, client: httpx.AsyncClient, uid: int) -> bool:
        """Whether the task was seen to succeed before the faults were over."""
        while not self._over.is_set():
            try:
                status = (await client.get(f"/tasks/{uid}")).json()["status"]
            except (httpx.HTTPError, KeyError, ValueError):
                status = "unknown"
            if status == "succeeded":
                return True
            await trio.sleep(0.03)
        return False

    async def _read(self, client: httpx.AsyncClient) -> None:
        while not self._over.is_set():
            expected = self.history.expectations()
            try:
                answer = await client.post(f"/indexes/{self.index}/search", json={"limit": 1000})
            except httpx.HTTPError:
                await trio.sleep(0.05)
                continue
            if answer.status_code == 200 and "x-miroir-degraded" not in answer.headers:
                hits = [(hit["id"], hit["v"]) for hit in answer.json()["hits"]]
                self.history.check_search(expected, hits, f"search during {self.log[-1] if self.log else 'calm'}")
            await trio.sleep(0.02)

    # -- faults ------------------------------------------------------------------------------------------------------

    async def _hurt(self) -> None:
        await trio.sleep(0.3)
        for _ in range(2):
            kind = self.rng.choice(("kill node", "pause node", "cut", "hang", "kill server", *["crash server"] * 3))
            number = self.rng.randrange(len(self.cluster.nodes))
            lasting = self.rng.uniform(0.2, 1.2)
            step, count = self.rng.choice(STEPS), self.rng.randint(1, 4)
            self.log.append(f"{kind} {number if 'server' not in kind else ''} {step if kind == 'crash server' else ''}")
            await self._fault(kind, number, lasting, step, count)
            await trio.sleep(self.rng.uniform(0.1, 0.5))

    async def _fault(self, kind: str, number: int, lasting_s: float, step: str, count: int) -> None:
        node, proxy, server = self.cluster.nodes[number], self.cluster.proxies[number], self.cluster.server
        if kind == "kill node":
            node.kill()
            await trio.sleep(lasting_s)
            node.start()
            await trio.to_thread.run_sync(node.wait_serving)
        elif kind == "pause node":
            node.pause()
            await trio.sleep(lasting_s)
            node.resume()
        elif kind in ("cut", "hang"):
            (proxy.cut if kind == "cut" else proxy.hang)()
            await trio.sleep(lasting_s)
            proxy.heal()
        else:
            if kind == "crash server":
                server.crash_at(step, count)
                with trio.move_on_after(1.5):
                    while server.running:
                        await trio.sleep(0.01)
            server.kill()
            server.start()
            await trio.to_thread.run_sync(server.wait_serving)

    # -- judgement ---------------------------------------------------------------------------------------------------

    async def _rest(self, client: httpx.AsyncClient) -> None:
        async def at_rest() -> bool:
            if self._pending("intents") or self._pending("repairs"):
                return False
            shards = await self._admin("/_miroir/shards", index=self.index)
            whole = all(group["read_owners"] == group["write_owners"] for each in shards for group in each["groups"])
            open_tasks = await client.get("/tasks", params={"statuses": "enqueued,processing", "limit": 1})
            return whole and open_tasks.json()["total"] == 0

        await eventually(at_rest, REST_S, f"seed {self.seed} at rest after {self.log}")

    def _pending(self, table: str) -> int:
        """Rows of a table of the store's file, read beside the running server."""
        with closing(sqlite3.connect(f"file:{self.cluster.directory / 'miroir.db'}?mode=ro", uri=True)) as store:
            count: int = store.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            return count

    async def _admin(self, path: str, **params: Any) -> Sequence[dict[str, Any]]:
        found = await trio.to_thread.run_sync(lambda: self.cluster.admin.get(path, **params))
        shards: Sequence[dict[str, Any]] = found["shards"]
        return shards

    async def _judge(self, client: httpx.AsyncClient) -> None:
        for _ in range(3):
            hits = await self._all(client)
            self.history.check_search({}, hits, "search at rest")
            self.history.check_rest(dict(hits))
        for uid in self.history.tasks:
            task = (await client.get(f"/tasks/{uid}")).json()
            if task.get("status") != "succeeded":
                self.history.violations.append(f"acknowledged task {uid} is {task}")
        self._compare_copies()

    def _compare_copies(self) -> None:
        """I4, asked of the nodes themselves."""
        by_shard: dict[str, dict[str, dict[str, str]]] = {}
        for node in self.cluster.nodes:
            listed = node.api.post(f"/indexes/{self.index}/documents/fetch", {"limit": 10_000})["results"]
            for each in listed:
                copies_of = by_shard.setdefault(each["_miroir_shard"], {})
                copies_of.setdefault(node.node_id, {})[each["id"]] = f"{each['_miroir_seq']} {each['v']}"
        copies = self.cluster.rf * self.cluster.groups
        for shard, contents in by_shard.items():
            stored = list(contents.values())
            if len(stored) != copies or any(each != stored[0] for each in stored):
                self.history.violations.append(f"copies of shard {shard!r} differ: {contents}")

    async def _all(self, client: httpx.AsyncClient) -> list[tuple[str, Any]]:
        """Every document, by a search that is whole: a busy machine may answer in part, and says so."""
        answers: list[httpx.Response] = []

        async def whole() -> bool:
            answers.append(await client.post(f"/indexes/{self.index}/search", json={"limit": 1000}))
            return answers[-1].status_code == 200 and "x-miroir-degraded" not in answers[-1].headers

        await eventually(whole, what="a whole answer at rest")
        return [(hit["id"], hit["v"]) for hit in answers[-1].json()["hits"]]

    async def _create(self, client: httpx.AsyncClient) -> None:
        answers: list[httpx.Response] = []

        async def taken() -> bool:
            answers.append(await client.post("/indexes", json={"uid": self.index, "primaryKey": "id"}))
            return answers[-1].status_code == 202

        await eventually(taken, what="the creation taken")
        uid = answers[-1].json()["taskUid"]

        async def done() -> bool:
            task = (await client.get(f"/tasks/{uid}")).json()
            return bool(task["status"] == "succeeded")

        await eventually(done, what="the index created")
