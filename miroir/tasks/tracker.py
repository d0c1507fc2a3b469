"""The tracker: follows every open task on the nodes until it can be settled.

Each node is polled by one loop of its own, every 25 ms while things happen, then ever more rarely up to once a second.
A poll asks for whole views of the oldest few tasks only, since a node takes its queue mostly in order, and of a great
many others just for those that have ended: an answer costs a node 0.3 ms for 20 views and 14 ms for 1,000, but 0.7 ms
to say that none of 1,000 has ended. What a node said of a task is kept here only as long as the task is open; after a
restart the nodes are asked again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, KeysView, Mapping
from dataclasses import replace
from time import time_ns
from typing import Any

import msgspec
import trio

from miroir.cluster import Cluster
from miroir.errors import ErrorBody
from miroir.http import ExchangeError
from miroir.nodes import NodeAnswerError, NodeTaskView
from miroir.store import NameChange, NewTask, NodeTaskStatus, Settle, Store, TaskRow, TaskStatus
from miroir.tasks.book import Book, Entry, Key
from miroir.tasks.clock import nanoseconds_of, now_text
from miroir.tasks.details import settled
from miroir.tasks.follow_ups import FollowUp, FollowUps
from miroir.tasks.pace import SHORTEST_S, least_pause, pause, pause_when_asked
from miroir.tasks.settlement import Verdict, judge
from miroir.telemetry import get_logger

_log = get_logger(__name__)

_AWAY_PAUSE_S = 0.25
_PATIENCE_S = 5.0
"""A node that does not answer a poll by then is asked again later: it may hang without being known to."""
_NOT_FOLLOWED_PAUSE_S = 0.1
_OLDEST_AT_ONCE = 20
_OTHERS_AT_ONCE = 1000
_AT_ONCE = 50
"""Tasks judged between two checkpoints: others must have their turn while thousands end together."""

_TERMINAL: dict[str, NodeTaskStatus] = {"succeeded": "succeeded", "failed": "failed", "canceled": "canceled"}

Listener = Callable[[TaskRow], None]


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
        self._book = Book(cluster.clients)
        self._news: dict[str, trio.Event] = defaultdict(trio.Event)
        self._asked: dict[str, trio.Event] = defaultdict(trio.Event)
        self._unjudged: dict[str, set[int]] = defaultdict(set)
        self._for_trust: set[int] = set()
        """Tasks that wait for nodes which are away only because no other trusted copy has them."""
        self._follow_ups = FollowUps(store)
        self._listeners: list[Listener] = []
        self._concluder: Callable[[TaskRow], bool] = _nobody
        self._took_over = trio.Event()

    def on_failed(self, follow_up: FollowUp) -> None:
        """Have `follow_up` awaited with each task of an index that failed or was canceled, once at least."""
        self._follow_ups.add(follow_up)

    def on_ended(self, listener: Listener) -> None:
        """Have `listener` called with each task that ends from now on, those too that nobody followed."""
        self._listeners.append(listener)

    def leave_to(self, concluder: Callable[[TaskRow], bool]) -> None:
        """Tasks of which `concluder` says so are not settled here, but by its call of `conclude_with`.

        It is asked, and so told, whenever one of a task's node tasks has ended or its node goes away.
        """
        self._concluder = concluder

    # -- what is open ------------------------------------------------------------------------------------------------

    @property
    def open_tasks(self) -> list[TaskRow]:
        """What is being followed, oldest first: a new list of all of them."""
        return self._book.rows()

    @property
    def open_stamps(self) -> KeysView[int]:
        """The stamps of the writes that are being followed; a view, to be looked into."""
        return self._book.stamps

    def find(self, uid: int) -> TaskRow | None:
        """A followed task with its node tasks as they are known now."""
        entry = self._book.find(uid)
        return None if entry is None else entry.row

    def asked_for(self, uid: int) -> TaskRow | None:
        """`find`, by somebody who waits for the end of the task: its nodes are asked again soon."""
        entry = self._book.find(uid)
        if entry is None:
            return None
        for part in entry.row.node_tasks:
            if part.status == "open":
                self._asked[part.node].set()
        return entry.row

    def oldest_open_s(self) -> float:
        """Seconds since the oldest open task was enqueued; 0 when none is open."""
        oldest = min((row.enqueued_at for row in self.open_tasks), default=None)
        return 0.0 if oldest is None else max(time_ns() - nanoseconds_of(oldest), 0) / 1e9

    async def wait(self, uid: int) -> None:
        """Until the task is settled; at once if it is not open."""
        entry = self._book.find(uid)
        if entry is not None:
            await entry.done.wait()

    async def followed(self) -> None:
        """Until the tasks that a run before this one left open are among the open ones; at once but after a restart."""
        await self._took_over.wait()

    async def ended(self, uid: int) -> TaskRow | None:
        """The task once it has ended, also one that is not followed yet after a restart; None: nobody remembers it."""
        while True:
            await self.wait(uid)
            task = await self._store.get_task(uid)
            if task is None or task.status not in ("enqueued", "processing"):
                return task
            await trio.sleep(_NOT_FOLLOWED_PAUSE_S)

    def node_is_idle(self, node: str, physical_uid: str) -> bool:
        """Whether no open task of ours waits for that node and index."""
        return not self._book.busy(node, physical_uid)

    def may_lack(self, node: str, physical_uid: str) -> bool:
        """Whether a node in order may not have that index yet, since a task that makes it is still in its queue."""
        return not self._took_over.is_set() or self._book.making(node, physical_uid)

    # -- following ---------------------------------------------------------------------------------------------------

    async def register(self, new_task: NewTask) -> TaskRow:
        """Register a task that is no write to shards: one that failed, or was done, before anything was sent."""
        task = await self._store.add_task(new_task)
        self._reached(task.status)
        if task.status not in ("enqueued", "processing"):
            self._tell(task)
        return task

    def follow(self, task: TaskRow) -> None:
        """From now on, until it is settled. One that is followed may have got more node tasks; a terminal one is left.

        (The store must say the same of its node tasks.)
        """
        if task.status not in ("enqueued", "processing"):
            return
        if task.uid not in self._book:
            self._reached(task.status)
        for part in self._book.enter(task):
            self._unjudged[part.node].add(task.uid)
            # Of no interest while the node has so much before it.
            if self._book.awaited(part.node) <= _OLDEST_AT_ONCE:
                self._news[part.node].set()
                self._asked[part.node].set()

    async def begun(self, task: TaskRow, started_at: str) -> None:
        """A followed task that no node has a part in is being worked on."""
        entry = self._book.find(task.uid)
        if entry is not None:
            entry.row = replace(entry.row, status="processing", started_at=started_at)
            await self._store.update_open_task(entry.row)

    async def conclude(
        self,
        task: TaskRow,
        status: TaskStatus,
        details: Mapping[str, Any],
        started_at: str,
        names: tuple[NameChange, ...] = (),
        error: ErrorBody | None = None,
    ) -> None:
        """Close a followed task that no node has a part in: Miroir itself did what it asks for, or could not.

        `names`: what it makes of the names of earlier tasks. `error`: why it failed.
        """
        entry = self._book.find(task.uid)
        if entry is not None:
            settlement = Settle(task.uid, status, (), details, error, started_at, now_text(), names=names)
            await self._close(entry, settlement)

    async def conclude_with(
        self,
        uid: int,
        status: TaskStatus,
        settle: Callable[[Settle], Awaitable[TaskRow]] | None = None,
        said: tuple[str, NodeTaskView] | None = None,
    ) -> None:
        """Close a followed task as `status`, with what its nodes said.

        `settle`: in place of the store's own. `said`: by a node of a task of its that is no part of this one.
        """
        entry = self._book.find(uid)
        if entry is not None and not entry.settling:
            if said is not None:
                entry.views[said[0], said[1].uid] = said[1]
            await self._close(entry, self._settlement(entry, Verdict(status)), settle)

    async def run(self) -> None:
        """Take over what is open in the store, then poll for ever. A worker for the supervisor."""
        for number, task in enumerate(await self._store.open_tasks()):
            self.follow(task)
            if number % _AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        self._took_over.set()
        # A run before this one may have ended with the store away, after the last word of a task's nodes was heard.
        await self._judge_all(self._book.uids())
        async with trio.open_nursery() as nursery:
            for node in self._cluster.clients:
                nursery.start_soon(self._follow_node, node)

    async def run_follow_ups(self) -> None:
        """Do what follows from failed tasks, for ever. A worker for the supervisor, apart from the polling."""
        await self._follow_ups.run()

    # -- one node ----------------------------------------------------------------------------------------------------

    async def _follow_node(self, node: str) -> None:
        happened_at = trio.current_time()
        was_usable = True
        generation = -1
        while True:
            if not self._book.awaited(node):
                await self._news[node].wait()
            if self._news[node].is_set():
                self._news[node] = trio.Event()
                happened_at = trio.current_time()
            usable = self._cluster.usable(node)
            if usable:
                self._unjudged[node].clear()
                asked_at = trio.current_time()
                moved = await self._poll(node)
                now = trio.current_time()
                if moved:
                    happened_at = now
                took, quiet = now - asked_at, now - happened_at
                least, soon, most = least_pause(took), pause_when_asked(took, quiet), pause(took, quiet)
            else:
                # What waits for it is judged once without it; after that, a change on another node is judged there.
                waiting = set(self._book.waiting_for(node)) if was_usable else self._unjudged[node]
                if generation != self._cluster.generation:  # other copies may be trusted now
                    generation = self._cluster.generation
                    waiting |= self._for_trust
                self._unjudged[node] = set()
                await self._judge_all(sorted(waiting))
                least, soon, most = SHORTEST_S, SHORTEST_S, _AWAY_PAUSE_S
            was_usable = usable
            self._asked[node] = trio.Event()
            await trio.sleep(least)
            with trio.move_on_after(soon - least):
                await self._news[node].wait()
            if not self._news[node].is_set():
                with trio.move_on_after(most - soon):
                    await self._asked[node].wait()

    async def _poll(self, node: str) -> bool:
        """Ask once; whether anything came of it."""
        incarnation = self._cluster.incarnations.get(node, "")
        oldest = self._book.oldest(node, _OLDEST_AT_ONCE)
        others = self._book.others(node, len(oldest), _OTHERS_AT_ONCE)
        ended: dict[Key, tuple[NodeTaskStatus, NodeTaskView | None]] = {}
        with trio.move_on_after(_PATIENCE_S) as patience:
            try:
                answers = await self._ask(node, incarnation, oldest, whole=True)
                rest = await self._ask(node, incarnation, others, whole=False)
            except (ExchangeError, NodeAnswerError, msgspec.DecodeError) as failure:
                _log.info("tasks not polled", node_id=node, reason=str(failure))
                return False
        if patience.cancelled_caught:
            _log.info("tasks not polled", node_id=node, reason=f"no answer within {_PATIENCE_S:g} s")
            return False
        if self._cluster.incarnations.get(node, "") != incarnation:
            return True  # another disk by now, and nobody knows which of the two answered: ask again
        begun: list[Entry] = []
        for key in oldest:
            view = answers.get(key)
            if view is None:
                ended[key] = ("lost", None)  # by a disk that is gone, or deleted on the node by somebody else
            elif view.status in _TERMINAL:
                ended[key] = (_TERMINAL[view.status], view)
            elif view.status == "processing":
                entry = self._book.task_of(node, key)
                if entry is not None and entry.row.status == "enqueued":
                    entry.row = replace(entry.row, status="processing", started_at=view.started_at)
                    begun.append(entry)
        ended.update((key, (_TERMINAL[view.status], view)) for key, view in rest.items() if view.status in _TERMINAL)
        ended.update((key, ("lost", None)) for key in others if key[0] != incarnation)
        await self._keep(begun, ())
        moved = False
        keys = list(ended)
        for start in range(0, len(keys), _AT_ONCE):
            recorded = [self._book.record(node, key, *ended[key]) for key in keys[start : start + _AT_ONCE]]
            touched = dict.fromkeys(uid for uid in recorded if uid is not None)
            await self._keep((), touched)
            moved = moved or bool(touched)
        return moved

    async def _ask(self, node: str, incarnation: str, keys: Iterable[Key], *, whole: bool) -> dict[Key, NodeTaskView]:
        """What the node says of those of its present disk; unless `whole`, only of those that have ended."""
        uids = [uid for of, uid in keys if of == incarnation]
        if not uids:
            return {}
        client = self._cluster.clients[node]
        views = await (client.tasks(uids) if whole else client.ended_tasks(uids))
        return {(incarnation, view.uid): view for view in views}

    # -- settling ----------------------------------------------------------------------------------------------------

    async def _keep(self, begun: Collection[Entry], touched: Collection[int]) -> None:
        """Tell the store, side by side: it writes in groups, and each waits for the disk."""
        if not begun and not touched:
            return
        async with trio.open_nursery() as nursery:
            for entry in begun:
                nursery.start_soon(self._store.update_open_task, entry.row)
            for uid in touched:
                nursery.start_soon(self._try_to_settle, uid)

    async def _judge_all(self, uids: Collection[int]) -> None:
        waiting = list(uids)
        for start in range(0, len(waiting), _AT_ONCE):
            await self._keep((), waiting[start : start + _AT_ONCE])

    async def _try_to_settle(self, uid: int) -> None:
        entry = self._book.find(uid)
        if entry is None or entry.settling or not entry.row.node_tasks or self._concluder(entry.row):
            return
        verdict = judge(entry.row.node_tasks, self._away, self._cluster.in_sync(entry.row.physical_uid or ""))
        if verdict is None:
            if judge(entry.row.node_tasks, self._away) is not None:
                self._for_trust.add(uid)
            return
        if verdict.lost:
            _log.warning("copies missed a write", task_uid=uid, shards=sorted(verdict.lost))
        await self._close(entry, self._settlement(entry, verdict))

    def _away(self, node: str) -> bool:
        return not self._cluster.usable(node)

    async def _close(
        self, entry: Entry, settlement: Settle, settle: Callable[[Settle], Awaitable[TaskRow]] | None = None
    ) -> None:
        entry.settling = True
        try:
            task = await settle(settlement) if settle else (await self._store.settle(settlement))[0]
        finally:
            entry.settling = False
        self._book.close(task.uid)
        self._for_trust.discard(task.uid)
        self._reached(task.status)
        self._tell(task)
        if task.status != "succeeded":
            self._follow_ups.due()

    def _tell(self, task: TaskRow) -> None:
        for listener in self._listeners:
            listener(task)

    def _settlement(self, entry: Entry, verdict: Verdict) -> Settle:
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
            applied=verdict.applied,
            doubt=self._error(entry),
        )

    def _error(self, entry: Entry) -> ErrorBody:
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
            "message": "No node that took this task knows it any more, so nobody can say whether it was done. "
            "Send it again.",
            "code": "internal",
            "type": "internal",
            "link": "https://docs.meilisearch.com/errors#internal",
        }


def _nobody(_: TaskRow) -> bool:
    """Every task is settled here."""
    return False
