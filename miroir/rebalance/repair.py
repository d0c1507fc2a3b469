"""Repair: copies that missed something are brought back, and copies nobody can vouch for are compared.

Two cases, and the second turns into the first:

refill   a copy left `in_sync`. It is filled up from one that is trusted, in rounds over a shard that goes on changing,
         until a round under a hold finds nothing to do; then it joins `in_sync` again.
verify   a write began and nobody knows how it ended. Every trusted copy has all that was ever acknowledged, so any of
         them is right; those that differ from the chosen one leave `in_sync`, and are refilled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import msgspec
import trio

from miroir.cluster import Cluster, Holds, Lanes
from miroir.http import ExchangeError
from miroir.indexes import Index, IndexService, Registry
from miroir.nodes import Accepted, NodeAnswerError, NodeCall
from miroir.rebalance.copies import Difference, batches, compare, guarded_deletion, landed, read_versions
from miroir.stamps import SEQ_FIELD, shard_filter
from miroir.store import MappingChanged, Repair, Store, TaskRow
from miroir.tasks import TaskTracker
from miroir.telemetry import get_logger

_log = get_logger(__name__)

_IDLE_S: Final = 0.5
_BACK_OFF_S: Final = 2.0
_ROUNDS: Final = 20
_LIST_LIMIT: Final = 1 << 31
_BATCH_BYTES: Final = 16 << 20
_DELETE_AT_ONCE: Final = 1000
_POLL_S: Final = 0.02


class RepairFailed(Exception):
    """This attempt did not get through; the queue keeps the repair for another."""


@dataclass(frozen=True, slots=True)
class RepairOptions:
    """`cutover_hold_ms`: how long writes may be held to compare for the last time. `batch_size`: documents a fetch."""

    cutover_hold_ms: int
    batch_size: int


class Repairer:
    """Works the store's queue of repairs off."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        registry: Registry,
        indexes: IndexService,
        tracker: TaskTracker,
        holds: Holds,
        lanes: Lanes,
        options: RepairOptions,
        *,
        peer: str,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._registry = registry
        self._indexes = indexes
        self._tracker = tracker
        self._holds = holds
        self._lanes = lanes
        self._options = options
        self._peer = peer
        tracker.on_settled(self._settled)

    async def run(self) -> None:
        """Repair for ever. A worker for the supervisor."""
        while True:
            queue = await self._store.list_repairs()
            failed = False
            for (physical_uid, node), repairs in _grouped(queue).items():
                try:
                    await self._repair(physical_uid, node, repairs)
                except (RepairFailed, ExchangeError, NodeAnswerError, msgspec.DecodeError) as failure:
                    failed = True
                    _log.info("repair put off", index=physical_uid, node_id=node, reason=str(failure))
            await trio.sleep(_BACK_OFF_S if failed else _IDLE_S)

    async def _repair(self, physical_uid: str, node: str | None, repairs: Sequence[Repair]) -> None:
        index = self._registry.behind(physical_uid)
        if index is None:
            await self._finish(repairs)
            return
        shards = tuple(sorted({repair.shard for repair in repairs}))
        if node is None:
            await self._verify(index, shards)
        else:
            await self._refill(index, shards, node)
        await self._finish(repairs)
        await self._drop_tombstones(physical_uid)

    async def _finish(self, repairs: Iterable[Repair]) -> None:
        for repair in repairs:
            await self._store.finish_repair(repair)

    # -- verify ------------------------------------------------------------------------------------------------------

    async def _verify(self, index: Index, shards: tuple[int, ...]) -> None:
        placement = self._cluster.placement(index.row.shards)
        owners = {node for shard in shards for node in placement.owners[shard]}
        for node in sorted(owners):
            if self._cluster.usable(node):
                await self._ensure_index(index, node)
        in_sync = self._cluster.in_sync(index.physical_uid)
        trusted = {node for shard in shards for node in in_sync.get(shard, ())}
        missing = sorted(node for node in trusted if node in self._cluster.clients and not self._cluster.usable(node))
        lost: defaultdict[int, set[str]] = defaultdict(set)
        async with self._held(index, shards, sorted(trusted - set(missing))):
            for shard in shards:
                copies = sorted(in_sync.get(shard, frozenset()).difference(missing))
                versions = {node: await self._versions(index, (shard,), node) for node in copies}
                if not versions:
                    continue
                newest = max(copies, key=lambda node: (max(versions[node].values(), default=""), len(versions[node])))
                for node in copies:
                    if compare(versions[newest], versions[node]):
                        lost[shard].add(node)
            if lost:
                left = {shard: frozenset(nodes) for shard, nodes in lost.items()}
                _log.warning("copies differ", index=index.uid, shards=sorted(left))
                changed = await self._store.leave_in_sync(index.physical_uid, left, "copies differed")
                self._cluster.apply_in_sync(index.physical_uid, changed)
        if missing:
            raise RepairFailed(f"copies on {', '.join(missing)} could not be compared yet")

    # -- refill ------------------------------------------------------------------------------------------------------

    async def _refill(self, index: Index, shards: tuple[int, ...], node: str) -> None:
        if node not in self._cluster.clients:
            return
        if not self._cluster.usable(node):
            raise RepairFailed("the node is away")
        await self._ensure_index(index, node)
        for source, part in self._sources(index, shards, node).items():
            await self._refill_from(index, part, source, node)

    def _sources(self, index: Index, shards: Sequence[int], node: str) -> dict[str, tuple[int, ...]]:
        in_sync = self._cluster.in_sync(index.physical_uid)
        sources: defaultdict[str, list[int]] = defaultdict(list)
        for shard in shards:
            trusted = in_sync.get(shard, frozenset())
            if node in trusted:
                continue
            usable = sorted(each for each in trusted if each in self._cluster.clients and self._cluster.usable(each))
            if not usable:
                raise RepairFailed(f"no trusted copy of shard {shard} can be reached")
            sources[usable[0]].append(shard)
        return {source: tuple(part) for source, part in sources.items()}

    async def _refill_from(self, index: Index, shards: tuple[int, ...], source: str, node: str) -> None:
        for _ in range(_ROUNDS):
            await self._copy_round(index, shards, source, node)
            async with self._held(index, shards, (source, node)) as operation:
                if not await self._difference(index, shards, source, node):
                    await self._join(index, shards, node, operation)
                    _log.info("copies refilled", index=index.uid, node_id=node, shards=list(shards))
                    return
        raise RepairFailed(f"the copies on {node} did not catch up in {_ROUNDS} rounds")

    async def _join(self, index: Index, shards: tuple[int, ...], node: str, operation: str) -> None:
        try:
            for shard in shards:
                copies = await self._store.join_in_sync(index.physical_uid, shard, node, operation)
                self._cluster.apply_in_sync(index.physical_uid, {shard: copies})
        except MappingChanged as failure:
            raise RepairFailed(f"the hold did not last: {failure}") from None

    async def _copy_round(self, index: Index, shards: tuple[int, ...], source: str, node: str) -> None:
        """Bring the copy up to what the source has now. What changes meanwhile is for the next round."""
        primary_key = index.row.primary_key
        if primary_key is None:
            return
        before = await self._store.issue_stamp()
        difference = await self._difference(index, shards, source, node)
        size = self._options.batch_size
        for start in range(0, len(difference.to_copy), size):
            keys = difference.to_copy[start : start + size]
            fetched = await self._cluster.clients[source].fetch_documents(index.physical_uid, keys)
            stamp = await self._store.issue_stamp()
            documents = [landed(bytes(raw), stamp) for raw in fetched.results]
            target = f"/indexes/{quote(index.physical_uid)}/documents?primaryKey={quote(primary_key)}"
            for body in batches(documents, _BATCH_BYTES):
                await self._carry_out(index, node, [NodeCall("repair", "POST", target, body)])
        for start in range(0, len(difference.to_delete), _DELETE_AT_ONCE):
            keys = difference.to_delete[start : start + _DELETE_AT_ONCE]
            filter = guarded_deletion(keys, primary_key, shards, before)
            body = msgspec.json.encode({"filter": filter})
            target = f"/indexes/{quote(index.physical_uid)}/documents/delete"
            await self._carry_out(index, node, [NodeCall("repair", "POST", target, body)])

    async def _difference(self, index: Index, shards: tuple[int, ...], source: str, node: str) -> Difference:
        truth = await self._versions(index, shards, source)
        return compare(truth, await self._versions(index, shards, node))

    async def _versions(self, index: Index, shards: tuple[int, ...], node: str) -> dict[str, str]:
        primary_key = index.row.primary_key
        if primary_key is None:
            return {}
        try:
            listing = await self._cluster.clients[node].list_documents(
                index.physical_uid, shard_filter(shards), (primary_key, SEQ_FIELD), _LIST_LIMIT
            )
        except NodeAnswerError as failure:
            if failure.status == 404:
                return {}
            raise
        return read_versions(map(bytes, listing.results), primary_key)

    # -- both --------------------------------------------------------------------------------------------------------

    async def _ensure_index(self, index: Index, node: str) -> None:
        """The index and its settings, on that node. What is there already stays as it is."""
        await self._carry_out(index, node, self._indexes.creation_calls(index), may_fail=1)

    async def _carry_out(self, index: Index, node: str, calls: Sequence[NodeCall], *, may_fail: int = 0) -> None:
        """Send calls in order, in the index's lane, and wait until the node has done them.

        The first `may_fail` tasks may end failed: the index exists already.
        """
        client = self._cluster.clients[node]
        place = self._lanes.join(node, index.physical_uid)
        uids = []
        try:
            await place.turn()
            for call in calls:
                outcome = await client.enqueue(call)
                if not isinstance(outcome, Accepted):
                    raise RepairFailed(f"{node} did not take the {call.operation}: {outcome}")
                uids.append(outcome.task_uid)
        finally:
            place.leave()
        for number, uid in enumerate(uids):
            task = await client.finished(uid)
            if task.status != "succeeded" and number >= may_fail:
                raise RepairFailed(f"task {uid} on {node} {task.status}: {task.error}")

    @asynccontextmanager
    async def _held(self, index: Index, shards: tuple[int, ...], nodes: Sequence[str]) -> AsyncIterator[str]:
        """Writes to the shards held, and everything before them done on these nodes. Yields the hold's operation."""
        operation = f"repair:{self._peer}:{shards[0]}"
        hold_ms = self._options.cutover_hold_ms
        async with self._holds.hold(operation, index.physical_uid, shards, hold_ms):
            with trio.move_on_after(hold_ms / 1000.0) as patience:
                await self._quiesce(index, shards, nodes)
                yield operation
        if patience.cancelled_caught:
            raise RepairFailed(f"the shards did not come to rest within {hold_ms} ms")

    async def _quiesce(self, index: Index, shards: tuple[int, ...], nodes: Sequence[str]) -> None:
        """Wait until no write is under way: no intent open on these shards, nothing of the index in a queue."""

        async def is_busy() -> bool:
            intents = [each for each in await self._store.open_intents() if each.physical_uid == index.physical_uid]
            if any(not wanted.isdisjoint(intent.shards) for intent in intents):
                return True
            return any([bool(await self._cluster.clients[node].unfinished(index.physical_uid)) for node in nodes])

        wanted = set(shards)
        while await is_busy():  # noqa: ASYNC110 - what is waited for happens on nodes and in other processes
            await trio.sleep(_POLL_S)

    # -- tombstones --------------------------------------------------------------------------------------------------

    async def _settled(self, task: TaskRow) -> None:
        if task.type == "documentDeletion" and task.physical_uid is not None:
            await self._drop_tombstones(task.physical_uid)

    async def _drop_tombstones(self, physical_uid: str) -> None:
        """A deletion need not be remembered once its task is settled and no copy of the index is behind."""
        if any(repair.physical_uid == physical_uid for repair in await self._store.list_repairs()):
            return
        open_stamps = {task.stamp for task in self._tracker.open_tasks}
        open_stamps |= {intent.stamp for intent in await self._store.open_intents()}
        for tombstone in await self._store.list_tombstones(physical_uid):
            if tombstone.stamp not in open_stamps:
                await self._store.drop_tombstone(tombstone.stamp)


def _grouped(queue: Iterable[Repair]) -> dict[tuple[str, str | None], list[Repair]]:
    """By physical index and node; verifications before refills, for they decide which copies need one."""
    groups: defaultdict[tuple[str, str | None], list[Repair]] = defaultdict(list)
    for repair in queue:
        groups[repair.physical_uid, repair.node].append(repair)
    return dict(sorted(groups.items(), key=lambda group: (group[0][1] is not None, group[0][0], group[0][1] or "")))
