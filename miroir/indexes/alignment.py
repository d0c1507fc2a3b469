"""Bringing one node into line: its copy of an index gets the settings it should have, and is seen to have them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
import trio

from miroir.cluster import Cluster, Lanes
from miroir.http import ExchangeError
from miroir.indexes.canonical import fingerprint
from miroir.indexes.node_index import NodeIndex
from miroir.indexes.registry import Index, Registry
from miroir.indexes.service import IndexService
from miroir.indexes.versions import NodeVersions
from miroir.nodes import Accepted, NodeAnswerError, NodeCall, NodeTaskView

Value = TypeVar("Value")

_CALL_S: Final = 30.0
_POLL_S: Final = 0.02
_TASK_S: Final = 3600.0
"""A change of settings can mean that the node indexes everything anew."""


class NotAligned(Exception):
    """The node could not be brought into line, or not be asked. `failed`: the task it failed, if it did."""

    def __init__(self, reason: str, failed: NodeTaskView | None = None) -> None:
        super().__init__(reason)
        self.failed = failed


class Aligner:
    """Looks at nodes' settings and mends them."""

    def __init__(
        self,
        cluster: Cluster,
        registry: Registry,
        indexes: IndexService,
        lanes: Lanes,
        versions: NodeVersions,
        node_index: NodeIndex,
    ) -> None:
        self._cluster = cluster
        self._registry = registry
        self._indexes = indexes
        self._lanes = lanes
        self._versions = versions
        self._node_index = node_index

    async def look(self, physical_uid: str, node: str) -> dict[str, Any] | None:
        """What the node shows of the index's settings; None where it has no such index. Raises `NotAligned`."""
        client = self._cluster.clients[node]
        return await _in_time(node, lambda: client.settings(physical_uid))

    def is_sound(self, index: Index, shown: Mapping[str, Any] | None) -> bool:
        """Whether a node that shows this has what it should have."""
        if shown is None:
            return False
        if not index.proposed and self._versions.is_known(index, self.fingerprint(index, shown)):
            return True
        return self._node_index.shows(shown, index.row, index.wishes[-1])

    def fingerprint(self, index: Index, shown: Mapping[str, Any]) -> str:
        """That of what a node shows of the index, together with the primary key that our additions depend on."""
        expected = self._node_index.expected(index.row, index.wishes[-1], shown)
        known = {name: value for name, value in shown.items() if name in expected}
        return fingerprint({**known, "primaryKey": index.row.primary_key})

    async def align(self, physical_uid: str, node: str) -> bool:
        """Make the node's index what it should be; whether anything had to be done. Raises `NotAligned`.

        It should have every change that was acknowledged. The node is taken for in order afterwards, unless it shows
        something else all the same.
        """
        index = self._registry.behind(physical_uid)
        if index is None:
            return False
        await self.catch_up(physical_uid, node)  # what it shows before is not what it will have
        async with self._indexes.changing(index.uid):
            index = self._registry.behind(physical_uid)
            if index is None:
                return False
            shown = await self.look(physical_uid, node)
            sound = self.is_sound(index, shown)
            calls = [] if sound else self._node_index.calls_to_restore(index, shown)
            uids = await self._send(physical_uid, node, calls) if calls else []
        await self._finished(node, uids, may_exist=shown is None)
        if calls:
            shown = await self.look(physical_uid, node)
        index = self._registry.behind(physical_uid)
        if index is not None and shown is not None and self._is_current(index, shown):
            await self._versions.confirm(index, node, self.fingerprint(index, shown))
        return bool(calls)

    async def catch_up(self, physical_uid: str, node: str) -> None:
        """Wait until the node has done what it had of the index in its queue when this was called."""
        client = self._cluster.clients[node]
        newest = await _in_time(node, lambda: client.newest_task_uid(physical_uid))
        while True:
            oldest = await _in_time(node, lambda: client.oldest_unfinished(physical_uid))
            if oldest is None or oldest > newest:
                return
            await trio.sleep(_POLL_S)

    async def carry_out(self, physical_uid: str, node: str, calls: Sequence[NodeCall]) -> None:
        """Send calls in order, in the index's lane, and wait until the node has done them. Raises `NotAligned`."""
        await self._finished(node, await self._send(physical_uid, node, calls), may_exist=False)

    def _is_current(self, index: Index, shown: Mapping[str, Any]) -> bool:
        """Whether it has what is committed, or some of what is on its way too."""
        return self.is_sound(index, shown) or any(
            self._node_index.shows(shown, index.row, wish) for wish in index.wishes
        )

    async def _send(self, physical_uid: str, node: str, calls: Sequence[NodeCall]) -> list[int]:
        """Send them in order, in the index's lane; the node's tasks."""
        client = self._cluster.clients[node]
        place = self._lanes.join(node, physical_uid)
        uids = []
        try:
            await _in_time(node, place.turn)
            if self._registry.behind(physical_uid) is None:
                raise NotAligned("the index was deleted")
            await _in_time(node, partial(self._cluster.confirmed, node))
            for call in calls:
                outcome = await _in_time(node, partial(client.enqueue, call))
                if not isinstance(outcome, Accepted):
                    raise NotAligned(f"{node} did not take the {call.operation}: {outcome}")
                uids.append(outcome.task_uid)
        finally:
            place.leave()
        return uids

    async def _finished(self, node: str, uids: Sequence[int], *, may_exist: bool) -> None:
        """Wait for them. `may_exist`: the first creates the index, and somebody else may have been faster."""
        client = self._cluster.clients[node]
        for number, uid in enumerate(uids):
            task = await _in_time(node, partial(client.finished, uid), _TASK_S)
            if task.status != "succeeded" and not (may_exist and number == 0):
                raise NotAligned(f"task {uid} on {node} {task.status}: {task.error}", task)


async def _in_time(node: str, call: Callable[[], Awaitable[Value]], seconds: float = _CALL_S) -> Value:
    try:
        with trio.move_on_after(seconds):
            return await call()
    except (ExchangeError, NodeAnswerError, msgspec.DecodeError) as failure:
        raise NotAligned(f"{node}: {failure}") from failure
    raise NotAligned(f"{node} did not answer within {seconds:g} s")
