"""Repair: copies that missed something are brought back, and copies nobody can vouch for are compared.

Two cases, and the second turns into the first:

refill   a copy left `in_sync`. It is filled up from one that is trusted, in rounds over a shard that goes on changing,
         until a round under a hold finds nothing to do; then it joins `in_sync` again.
verify   a write began and nobody knows how it ended. Every trusted copy has all that was ever acknowledged, so the one
         with the newest document is taken for right; those that differ from it leave `in_sync`, and are refilled.

Shards that are behind are filled together, and join one by one, so that a hold is short. What does not get through is
put off, longer each time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import msgspec
import trio

from miroir.cluster import Cluster, Holds
from miroir.http import ExchangeError
from miroir.indexes import Index, Registry
from miroir.nodes import NodeAnswerError
from miroir.rebalance.copies import compare, shares
from miroir.rebalance.node_copy import NodeCopies, RepairFailed
from miroir.stamps import last_change
from miroir.store import MappingChanged, Repair, Store, StoreError
from miroir.tasks import TaskTracker
from miroir.telemetry import get_logger

_log = get_logger(__name__)

_IDLE_S: Final = 0.5
_BACK_OFF_S: Final = 1.0
_LONGEST_BACK_OFF_S: Final = 60.0
_ROUNDS: Final = 20
_POLL_S: Final = 0.02
_LISTED_AT_ONCE: Final = 500_000
"""Keys: two seconds of a node's work, 100 MB here."""


@dataclass(slots=True)
class _PutOff:
    """A repair that did not get through: when to try again, and how long the next pause is."""

    until: float
    pause_s: float


class Repairer:
    """Works the store's queue of repairs off. `hold_ms`: how long writes may be held to compare for the last time."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        registry: Registry,
        tracker: TaskTracker,
        holds: Holds,
        copies: NodeCopies,
        *,
        peer: str,
        hold_ms: int,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._registry = registry
        self._tracker = tracker
        self._holds = holds
        self._copies = copies
        self._peer = peer
        self._hold_ms = hold_ms
        self._put_off: dict[tuple[str, str | None], _PutOff] = {}

    async def run(self) -> None:
        """Repair for ever. A worker for the supervisor."""
        await self._look_at_indexes()
        while True:
            groups = _grouped(await self._store.list_repairs())
            for key in self._put_off.keys() - groups.keys():
                del self._put_off[key]
            for key, repairs in groups.items():
                waiting = self._put_off.get(key)
                if waiting is None or waiting.until <= trio.current_time():
                    await self._attempt(key, repairs)
            await trio.sleep(_IDLE_S)

    async def _look_at_indexes(self) -> None:
        """Queue every index that some node lacks: a process before us was cut short."""
        for index in self._registry.all():
            for node in self._owners(index):
                try:
                    is_there = await self._copies.has_index(index, node)
                except (RepairFailed, ExchangeError, NodeAnswerError, msgspec.DecodeError):
                    continue  # it will be looked at when it is back and something is asked of it
                if not is_there:
                    _log.warning("index is missing", index=index.uid, node_id=node)
                    shards: dict[int, str | None] = dict.fromkeys(range(index.row.shards))
                    since = await self._store.issue_stamp()
                    await self._store.queue_repairs(index.physical_uid, shards, "found wanting", since=since)
                    break

    async def _attempt(self, key: tuple[str, str | None], repairs: Sequence[Repair]) -> None:
        physical_uid, node = key
        try:
            await self._repair(physical_uid, node, repairs)
        except (RepairFailed, ExchangeError, NodeAnswerError, StoreError, msgspec.DecodeError, ValueError) as failure:
            pause = min(self._put_off[key].pause_s * 2, _LONGEST_BACK_OFF_S) if key in self._put_off else _BACK_OFF_S
            self._put_off[key] = _PutOff(trio.current_time() + pause, pause)
            _log.info("repair put off", index=physical_uid, node_id=node, reason=str(failure), retry_in_s=pause)
        else:
            self._put_off.pop(key, None)

    async def _repair(self, physical_uid: str, node: str | None, repairs: Sequence[Repair]) -> None:
        ensured = False
        for repair in repairs:
            index = self._registry.behind(physical_uid)
            if index is None:
                await self._store.finish_repair(repair)
                continue
            if node is None:
                trusted = self._reachable_copies(index, repair.shard)
                if not ensured:
                    for owner in self._owners(index):
                        await self._copies.ensure_index(physical_uid, owner)
                await self._verify(index, repair, trusted)
            elif node in self._cluster.clients and node not in self._trusted(index, repair.shard):
                source = self._source(index, repair.shard, node)
                if not ensured:
                    await self._copies.ensure_index(physical_uid, node)
                    await self._fill(index, repairs, node)
                await self._refill(index, repair, source, node)
            ensured = True
            await self._store.finish_repair(repair)

    # -- whom to ask -------------------------------------------------------------------------------------------------

    def _trusted(self, index: Index, shard: int) -> frozenset[str]:
        return self._cluster.in_sync(index.physical_uid).get(shard, frozenset())

    def _owners(self, index: Index) -> list[str]:
        return [node for node in self._cluster.placement(index.row.shards).node_ids if self._cluster.usable(node)]

    def _reachable_copies(self, index: Index, shard: int) -> list[str]:
        """The trusted copies, all of them there to be compared; one that is not may differ."""
        trusted = sorted(self._trusted(index, shard))
        away = [node for node in trusted if node in self._cluster.clients and not self._cluster.usable(node)]
        if away:
            raise RepairFailed(f"the copies on {', '.join(away)} cannot be compared yet")
        return [node for node in trusted if node in self._cluster.clients]

    def _source(self, index: Index, shard: int, node: str) -> str:
        if not self._cluster.usable(node):
            raise RepairFailed("the node is away")
        for source in sorted(self._trusted(index, shard)):
            if source in self._cluster.clients and self._cluster.usable(source):
                return source
        raise RepairFailed(f"no trusted copy of shard {shard} can be reached")

    # -- verify ------------------------------------------------------------------------------------------------------

    async def _verify(self, index: Index, repair: Repair, trusted: Sequence[str]) -> None:
        if len(trusted) < 2:
            return
        shard = repair.shard
        async with self._held(index, shard, trusted):
            versions = {node: await self._copies.versions(index, (shard,), node) for node in trusted}
            newest = max(
                trusted,
                key=lambda node: (max(map(last_change, versions[node].values()), default=""), len(versions[node])),
            )
            differing = set()
            for node in trusted:
                if node == newest:
                    continue
                if compare(versions[newest], versions[node]) or await self._copies.contents_differ(
                    index, newest, node, versions[newest], versions[node], repair.since
                ):
                    differing.add(node)
            if differing:
                _log.warning("copies differ", index=index.uid, shard=shard, nodes=sorted(differing), right=newest)
                lost = {shard: frozenset(differing)}
                await self._store.leave_in_sync(index.physical_uid, lost, "copies differed", since=repair.since)

    # -- refill ------------------------------------------------------------------------------------------------------

    async def _fill(self, index: Index, repairs: Sequence[Repair], node: str) -> None:
        """Copy shards that are behind at once: a node does one large task much sooner than many small ones.

        All of them, or shares whose lists of keys are answered in time and can be held.
        """
        by_source: defaultdict[str, list[Repair]] = defaultdict(list)
        for repair in repairs:
            if node not in self._trusted(index, repair.shard):
                by_source[self._source(index, repair.shard, node)].append(repair)
        for source, part in by_source.items():
            since = min(repair.since for repair in part)
            shards = sorted(repair.shard for repair in part)
            documents = await self._copies.count(index, shards, source)
            for share in shares(shards, documents, _LISTED_AT_ONCE):
                before = await self._store.issue_stamp()
                await self._copies.copy(index, share, source, node, since=since, before=before)

    async def _refill(self, index: Index, repair: Repair, source: str, node: str) -> None:
        since = repair.since
        for _ in range(_ROUNDS):
            before = await self._store.issue_stamp()
            await self._copies.copy(index, (repair.shard,), source, node, since=since, before=before)
            since = before
            async with self._held(index, repair.shard, (source, node)) as operation:
                if not await self._copies.difference(index, (repair.shard,), source, node, since):
                    await self._join(index, repair.shard, node, operation, source)
                    return
        raise RepairFailed(f"the copy on {node} did not catch up in {_ROUNDS} rounds")

    async def _join(self, index: Index, shard: int, node: str, operation: str, source: str) -> None:
        try:
            await self._store.join_in_sync(index.physical_uid, shard, node, operation, source)
        except MappingChanged as failure:
            raise RepairFailed(str(failure)) from None
        _log.info("copy refilled", index=index.uid, shard=shard, node_id=node)

    # -- holding still -----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _held(self, index: Index, shard: int, nodes: Sequence[str]) -> AsyncIterator[str]:
        """Writes to the shard held, and all before them done and judged on these nodes. Yields the hold's operation."""
        operation = f"repair:{self._peer}"
        async with self._holds.hold(operation, index.physical_uid, (shard,), self._hold_ms):
            with trio.move_on_after(self._hold_ms / 1000.0) as patience:
                await self._quiesce(index, shard, nodes)
                yield operation
        if patience.cancelled_caught:
            raise RepairFailed(f"shard {shard} did not come to rest within {self._hold_ms} ms")

    async def _quiesce(self, index: Index, shard: int, nodes: Sequence[str]) -> None:
        """Wait for the writes to the shard that began before the hold: committed, done on these nodes, and settled.

        A copy whose acknowledged task has failed is trusted until that is settled; comparing before would take it for
        the truth.
        """

        async def is_written() -> bool:
            intents = await self._store.open_intents()
            return any(each.physical_uid == index.physical_uid and shard in each.shards for each in intents)

        while await is_written():  # noqa: ASYNC110 - what is waited for may happen in another process
            await trio.sleep(_POLL_S)
        open_tasks = [
            task.uid
            for task in self._tracker.open_tasks
            if task.physical_uid == index.physical_uid
            and any(shard in part.shards and part.node in nodes for part in task.node_tasks)
        ]
        for node in nodes:
            await self._copies.catch_up(index, node)
        for uid in open_tasks:
            await self._tracker.wait(uid)


def _grouped(queue: Iterable[Repair]) -> dict[tuple[str, str | None], list[Repair]]:
    """By physical index and node; verifications before refills, for they decide which copies need one."""
    groups: defaultdict[tuple[str, str | None], list[Repair]] = defaultdict(list)
    for repair in queue:
        groups[repair.physical_uid, repair.node].append(repair)
    return dict(sorted(groups.items(), key=lambda group: (group[0][1] is not None, group[0][0], group[0][1] or "")))
