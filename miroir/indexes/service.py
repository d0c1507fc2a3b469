"""Indexes as clients handle them: create, delete, list. Settings are `miroir.indexes.settings_changes`.

The registry row comes first, the nodes after: an index that was acknowledged is in the store, whatever happens then. A
physical index gets a new name with every incarnation, so a deletion that a node did late cannot take a new index along.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from time import time
from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec
import trio

from miroir.cluster import Cluster, NodeRefusal, Operation, Writer, Written, groups_short_of
from miroir.errors import ApiError, ErrorBody, miroir_error, node_error
from miroir.http import ExchangeError
from miroir.indexes.alias_conflicts import check_free_of_aliases, check_unaliased
from miroir.indexes.node_index import NodeIndex
from miroir.indexes.node_texts import refusal_of
from miroir.indexes.registry import Index, Registry, index_not_found
from miroir.indexes.uids import check_uid
from miroir.nodes import NodeAnswerError
from miroir.store import Held, IndexRow, MappingChanged, NewTask, Store, StoreError, TaskRow, current_claim
from miroir.tasks import COPIES_NOTE, TaskTracker, now_text
from miroir.telemetry import get_logger

_log = get_logger(__name__)

_LOOK_S: Final = 2.0


class IndexService:
    """Changes indexes, here and on every node."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        writer: Writer,
        tracker: TaskTracker,
        registry: Registry,
        *,
        node_index: NodeIndex,
        default_shards: int,
        keep_targets: bool = True,
    ) -> None:
        """`keep_targets`: an index that an alias stands for is not deleted."""
        self._cluster = cluster
        self._store = store
        self._writer = writer
        self._tracker = tracker
        self._registry = registry
        self._node_index = node_index
        self._default_shards = default_shards
        self._keep_targets = keep_targets
        self._locks: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()
        self._garbage_left = trio.Event()
        self._making: set[str] = set()
        tracker.on_ended(self._ended)
        tracker.on_failed(self._failed)

    def changing(self, uid: str) -> trio.Lock:
        """One change of an index at a time. Locks live as long as somebody holds or awaits them."""
        lock = self._locks.get(uid)
        if lock is None:
            lock = self._locks[uid] = trio.Lock()
        return lock

    def may_lack(self, node: str, physical_uid: str) -> bool:
        """Whether a node that is in order may be without an index: one it has still to make, or to drop.

        Otherwise it has lost it, and with it documents that were acknowledged.
        """
        return (
            physical_uid in self._making
            or self._registry.behind(physical_uid) is None
            or self._tracker.may_lack(node, physical_uid)
        )

    def short_groups(self, task: TaskRow, *, also: Collection[str] = ()) -> tuple[int, ...]:
        """Groups that a change of a whole index has reached too few copies of; none where nodes have no part in it.

        `also`: nodes that are told later.
        """
        index = self._registry.behind(task.physical_uid or "")
        if index is None or not task.node_tasks:
            return ()
        told = {part.node for part in task.node_tasks}
        return groups_short_of(self._cluster.placement(index.row.shards), told.union(also))

    # -- create ------------------------------------------------------------------------------------------------------

    async def create(self, uid: str, primary_key: str | None, *, created_at: str | None = None) -> TaskRow:
        """`POST /indexes`. A name that is taken is a failed task, as on a node.

        `created_at`: when one that is restored was made; None: now.
        """
        check_uid(uid)
        async with self.changing(uid):
            is_alias = self._registry.alias(uid) is not None
            index = None if is_alias else self._registry.find(uid)
            if index is not None and await self._made_before(index):
                return await self._registered(uid, primary_key)
            if index is not None or is_alias:
                return await self.fail(
                    "indexCreation",
                    uid,
                    {"primaryKey": primary_key},
                    node_error(400, "index_already_exists", f"Index `{uid}` already exists.").body(),
                )
            return await self._create(uid, primary_key, {}, origin="client", created_at=created_at)

    async def _made_before(self, index: Index) -> bool:
        """Whether it was put into the registry by an interrupted attempt under the key of this very request."""
        claim = current_claim()
        kept = None if claim is None else await self._store.find_idempotency(claim.key, int(time() * 1000))
        return kept is not None and kept.made == index.physical_uid

    async def _registered(self, uid: str, primary_key: str | None) -> TaskRow:
        """The creation that was interrupted is done: the index is there, and repair brings it to the nodes."""
        now = now_text()
        details = {"primaryKey": primary_key}
        return await self._tracker.register(
            NewTask(uid, "indexCreation", details, now, status="succeeded", started_at=now, finished_at=now)
        )

    async def ensure(self, uid: str, primary_key: str | None) -> Index:
        """The index of that name, created if there is none: what a first write does."""
        index = self._registry.find(uid)
        if index is not None:
            return index
        check_uid(uid)
        async with self.changing(uid):
            index = self._registry.find(uid)
            if index is None:
                check_unaliased(self._registry, [uid])
                await self._create(uid, primary_key, {}, origin="write")
        return self._registry.get(uid)

    async def _create(
        self,
        uid: str,
        primary_key: str | None,
        wish: Mapping[str, Any],
        *,
        origin: str,
        created_at: str | None = None,
    ) -> TaskRow:
        now = now_text()
        shards = self._default_shards
        row = IndexRow(
            uid=uid,
            physical_uid=await self._free_physical_uid(uid),
            primary_key=primary_key,
            shards=shards,
            settings=msgspec.json.encode(wish),
            settings_version=1,
            frozen=False,
            created_at=created_at or now,
            updated_at=now,
        )
        copies = self._cluster.placement(shards).copies()
        with trio.CancelScope(shield=True):  # the store and what we remember of it must not part
            claim = current_claim() if origin == "client" else None
            row, inserted = await self._store.insert_index(row, copies, claim)
            index = self._registry.put(row)
        if not inserted:  # another process was faster
            return await self.fail(
                "indexCreation",
                uid,
                {"primaryKey": primary_key},
                node_error(400, "index_already_exists", f"Index `{uid}` already exists.").body(),
            )
        task = NewTask(uid, "indexCreation", {"primaryKey": primary_key}, now, origin=origin)
        try:
            return await self._make(index, task)
        except ApiError:
            await self._roll_back(index, None)
            raise

    async def _make(self, index: Index, task: NewTask) -> TaskRow:
        """Have the nodes make it. Who reads it meanwhile is told of it by the registry already."""
        self._making.add(index.physical_uid)
        try:
            return (await self._write(index, self._creation(index, task))).task
        finally:
            self._making.discard(index.physical_uid)

    def _creation(self, index: Index, task: NewTask) -> Operation:
        calls = self._node_index.calls_to_restore(index, None)
        shards = index.row.shards
        return Operation(
            index_uid=index.uid,
            physical_uid=index.physical_uid,
            index_shards=shards,
            shards=tuple(range(shards)),
            calls=lambda _intent, _shards: calls,
            task=task,
        )

    async def _free_physical_uid(self, uid: str) -> str:
        """A physical name that no node has an index of: what we did not create must never become ours to delete."""
        while True:
            physical_uid = await self._store.next_physical_uid(uid)
            if not await self._exists(physical_uid):
                return physical_uid
            _log.warning("nodes have an index of that name already; it is left alone", index=physical_uid)

    async def _exists(self, physical_uid: str) -> bool:
        for node in self._cluster.readiest():
            with trio.move_on_after(_LOOK_S), suppress(ExchangeError, NodeAnswerError):
                if await self._cluster.clients[node].has_index(physical_uid):
                    return True
        return False

    async def _write(self, index: Index, operation: Operation) -> Written:
        """Write a change of the whole index; `ApiError` when it does not stand.

        Where it may have been applied in part, or was interrupted, all shards are verified: that restores the nodes.
        """
        try:
            return await self._writer.write(operation)
        except NodeRefusal as failure:
            raise refusal_of(index, failure.status, failure.body) from None
        except MappingChanged:
            raise miroir_error("miroir_overloaded", "The index was changed at the same time. Try again.") from None
        except BaseException:
            with trio.CancelScope(shield=True), suppress(StoreError):
                shards: dict[int, str | None] = dict.fromkeys(range(index.row.shards))
                since = await self._store.issue_stamp()
                await self._store.queue_repairs(index.physical_uid, shards, "change interrupted", since=since)
            raise

    async def _roll_back(self, index: Index, creation: TaskRow | None) -> None:
        """The creation failed: forget the row, leave the rest to the garbage collector.

        Others saw the index meanwhile. What they were told of it stands, and then so does the index: see to it.
        """
        with trio.CancelScope(shield=True):
            task = NewTask(
                index.uid,
                "indexDeletion",
                {"deletedDocuments": 0},
                now_text(),
                status="succeeded",
                finished_at=now_text(),
                origin="rollback",
            )
            try:
                unused = await self._store.take_back_index(index.row, task, None if creation is None else creation.uid)
            except MappingChanged:
                return
            if unused:
                self._forget(index)
            else:
                since = await self._store.issue_stamp() if creation is None else creation.stamp
                await self._see_to_it(index, "indexCreation", since=since)

    # -- delete ------------------------------------------------------------------------------------------------------

    async def delete(self, uid: str) -> TaskRow:
        """`DELETE /indexes/{uid}`: the name is free at once; the task ends when the nodes have dropped theirs."""
        async with self.changing(uid):
            check_unaliased(self._registry, [uid])
            if self._keep_targets:
                check_free_of_aliases(self._registry, uid)
            index = self._registry.find(uid)
            if index is None:
                return await self.fail("indexDeletion", uid, {"deletedDocuments": 0}, index_not_found(uid).body())
            copies = len(self._cluster.placement(index.row.shards).owners[0])
            new_task = NewTask(
                uid,
                "indexDeletion",
                {"deletedDocuments": None, COPIES_NOTE: copies},
                now_text(),
                physical_uid=index.physical_uid,
            )
            with trio.CancelScope(shield=True):  # the store and what we remember of it must not part
                task = await self._store.delete_index(uid, index.physical_uid, new_task)
                self._forget(index)
            return task

    def _forget(self, index: Index) -> None:
        self._registry.remove(index.uid)
        self._cluster.forget_index(index.physical_uid)
        self._garbage_left.set()

    def forget_physical(self, physical_uid: str) -> None:
        """No node has it any more, and no text will name it."""
        self._registry.forget_physical(physical_uid)

    async def garbage_left(self) -> None:
        """Wait until some physical index was left behind."""
        await self._garbage_left.wait()
        self._garbage_left = trio.Event()

    # -- primary key -------------------------------------------------------------------------------------------------

    async def set_primary_key(self, uid: str, primary_key: str) -> Index:
        """The first write that says or shows it decides; if another was faster, its key stands."""
        async with self.changing(uid):
            index = self._registry.get(uid)
            if index.row.primary_key is not None:
                return index
            task = NewTask(uid, "settingsUpdate", {}, now_text(), origin="primary_key")
            await self.give_primary_key(index, primary_key, task)
            return self._registry.get(uid)

    async def give_primary_key(self, index: Index, primary_key: str, task: NewTask) -> TaskRow:
        """Its first primary key. The caller holds `changing`.

        Everybody sees the key at once, and may have documents acknowledged that lie where it says. So it is taken back
        only where nodes refused it, not where they did not answer.
        """
        earlier = index.row.primary_key
        row = await self._save(index.row, primary_key=primary_key)
        index = self._registry.get(row.uid)
        call = self._node_index.primary_key_call(row, replace(row, primary_key=earlier), index.wishes[-1])
        operation = Operation(
            index_uid=row.uid,
            physical_uid=row.physical_uid,
            index_shards=row.shards,
            shards=tuple(range(row.shards)),
            calls=lambda _intent, _shards: (call,),
            task=task,
        )
        try:
            return (await self._write(index, operation)).task
        except ApiError as failure:
            if failure.status < 500:
                await self._save(row, primary_key=earlier)
            raise

    async def make_anew(self, index: Index, primary_key: str, task: NewTask) -> TaskRow:
        """An index that is empty under another primary key. The caller holds `changing`, and writes to the index.

        Another physical index takes its place: a node refuses to change the key where a copy still holds a document,
        and one that is behind may. There is nothing to roll back to when this does not stand: the nodes are given the
        empty index by repair.
        """
        row = replace(
            index.row,
            physical_uid=await self._free_physical_uid(index.uid),
            primary_key=primary_key,
            settings=msgspec.json.encode(index.wishes[-1]),
            settings_version=index.row.settings_version + 1,
            updated_at=now_text(),
        )
        copies = self._cluster.placement(row.shards).copies()
        with trio.CancelScope(shield=True):  # the store and what we remember of it must not part
            try:
                row = await self._store.replace_index(index.physical_uid, row, copies)
            except (Held, MappingChanged):
                raise miroir_error("miroir_overloaded", "The index was changed at the same time. Try again.") from None
            self._forget(index)
            renewed = self._registry.put(row)
        return await self._make(renewed, task)

    async def _save(self, row: IndexRow, **changes: Any) -> IndexRow:
        """Change the row, whatever else of it was changed since it was seen: settings are committed at any time."""
        while True:
            try:
                saved = await self._store.update_index(replace(row, **changes, updated_at=now_text()))
            except MappingChanged:
                self._registry.catch_up(await self._store.list_indexes())
                now = self._registry.behind(row.physical_uid)
                is_newer = now is not None and now.row.revision > row.revision
                if now is None or not is_newer or any(getattr(now.row, name) != getattr(row, name) for name in changes):
                    raise miroir_error(
                        "miroir_overloaded", "The index was changed at the same time. Try again."
                    ) from None
                row = now.row
            else:
                self._registry.put(saved)
                return saved

    # -- afterwards --------------------------------------------------------------------------------------------------

    def _ended(self, task: TaskRow) -> None:
        """The index is as of the end of this task."""
        index = self._registry.behind(task.physical_uid or "")
        if index is None or task.status != "succeeded" or task.finished_at is None:
            return
        if task.finished_at > index.row.updated_at:
            self._registry.put(replace(index.row, updated_at=task.finished_at))

    async def _failed(self, task: TaskRow) -> None:
        """No owner could create it: take back what the registry says."""
        index = self._registry.behind(task.physical_uid or "")
        if index is None:
            return
        if task.type == "indexCreation":
            await self._creation_failed(index, task)
        elif task.type == "indexUpdate":  # of its primary key, by which documents are written already
            await self._see_to_it(index, task.type, since=task.stamp)

    async def _creation_failed(self, index: Index, task: TaskRow) -> None:
        """Roll back what a client asked for. What a write did is needed by that write: see to it that it is there."""
        if task.origin == "client":
            await self._roll_back(index, task)
        else:
            await self._see_to_it(index, task.type, since=task.stamp)

    async def _see_to_it(self, index: Index, type: str, *, since: int) -> None:
        """Have every node given the index as the registry has it, which what failed was to do."""
        shards: dict[int, str | None] = dict.fromkeys(range(index.row.shards))
        await self._store.queue_repairs(index.physical_uid, shards, f"{type} failed", since=since)

    async def fail(self, type: str, uid: str | None, details: Mapping[str, Any], error: ErrorBody) -> TaskRow:
        """Register a task that a node would accept and then fail."""
        now = now_text()
        return await self._tracker.register(
            NewTask(uid, type, details, now, status="failed", error=error, started_at=now, finished_at=now)
        )
