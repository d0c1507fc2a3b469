"""Tasks that work on other tasks: what `POST /tasks/cancel` and `DELETE /tasks` have in common.

Each is a task itself, registered in one transaction with what it selects. A worker carries it out; the store remembers
it until it is done, so that a crash only interrupts it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Final

import trio

from miroir.cluster import Cluster
from miroir.nodes import Accepted
from miroir.store import NodeTask, Store, TaskQuery, TaskRow
from miroir.tasks.clock import now_text
from miroir.tasks.tracker import TaskTracker
from miroir.telemetry import get_logger

_log = get_logger(__name__)

_NODE_PATIENCE_S: Final = 5.0
_UIDS_AT_ONCE: Final = 1000
_EVERY: Final = 1 << 31

Told = tuple[str, str, int]
"""A node task by node, incarnation and uid there."""


class SelectionWorker(ABC):
    """Carries out the open tasks of one type, each in a Trio task of its own, oldest first."""

    type: str

    def __init__(self, cluster: Cluster, store: Store, tracker: TaskTracker) -> None:
        self._cluster = cluster
        self._store = store
        self._tracker = tracker
        self._news = trio.Event()

    async def run(self) -> None:
        """Go on with what is open in the store, then take what comes, for ever. A worker for the supervisor."""
        running: set[int] = set()
        wanted = TaskQuery(
            types=frozenset({self.type}), statuses=frozenset({"enqueued", "processing"}), limit=_EVERY, reverse=True
        )
        async with trio.open_nursery() as nursery:
            while True:
                self._news = trio.Event()
                for task in (await self._store.list_tasks(wanted)).tasks:
                    if task.uid not in running:
                        running.add(task.uid)
                        nursery.start_soon(self._run_one, task, running)
                await self._news.wait()

    async def _run_one(self, task: TaskRow, running: set[int]) -> None:
        self._tracker.follow(task)
        await self._carry_out(task, now_text())
        running.discard(task.uid)

    def _begin(self, task: TaskRow) -> TaskRow:
        """A task that was just registered: wake the worker."""
        self._tracker.follow(task)
        self._news.set()
        return task

    @abstractmethod
    async def _carry_out(self, task: TaskRow, started_at: str) -> None:
        """Do what the task asks for and conclude it. It may have been begun by a process before this one."""

    @abstractmethod
    async def _send(self, node: str, uids: list[int]) -> bool:
        """Send the node these uids of its tasks; whether it took them."""

    async def _tell_nodes(self, parts: Iterable[NodeTask], told: set[Told]) -> None:
        """Send each usable node the uids of these node tasks that it was not `told` of, and note that it was.

        Nodes are told side by side and only of tasks of their present disk: uids of another disk mean other tasks now.
        """
        by_node: dict[str, list[int]] = {}
        for part in parts:
            if (
                (part.node, part.incarnation, part.uid) not in told
                and part.node in self._cluster.clients
                and self._cluster.usable(part.node)
                and self._cluster.incarnations.get(part.node) == part.incarnation
            ):
                by_node.setdefault(part.node, []).append(part.uid)
        async with trio.open_nursery() as nursery:
            for node, uids in by_node.items():
                nursery.start_soon(self._tell_node, node, self._cluster.incarnations[node], uids, told)

    async def _tell_node(self, node: str, incarnation: str, uids: list[int], told: set[Told]) -> None:
        for start in range(0, len(uids), _UIDS_AT_ONCE):
            part = uids[start : start + _UIDS_AT_ONCE]
            taken = False
            with trio.move_on_after(_NODE_PATIENCE_S):
                taken = await self._send(node, part)
            if not taken:
                _log.info("node not told", node_id=node, operation=self.type, tasks=len(part))
                return
            told.update((node, incarnation, uid) for uid in part)


def was_taken(outcome: object) -> bool:
    """Whether a node took what it was sent."""
    return isinstance(outcome, Accepted)
