"""Naming: `PATCH /indexes/{uid}` and `POST /swap-indexes`. What is called how is our business alone; nodes never hear.

A move of names is one transaction of the registry, under a hold on what it moves and when no write to that is between
begin and commit: a write lands behind the name it was sent to, as that was before the move or as it is after it. From
then on writes meet the new names. Reads meet them when every task that was open before has ended (`moves`); then the
move's own task ends too, and earlier tasks go by the new names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import trio

from miroir.cluster import Holds
from miroir.errors import ApiError, miroir_error, node_error
from miroir.indexes.alias_conflicts import check_free_of_aliases, check_unaliased
from miroir.indexes.moves import (
    MOVES_NOTE,
    Swap,
    check_duplicates,
    moves_from,
    moves_of,
    names_from,
    note_of,
    problem_of,
)
from miroir.indexes.registry import Index, Registry, index_not_found
from miroir.indexes.service import IndexService
from miroir.store import Held, IndexMove, MappingChanged, Moved, NameTaken, NewTask, Store, TaskRow
from miroir.tasks import TaskTracker, now_text, shown

_POLL_S: Final = 0.01

Count = Callable[[Index], Awaitable[tuple[int, tuple[int, ...]]]]
"""How many documents an index has, and the shards that could not be asked."""


@dataclass(slots=True)
class _Waiting:
    """A move that reads do not see yet, and the open tasks before it."""

    task: TaskRow
    moves: Sequence[IndexMove]
    waits_for: set[int]
    touched: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        names = {name for move in self.moves for name in (move.uid, move.to)}
        self.touched = frozenset(names | {move.physical_uid for move in self.moves})


class Naming:
    """Renames and swaps indexes, and changes primary keys, which is the other thing an update of an index can do.

    `patience_s`: how long writes on their way are waited for. `keep_targets`: what an alias stands for keeps its name.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        indexes: IndexService,
        tracker: TaskTracker,
        holds: Holds,
        count: Count,
        *,
        peer: str,
        patience_s: float,
        keep_targets: bool,
    ) -> None:
        self._store = store
        self._registry = registry
        self._indexes = indexes
        self._tracker = tracker
        self._holds = holds
        self._count = count
        self._operation = f"names:{peer}"
        self._patience_s = patience_s
        self._keep_targets = keep_targets
        self._waiting: list[_Waiting] = []
        self._due: list[_Waiting] = []
        self._news = trio.Event()
        tracker.on_ended(self._ended)

    # -- what clients ask for ----------------------------------------------------------------------------------------

    async def swap(self, swaps: Sequence[Swap]) -> TaskRow:
        """`POST /swap-indexes`. What a node accepts and then fails is a failed task."""
        check_duplicates(swaps)
        details = {"swaps": [swap.view() for swap in swaps]}
        names = [name for swap in swaps for name in (swap.one, swap.other)]
        async with self._changing(names):
            new = {swap.other for swap in swaps if swap.rename}
            check_unaliased(self._registry, (name for name in names if name not in new))
            self._check_renamed(swap.one for swap in swaps if swap.rename)
            standing = {index.uid: index.physical_uid for index in self._registry.all()}
            taken = {*standing, *(alias.name for alias in self._registry.aliases())}
            problem = problem_of(swaps, standing, taken)
            if problem is not None:
                return await self._indexes.fail("indexSwap", None, details, problem.body())
            return await self._move(moves_of(swaps, standing), NewTask(None, "indexSwap", details, now_text()))

    async def update(self, uid: str, primary_key: str | None, new_uid: str | None) -> TaskRow:
        """`PATCH /indexes/{uid}`; None: that stays as it is. Wholly or not at all, or a failed task."""
        details: dict[str, Any] = {"primaryKey": primary_key}
        if new_uid is not None:
            details |= {"oldIndexUid": uid, "newIndexUid": new_uid}
        name = uid if new_uid is None else new_uid
        async with self._changing((uid, name)):
            check_unaliased(self._registry, [uid])
            if name != uid:
                self._check_renamed([uid])
            index = self._registry.find(uid)
            problem = self._problem(index, uid, name)
            if index is None or problem is not None:
                return await self._indexes.fail("indexUpdate", uid, details, (problem or index_not_found(uid)).body())
            task = NewTask(uid, "indexUpdate", details, now_text())
            moves = name != uid
            if primary_key is not None and primary_key != index.row.primary_key:
                keyed = task if not moves else NewTask(uid, "indexUpdate", {}, now_text(), origin="primary_key")
                updated = await self._change_primary_key(index, primary_key, keyed)
                if updated is None:
                    taken = _key_taken(name, index.row.primary_key)
                    return await self._indexes.fail("indexUpdate", uid, details, taken.body())
                if not moves:
                    return updated
            elif not moves:
                return await self._nothing_to_do(index, task, touched=primary_key is not None)
            physical_uid = self._registry.get(uid).physical_uid
            return await self._move([IndexMove(uid, physical_uid, name, now_text())], task)

    def _problem(self, index: Index | None, uid: str, name: str) -> ApiError | None:
        if index is None:
            return index_not_found(uid)
        if name != uid and (self._registry.is_index(name) or self._registry.alias(name) is not None):
            return node_error(409, "index_already_exists", f"Index `{name}` already exists.")
        return None

    def _check_renamed(self, uids: Iterable[str]) -> None:
        if self._keep_targets:
            for uid in uids:
                check_free_of_aliases(self._registry, uid)

    # -- primary keys ------------------------------------------------------------------------------------------------

    async def _change_primary_key(self, index: Index, primary_key: str, task: NewTask) -> TaskRow | None:
        """Carry `task` out; None, and nothing is changed, where documents have another key already."""
        if index.row.primary_key is None:
            return await self._indexes.give_primary_key(index, primary_key, task)
        async with self._at_rest(index.physical_uid):
            documents, uncounted = await self._count(index)
            if documents:
                return None
            if uncounted:
                raise miroir_error(
                    "miroir_shard_unavailable", "Some nodes cannot be asked whether the index is empty. Try again."
                )
            return await self._indexes.make_anew(index, primary_key, task)

    @asynccontextmanager
    async def _at_rest(self, physical_uid: str) -> AsyncIterator[None]:
        """Writes to it held, and all before them done."""
        async with self._held([physical_uid]):
            with trio.move_on_after(self._patience_s) as waiting:
                while await self._is_busy(physical_uid):  # noqa: ASYNC110 - what is waited for happens in the store
                    await trio.sleep(_POLL_S)
            if waiting.cancelled_caught:
                raise _busy()
            yield

    async def _is_busy(self, physical_uid: str) -> bool:
        writing = {intent.physical_uid for intent in await self._store.open_intents()}
        return physical_uid in writing | {task.physical_uid for task in await self._store.open_tasks()}

    async def _nothing_to_do(self, index: Index, task: NewTask, *, touched: bool) -> TaskRow:
        now = now_text()
        if touched:
            self._registry.put(replace(index.row, updated_at=now))
        return await self._tracker.register(replace(task, status="succeeded", started_at=now, finished_at=now))

    # -- moving ------------------------------------------------------------------------------------------------------

    async def _move(self, moves: Sequence[IndexMove], task: NewTask) -> TaskRow:
        task = replace(task, details={**task.details, MOVES_NOTE: note_of(moves)})
        async with self._held(sorted({move.physical_uid for move in moves})):
            deadline = trio.current_time() + self._patience_s
            while True:
                try:
                    with trio.CancelScope(shield=True):  # the store and what we remember of it must not part
                        return await self._store.move_indexes(moves, task, partial(self._moved, moves))
                except Held:
                    if trio.current_time() >= deadline:
                        raise _busy() from None
                    await trio.sleep(_POLL_S)
                except (MappingChanged, NameTaken):
                    raise _busy() from None

    def _moved(self, moves: Sequence[IndexMove], moved: Moved) -> None:
        self._tracker.follow(moved.task)
        self._waiting.append(_Waiting(moved.task, moves, set(moved.waits_for)))
        self._registry.move(moves, moved.rows, [each.moves for each in self._waiting])
        self._advance()

    @asynccontextmanager
    async def _changing(self, names: Iterable[str]) -> AsyncIterator[None]:
        """Nobody else changes indexes of these names."""
        async with AsyncExitStack() as stack:
            for name in sorted(set(names)):  # in one order for all, so that none waits for another in a circle
                await stack.enter_async_context(self._indexes.changing(name))
            yield

    @asynccontextmanager
    async def _held(self, physical_uids: Iterable[str]) -> AsyncIterator[None]:
        """Writes to these wait before they begin."""
        for_ms = int(self._patience_s * 2000)
        async with AsyncExitStack() as stack:
            for physical_uid in physical_uids:
                await stack.enter_async_context(self._holds.hold(self._operation, physical_uid, (), for_ms))
            yield

    # -- until reads see it ------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Take over the moves that a process before this one has not concluded. Before anybody reads."""
        open_tasks = await self._store.open_tasks()
        for task in open_tasks:
            moves = moves_from(task.details)
            physical_uids = {move.physical_uid for move in moves}
            before = {each.uid for each in open_tasks if each.physical_uid in physical_uids and each.uid < task.uid}
            if moves:
                self._tracker.follow(task)
                self._waiting.append(_Waiting(task, moves, before))
        self._advance()

    async def run(self) -> None:
        """Conclude the tasks of moves that reads see. A worker for the supervisor."""
        while True:
            self._news = trio.Event()
            while self._due:
                task = self._due[0].task
                details = shown(task.details) or {}
                await self._tracker.conclude(task, "succeeded", details, now_text(), names_from(task.type, details))
                self._due.pop(0)
            await self._news.wait()

    def _ended(self, task: TaskRow) -> None:
        freed = False
        for waiting in self._waiting:
            if task.uid in waiting.waits_for:
                waiting.waits_for.discard(task.uid)
                freed = freed or not waiting.waits_for
        if freed:  # what reads see is made anew only when that changes it: it costs as much as there are indexes
            self._advance()

    def _advance(self) -> None:
        """Let reads see what waits for nothing any more, neither for a task nor for a move before it."""
        still: list[_Waiting] = []
        for waiting in self._waiting:
            if waiting.waits_for or any(waiting.touched & each.touched for each in still):
                still.append(waiting)
            else:
                self._due.append(waiting)
        self._waiting = still
        self._registry.hide([each.moves for each in still])
        if self._due:
            self._news.set()


def _key_taken(name: str, known: str | None) -> ApiError:
    message = f"Index `{name}`: Index already has a primary key: `{known}`."
    return node_error(400, "index_primary_key_already_exists", message)


def _busy() -> ApiError:
    return miroir_error("miroir_overloaded", "The index is being changed by others all the time. Try again shortly.")
