"""An in-memory stand-in for `NodeClient`: it does as it is told, and remembers what it was asked.

For unit tests of what Miroir makes of a node's answers. What nodes really answer is tested on real nodes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import trio

from miroir.cluster import Cluster, Thresholds, Topology
from miroir.http import Pool
from miroir.nodes import Accepted, Identity, NodeCall, NodeClient, Observer, Outcome
from miroir.store import IndexRow, TopologyRow
from miroir.store.sqlite import SqliteStore, open_sqlite
from miroir.store.sqlite.backend import wall_clock_us

INDEX = "books"


class MemoryNode(NodeClient):
    """A stand-in for a node, told what to do by its attributes."""

    def __init__(self, node_id: str, address: str, observe: Observer) -> None:
        super().__init__(node_id, Pool(address), observe)
        self.received: list[NodeCall] = []
        self.answers: deque[Outcome] = deque()
        """What it says to the next writes; after those it accepts."""
        self.before_answering: Callable[[NodeCall], Awaitable[None]] | None = None
        self.task_uids = count(100)
        self.disk: Identity | None = None
        self.highest = -1
        self.failure: Exception | None = None
        """Raised by every read and by `write_identity` as long as it is set."""
        self.silent = False
        """It answers no read, and never will."""
        self.probes = 0

    async def enqueue(self, call: NodeCall) -> Outcome:
        self.received.append(call)
        if self.before_answering is not None:
            await self.before_answering(call)
        else:
            await trio.lowlevel.checkpoint()
        return self.answers.popleft() if self.answers else Accepted(next(self.task_uids))

    async def identity(self) -> Identity | None:
        self.probes += 1
        await self._read()
        return self.disk

    async def highest_task_uid(self) -> int:
        await self._read()
        return self.highest

    async def write_identity(self, identity: Identity) -> None:
        await self._read()
        self.disk = identity
        self.highest += 1

    async def _read(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.silent:
            await trio.sleep_forever()
        if self.failure is not None:
            raise self.failure


@dataclass
class Fleet:
    """A real store, a cluster, and stand-ins for its nodes."""

    store: SqliteStore
    cluster: Cluster
    nodes: dict[str, MemoryNode] = field(default_factory=dict)

    def all_identified(self) -> None:
        """As after a first look at healthy nodes."""
        for node in self.nodes:
            self.cluster.node_identified(node, f"life of {node}")
            self.cluster.node_answered(node)

    async def add_index(self, shards: int, in_sync: dict[int, frozenset[str]] | None = None) -> None:
        """An index called `INDEX`; all owners hold it, unless said otherwise."""
        copies = in_sync or self.cluster.placement(shards).copies()
        now = "2026-03-01T12:00:00Z"
        row = IndexRow(INDEX, INDEX, "id", shards, b"{}", 0, False, now, now)
        _, inserted = await self.store.insert_index(row, copies)
        assert inserted

    async def repairs(self) -> set[tuple[int, str | None]]:
        """What is queued: (shard, node), or (shard, None) for a verification."""
        return {(repair.shard, repair.node) for repair in await self.store.list_repairs()}


@asynccontextmanager
async def fleet(folder: Path, topology: Topology, clock_us: Callable[[], int] = wall_clock_us) -> AsyncIterator[Fleet]:
    """The topology is in the store; nobody has looked at the nodes yet."""
    store = await open_sqlite(folder / "store.db", clock_us=clock_us)
    nodes: dict[str, MemoryNode] = {}

    def connect(node_id: str, address: str, observe: Observer) -> NodeClient:
        nodes[node_id] = MemoryNode(node_id, address, observe)
        return nodes[node_id]

    try:
        await store.save_topology(TopologyRow(topology.version, topology.to_json()))
        cluster = Cluster(topology, connect, thresholds=Thresholds(3, 2), latency_half_life_ms=5000.0)
        store.watch_in_sync(cluster.apply_in_sync)
        yield Fleet(store, cluster, nodes)
    finally:
        with trio.CancelScope(shield=True):
            await store.aclose()
