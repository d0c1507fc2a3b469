"""What repair does to the copy of a shard on one node: list it, compare its contents, copy documents to it.

Every call to a node has a deadline, so that a node that hangs holds up nothing but its own repair. What is written goes
through the index's lane, and only while the physical index still stands for a name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar
from urllib.parse import quote

import msgspec
import trio

from miroir.cluster import Cluster
from miroir.indexes import Aligner, Index, NotAligned, Registry
from miroir.nodes import NodeAnswerError, NodeCall
from miroir.rebalance.copies import (
    Difference,
    batches,
    compare,
    doubtful,
    guarded_deletion,
    landed,
    portion,
    read_contents,
    read_versions,
)
from miroir.stamps import SEQ_FIELD, shard_filter
from miroir.store import Store

Value = TypeVar("Value")

_LIST_LIMIT: Final = 1 << 31
_BATCH_BYTES: Final = 16 << 20
_FIRST_FETCH: Final = 10
"""Documents may be of any size up to a whole body's, and an answer has a limit and a deadline."""
_DELETE_AT_ONCE: Final = 1000
_CALL_S: Final = 30.0


class RepairFailed(Exception):
    """This attempt did not get through; the queue keeps the repair for another."""


class NodeCopies:
    """Reads and changes copies on nodes. `batch_size`: documents a fetch, fewer of large ones."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        registry: Registry,
        aligner: Aligner,
        *,
        batch_size: int,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._registry = registry
        self._aligner = aligner
        self._batch_size = batch_size

    # -- reading -----------------------------------------------------------------------------------------------------

    async def versions(self, index: Index, shards: Sequence[int], node: str) -> dict[str, str]:
        """Key -> version of every document of these shards, at one instant; nothing where the index is not there."""
        primary_key = index.row.primary_key
        if primary_key is None:
            return {}
        client = self._cluster.clients[node]
        try:
            listing = await _in_time(
                node,
                lambda: client.list_documents(
                    index.physical_uid, shard_filter(shards), (primary_key, SEQ_FIELD), _LIST_LIMIT
                ),
            )
        except NodeAnswerError as failure:
            if failure.status == 404:
                return {}
            raise
        return await trio.to_thread.run_sync(read_versions, [bytes(raw) for raw in listing.results], primary_key)

    async def contents_differ(
        self, index: Index, source: str, node: str, truth: Mapping[str, str], copy: Mapping[str, str], since: int
    ) -> list[str]:
        """Keys of one version on both nodes, written from `since` on, whose contents are not the same."""
        keys = doubtful(truth, copy, since)
        differing: list[str] = []
        start, count = 0, _FIRST_FETCH
        while part := keys[start : start + count]:
            fetched = await self._documents(index, source, part)
            ours = await self._contents(index, fetched)
            theirs = await self._contents(index, await self._documents(index, node, part))
            differing += [key for key in part if ours.get(key) != theirs.get(key)]
            start, count = start + len(part), self._next_portion(part, fetched)
        return differing

    async def difference(self, index: Index, shards: Sequence[int], source: str, node: str, since: int) -> Difference:
        """What must happen to the node's copy to make it equal to the source's.

        `RepairFailed` where the source's disk may be another one since it was asked: nothing is to be made equal to
        one that was wiped.
        """
        incarnation = self._cluster.incarnations.get(source)
        truth = await self.versions(index, shards, source)
        if not truth and index.row.primary_key is not None and not await self.has_index(index, source):
            raise RepairFailed(f"{source} has no index {index.physical_uid} to copy from")
        await _in_time(source, partial(self._cluster.confirmed, source))
        if incarnation is None or self._cluster.incarnations.get(source) != incarnation:
            raise RepairFailed(f"the disk of {source} is another one")
        copy = await self.versions(index, shards, node)
        found = compare(truth, copy)
        truncated = await self.contents_differ(index, source, node, truth, copy, since)
        return Difference((*found.to_copy, *truncated), found.to_delete)

    async def catch_up(self, index: Index, node: str) -> None:
        """Wait until the node has done what it had of the index in its queue when this was called."""
        try:
            await self._aligner.catch_up(index.physical_uid, node)
        except NotAligned as failure:
            raise RepairFailed(str(failure)) from None

    async def count(self, index: Index, shards: Sequence[int], node: str) -> int:
        """How many documents of these shards the node has."""
        client = self._cluster.clients[node]
        return await _in_time(node, lambda: client.count_documents(index.physical_uid, shard_filter(shards)))

    async def _documents(self, index: Index, node: str, keys: Sequence[str]) -> list[bytes]:
        client = self._cluster.clients[node]
        fetched = await _in_time(node, lambda: client.fetch_documents(index.physical_uid, keys))
        return [bytes(raw) for raw in fetched.results]

    async def _contents(self, index: Index, documents: Sequence[bytes]) -> dict[str, bytes]:
        return await trio.to_thread.run_sync(read_contents, documents, index.row.primary_key or "")

    def _next_portion(self, asked: Sequence[str], fetched: Sequence[bytes]) -> int:
        return portion(len(asked), sum(map(len, fetched)), self._batch_size, _BATCH_BYTES)

    # -- writing -----------------------------------------------------------------------------------------------------

    async def copy(
        self, index: Index, shards: Sequence[int], source: str, node: str, *, since: int, before: int
    ) -> None:
        """Bring these shards up to what the source has now. What changes meanwhile is for the next round.

        `before`: a stamp older than this listing; nothing newer is deleted.
        """
        primary_key = index.row.primary_key
        if primary_key is None:
            return
        difference = await self.difference(index, shards, source, node, since)
        target = f"/indexes/{quote(index.physical_uid)}/documents?primaryKey={quote(primary_key)}"
        start, count = 0, _FIRST_FETCH
        waiting: list[bytes] = []
        while part := difference.to_copy[start : start + count]:
            fetched = await self._documents(index, source, part)
            waiting += fetched
            start, count = start + len(part), self._next_portion(part, fetched)
            # Each is a task to be waited for, so no more of them than must be.
            is_full = len(waiting) >= self._batch_size or sum(map(len, waiting)) >= _BATCH_BYTES
            if is_full or start >= len(difference.to_copy):
                stamp = await self._store.issue_stamp()
                for body in batches([landed(document, stamp) for document in waiting], _BATCH_BYTES):
                    await self._carry_out(index.physical_uid, node, [NodeCall("repair", "POST", target, body)])
                waiting = []
        for start in range(0, len(difference.to_delete), _DELETE_AT_ONCE):
            keys = difference.to_delete[start : start + _DELETE_AT_ONCE]
            body = msgspec.json.encode({"filter": guarded_deletion(keys, primary_key, shards, before)})
            target = f"/indexes/{quote(index.physical_uid)}/documents/delete"
            await self._carry_out(index.physical_uid, node, [NodeCall("repair", "POST", target, body)])

    async def has_index(self, index: Index, node: str) -> bool:
        """Whether the node has the index at all."""
        client = self._cluster.clients[node]
        return await _in_time(node, lambda: client.has_index(index.physical_uid))

    async def ensure_index(self, physical_uid: str, node: str) -> None:
        """The index and its settings on that node as the registry has them; what the node has beyond is undone."""
        try:
            await self._aligner.align(physical_uid, node)
        except NotAligned as failure:
            raise RepairFailed(str(failure)) from None

    async def _carry_out(self, physical_uid: str, node: str, calls: Sequence[NodeCall]) -> None:
        try:
            await self._aligner.carry_out(physical_uid, node, calls)
        except NotAligned as failure:
            raise RepairFailed(str(failure)) from None


async def _in_time(node: str, call: Callable[[], Awaitable[Value]], seconds: float = _CALL_S) -> Value:
    with trio.move_on_after(seconds):
        return await call()
    raise RepairFailed(f"{node} did not answer within {seconds:g} s")
