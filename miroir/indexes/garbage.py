"""The garbage collector: makes every node drop the physical indexes that no name stands for any more.

The task of a deletion gets its node tasks here, and so ends when the nodes are done. A node that is away keeps its copy
until it is back; nothing ever reads it. What a process before this one left may be told to a node already, which would
fail a second deletion: so it is asked first. A physical name is never given out again, so there is but one deletion.
"""

from __future__ import annotations

import math
from dataclasses import replace
from urllib.parse import quote

import msgspec
import trio

from miroir.cluster import SCRATCH_PREFIX, Cluster, Lanes
from miroir.http import ExchangeError
from miroir.indexes.service import IndexService
from miroir.nodes import Accepted, NodeAnswerError, NodeCall, Outcome, Unsent
from miroir.store import NodeTask, Store, TaskQuery
from miroir.tasks import TaskTracker
from miroir.telemetry import get_logger

_log = get_logger(__name__)

_RETRY_S = 1.0
_CALL_S = 10.0
_OPEN_DELETIONS = TaskQuery(
    types=frozenset({"indexDeletion"}), statuses=frozenset({"enqueued", "processing"}), limit=1 << 31
)


class GarbageCollector:
    """Drops what `Store.list_garbage` names."""

    def __init__(
        self, cluster: Cluster, store: Store, tracker: TaskTracker, indexes: IndexService, lanes: Lanes
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._tracker = tracker
        self._indexes = indexes
        self._lanes = lanes
        self._dropped: dict[str, set[str]] = {}
        self._left_over: set[str] = set()

    async def run(self) -> None:
        """Collect for ever. A worker for the supervisor."""
        await self._sweep_scratch()
        self._dropped.clear()
        self._left_over = set(await self._store.list_garbage())
        while True:
            garbage = await self._store.list_garbage()
            for physical_uid in garbage:
                await self._collect(physical_uid)
            with trio.move_on_after(_RETRY_S if garbage else math.inf):
                await self._indexes.garbage_left()

    async def _sweep_scratch(self) -> None:
        """Scratch indexes that a process before this one had no time to delete."""
        for node in self._cluster.readiest():
            client = self._cluster.clients[node]
            try:
                with trio.move_on_after(_CALL_S):
                    for name in await client.index_names():
                        if name.startswith(SCRATCH_PREFIX):
                            await client.enqueue(NodeCall("index", "DELETE", f"/indexes/{quote(name)}"))
            except (ExchangeError, NodeAnswerError, msgspec.DecodeError) as failure:
                _log.info("scratch indexes not swept", node_id=node, reason=str(failure))

    async def _collect(self, physical_uid: str) -> None:
        done = self._dropped.setdefault(physical_uid, set())
        tasks: list[NodeTask] = []
        for node in sorted(self._cluster.clients):
            if node not in done and self._cluster.usable(node):
                dropped = await self._told_before(node, physical_uid) or await self.drop(node, physical_uid)
                if dropped is not None:
                    done.add(node)
                    tasks.append(dropped)
        if tasks:
            await self._attach(physical_uid, tasks)
        if done >= set(self._cluster.clients):
            await self._store.forget_garbage(physical_uid)
            self._lanes.forget(physical_uid)
            self._indexes.forget_physical(physical_uid)
            del self._dropped[physical_uid]
            self._left_over.discard(physical_uid)

    async def _told_before(self, node: str, physical_uid: str) -> NodeTask | None:
        """The deletion that the node has taken from a process before this one, if any."""
        if physical_uid not in self._left_over:
            return None
        incarnation = self._cluster.incarnations.get(node, "")
        try:
            with trio.move_on_after(_CALL_S):
                known = await self._cluster.clients[node].deletion_of(physical_uid)
                return None if known is None else NodeTask(node, incarnation, known, (0,))
        except (ExchangeError, NodeAnswerError, msgspec.DecodeError) as failure:
            _log.info("earlier deletion not looked for", node_id=node, reason=str(failure))
        return None

    async def drop(self, node: str, physical_uid: str) -> NodeTask | None:
        """Have one node drop a physical index, in its lane; None when it did not take that."""
        place = self._lanes.join(node, physical_uid)
        outcome: Outcome = Unsent("the node did not answer in time")
        try:
            with trio.move_on_after(_CALL_S):
                await place.turn()
                await self._cluster.confirmed(node)
                call = NodeCall("index", "DELETE", f"/indexes/{quote(physical_uid)}")
                outcome = await self._cluster.clients[node].enqueue(call)
        finally:
            place.leave()
        if isinstance(outcome, Accepted):
            # The shards are one here: a node drops its whole part, and the deletion has failed only if no node did.
            return NodeTask(node, self._cluster.incarnations.get(node, ""), outcome.task_uid, (0,))
        _log.info("index not dropped yet", node_id=node, outcome=type(outcome).__name__)
        return None

    async def _attach(self, physical_uid: str, tasks: list[NodeTask]) -> None:
        deletion = next(
            (
                task
                for task in (await self._store.list_tasks(_OPEN_DELETIONS)).tasks
                if task.physical_uid == physical_uid and not task.node_tasks
            ),
            None,
        )
        if deletion is not None:
            followed = replace(deletion, node_tasks=tuple(tasks))
            await self._store.update_open_task(followed)
            self._tracker.follow(followed)
