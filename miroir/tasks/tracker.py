"""The tracker: follows every open task on the nodes until it can be settled.

Each node is polled by one loop of its own, for all its open tasks in one request, oldest first: every 25 ms while
things happen, then ever more rarely up to once a second. What a node said of a task is kept here only as long as the
task is open; after a restart the nodes are asked again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from time import time_ns

import msgspec
import trio

from miroir.cluster import Cluster
from miroir.errors import ErrorBody
from miroir.http import ExchangeError
from miroir.nodes import NodeAnswerError, NodeTaskView
from miroir.store import NewTask, NodeTask, NodeTaskStatus, Settle, Store, TaskRow
from miroir.tasks.clock import nanoseconds_of, now_text
from miroir.tasks.details import settled
from miroir.tasks.settlement import Verdict, judge
from miroir.telemetry import get_logger

_log = get_logger(__name__)

_SHORTEST_PAUSE_S = 0.025
_LONGEST_PAUSE_S = 1.0
_UIDS_PER_POLL = 100
_AWAY_PAUSE_S = 0.25

_TERMINAL: dict[str, NodeTaskStatus] = {"succeeded": "succeeded", "failed": "failed", "canceled": "canceled"}

SettledHook = Callable[[TaskRow], Awaitable[None]]


@dataclass(slots=True)
class _Open:
    """A task that is being followed, and what its nodes have said of it so far."""

    row: TaskRow
    views: dict[tuple[str, int], NodeTaskView] = field(default_factory=dict)
    settling: bool = False
    done: trio.Event = field(default_factory=trio.Event)


class TaskTracker:
    """Follows open tasks and settles them.

    `clean_text(task, text)` makes a node's error text the client's. `reached(status)` is told of every status a task of
    this process takes, for metrics.
    """

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        clean_text: Callable[[TaskRow, str], str],
        reached: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._clean_text = clean_text
        self._reached = reached
        self._open: dict[int, _Open] = {}
        self._pending: dict[str, dict[int, int]] = {node: {} for node in cluster.clients}
        self._news: dict[str, trio.Event] = defaultdict(trio.Event)
        self._hooks: list[SettledHook] = []

    def on_settled(self, hook: SettledHook) -> None:
        """Have `hook` awaited with each task that is settled from now on."""
        self._hooks.append(hook)

    @property
    def open_tasks(self) -> list[TaskRow]:
        """What is being followed, oldest first."""
        return [self._open[uid].row for uid in sorted(self._open)]

    async def register(self, new_task: NewTask) -> TaskRow:
        """Register a task that is no write to shards: one that failed, or was done, before anything was sent."""
        task = await self._store.add_task(new_task)
        self._reached(task.status)
        return task

    def follow(self, task: TaskRow) -> None:
        """From now on, until it is settled. A task that is terminal already, or followed, is left alone."""
        if task.uid in self._open or task.status not in ("enqueued", "processing"):
            return
        self._reached(task.status)
        self._open[task.uid] = _Open(task)
        for node_task in task.node_tasks:
            self._expect(task.uid, node_task)

    def extend(self, task: TaskRow) -> None:
        """A followed task has got more node tasks (its row in the store says so too)."""
        entry = self._open.get(task.uid)
        if entry is None:
            self.follow(task)
            return
        known = {(node_task.node, node_task.uid) for node_task in entry.row.node_tasks}
        entry.row = replace(entry.row, node_tasks=task.node_tasks)
        for node_task in task.node_tasks:
            if (node_task.node, node_task.uid) not in known:
                self._expect(task.uid, node_task)

    def oldest_open_s(self) -> float:
        """Seconds since the oldest open task was enqueued; 0 when none is open."""
        oldest = min((entry.row.enqueued_at for entry in self._open.values()), default=None)
        return 0.0 if oldest is None else max(time_ns() - nanoseconds_of(oldest), 0) / 1e9

    async def wait(self, uid: int) -> None:
        """Until the task is settled; at once if it is not open."""
        entry = self._open.get(uid)
        if entry is not None:
            await entry.done.wait()

    def node_is_idle(self, node: str, physical_uid: str) -> bool:
        """Whether no open task of ours waits for that node and index."""
        return not any(
            entry.row.physical_uid == physical_uid
            and any(part.node == node and part.status == "open" for part in entry.row.node_tasks)
            for entry in self._open.values()
        )

    async def run(self) -> None:
        """Take over what is open in the store, then poll for ever. A worker for the supervisor."""
        for task in await self._store.open_tasks():
            self.follow(task)
        # A run before this one may have ended with the store away, after the last word of a task's nodes was heard.
        for uid in sorted(self._open):
            await self._try_to_settle(uid)
        async with trio.open_nursery() as nursery:
            for node in self._cluster.clients:
                nursery.start_soon(self._follow_node, node)

    # -- one node ----------------------------------------------------------------------------------------------------

    def _expect(self, uid: int, node_task: NodeTask) -> None:
        self._pending[node_task.node][node_task.uid] = uid
        self._news[node_task.node].set()

    async def _follow_node(self, node: str) -> None:
        pause = _SHORTEST_PAUSE_S
        while True:
            if not self._pending[node]:
                await self._news[node].wait()
            if self._news[node].is_set():
                self._news[node] = trio.Event()
                pause = _SHORTEST_PAUSE_S
            if self._cluster.usable(node):
                moved = await self._poll(node)
                pause = _SHORTEST_PAUSE_S if moved else min(pause * 2, _LONGEST_PAUSE_S)
            else:
                await self._give_up_on(node)
                pause = _AWAY_PAUSE_S
            with trio.move_on_after(pause):
                await self._news[node].wait()

    async def _poll(self, node: str) -> bool:
        """Ask once; whether anything came of it."""
        asked = sorted(self._pending[node])[:_UIDS_PER_POLL]
        if not asked:
            return False
        try:
            answers = {view.uid: view for view in await self._cluster.clients[node].tasks(asked)}
        except (ExchangeError, NodeAnswerError, msgspec.DecodeError) as failure:
            _log.info("tasks not polled", node_id=node, reason=str(failure))
            return False
        touched: dict[int, None] = {}
        for node_uid in asked:
            uid = self._pending[node].get(node_uid)
            if uid is None:
                continue
            entry = self._open[uid]
            status = self._status_of(entry, node, node_uid, answers.get(node_uid))
            if status == "open":
                if answers[node_uid].status == "processing" and entry.row.status == "enqueued":
                    entry.row = replace(entry.row, status="processing", started_at=answers[node_uid].started_at)
                    await self._store.update_open_task(entry.row)
                continue
            self._record(entry, node, node_uid, status)
            touched[uid] = None
        for uid in touched:
            await self._try_to_settle(uid)
        return bool(touched)

    def _status_of(self, entry: _Open, node: str, node_uid: int, view: NodeTaskView | None) -> NodeTaskStatus:
        ours = next(part for part in entry.row.node_tasks if part.node == node and part.uid == node_uid)
        if view is None or ours.incarnation != self._cluster.incarnations.get(node):
            return "lost"
        status = _TERMINAL.get(view.status, "open")
        if status != "open":
            entry.views[node, node_uid] = view
        return status

    def _record(self, entry: _Open, node: str, node_uid: int, status: NodeTaskStatus) -> None:
        self._pending[node].pop(node_uid, None)
        entry.row = replace(
            entry.row,
            node_tasks=tuple(
                replace(part, status=status) if (part.node, part.uid) == (node, node_uid) else part
                for part in entry.row.node_tasks
            ),
        )

    async def _give_up_on(self, node: str) -> None:
        for uid in sorted(set(self._pending[node].values())):
            await self._try_to_settle(uid)

    # -- settling ----------------------------------------------------------------------------------------------------

    async def _try_to_settle(self, uid: int) -> None:
        entry = self._open.get(uid)
        if entry is None or entry.settling or not entry.row.node_tasks:
            return
        verdict = judge(entry.row.node_tasks, lambda node: not self._cluster.usable(node))
        if verdict is None:
            return
        entry.settling = True
        try:
            task, in_sync = await self._store.settle(self._settlement(entry, verdict))
        finally:
            entry.settling = False
        if verdict.lost:
            _log.warning("copies missed a write", task_uid=uid, shards=sorted(verdict.lost))
        if task.physical_uid is not None:
            self._cluster.apply_in_sync(task.physical_uid, in_sync)
        for part in task.node_tasks:
            self._pending[part.node].pop(part.uid, None)
        self._reached(task.status)
        del self._open[uid]
        entry.done.set()
        for hook in self._hooks:
            await hook(task)

    def _settlement(self, entry: _Open, verdict: Verdict) -> Settle:
        row = entry.row
        counts: defaultdict[str, int] = defaultdict(int)
        for (node, _), view in entry.views.items():
            said = view.details or {}
            counts[node] += said.get("indexedDocuments") or said.get("deletedDocuments") or 0
        views = entry.views.values()
        started = min((view.started_at for view in views if view.started_at), default=None)
        finished = max((view.finished_at for view in views if view.finished_at), default=None) or now_text()
        return Settle(
            task_uid=row.uid,
            status=verdict.status,
            node_tasks=tuple(
                replace(part, status="lost") if part.status == "open" else part for part in row.node_tasks
            ),
            details=settled(row.type, row.details, verdict, row.node_tasks, counts),
            error=self._error(entry) if verdict.status == "failed" else None,
            started_at=started or row.started_at or finished,
            finished_at=finished,
            lost=verdict.lost,
        )

    def _error(self, entry: _Open) -> ErrorBody:
        for view in entry.views.values():
            if view.error is not None:
                error = view.error
                return {
                    "message": self._clean_text(entry.row, error.message),
                    "code": error.code,
                    "type": error.type,
                    "link": error.link,
                }
        return {
            "message": "The nodes that took this task lost it before it was done. Send it again.",
            "code": "internal",
            "type": "internal",
            "link": "https://docs.meilisearch.com/errors#internal",
        }
