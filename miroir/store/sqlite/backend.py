"""`SqliteStore`: the store's protocol, each method one transaction of the writer or one snapshot of the reader."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import trio

from miroir.store.base import NoQuorum, Store
from miroir.store.rows import (
    AliasFlip,
    AliasRow,
    Begin,
    Claim,
    Commit,
    Committed,
    HoldRow,
    IdempotencyRow,
    IndexMove,
    IndexRow,
    Intent,
    JobRow,
    KeyRow,
    Moved,
    NewTask,
    NodeIdentity,
    NodeSettings,
    Repair,
    Settle,
    ShardCopies,
    TaskPage,
    TaskQuery,
    TaskRow,
    TopologyRow,
    WebhookRow,
)
from miroir.store.sqlite import (
    aliases,
    cluster,
    copies,
    holds,
    idempotency,
    indexes,
    jobs,
    keys,
    task_listing,
    task_selection,
    tasks,
    webhooks,
    writes,
)
from miroir.store.sqlite.connection import connect, unavailable
from miroir.store.sqlite.reader import Reader
from miroir.store.sqlite.schema import migrate
from miroir.store.sqlite.writer import Tx, Writer


def wall_clock_us() -> int:
    """Microseconds of the Unix clock."""
    return time.time_ns() // 1000


async def open_sqlite(
    path: str | Path, *, clock_us: Callable[[], int] = wall_clock_us, busy_timeout_ms: int = 5000
) -> SqliteStore:
    """Open the store in the file `path`, made with its directory if missing, and bring its schema up to date.

    Close it with `aclose`, or use it as `async with await open_sqlite(path) as store`. It belongs to the Trio run that
    opened it; any number of stores, in any number of processes of one machine, may share the file. `clock_us` is
    called on the writer's thread. Raises `SchemaVersionAhead` and `StoreUnavailable`.
    """
    # Not abandoned when cancelled: a connection that nobody closes would be left behind.
    db, file = await trio.to_thread.run_sync(_open, Path(path), busy_timeout_ms)
    return SqliteStore(Writer(db, clock_us), Reader(file, busy_timeout_ms))


def _open(path: Path, busy_timeout_ms: int) -> tuple[sqlite3.Connection, Path]:
    try:
        path = path.absolute()  # the readers open it later, from wherever the process is then
        path.parent.mkdir(parents=True, exist_ok=True)
        db = connect(path, busy_timeout_ms=busy_timeout_ms)
    except (OSError, sqlite3.Error) as error:
        raise unavailable(error) from error
    try:
        migrate(db)
    except BaseException as error:
        db.close()
        if isinstance(error, sqlite3.Error):
            raise unavailable(error) from error
        raise
    return db, path


class SqliteStore(Store):
    """See `Store`. Made by `open_sqlite`."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """See `Store`. Not cancelled: it takes no longer than what is being written."""
        with trio.CancelScope(shield=True):
            await self._reader.aclose()
            await self._writer.aclose()

    # -- topology ------------------------------------------------------------------------------------------------------

    async def load_topology(self) -> TopologyRow | None:
        return await self._reader.run(cluster.load_topology)

    async def save_topology(self, row: TopologyRow) -> bool:
        return await self._writer.run(lambda tx: cluster.save_topology(tx, row))

    # -- indexes -------------------------------------------------------------------------------------------------------

    async def list_indexes(self) -> list[IndexRow]:
        return await self._reader.run(indexes.list_indexes)

    async def insert_index(
        self, row: IndexRow, in_sync: ShardCopies, claim: Claim | None = None
    ) -> tuple[IndexRow, bool]:
        return await self._writer.run(lambda tx: indexes.insert_index(tx, row, in_sync, claim))

    async def next_physical_uid(self, uid: str) -> str:
        return await self._writer.run(lambda tx: indexes.next_physical_uid(tx, uid))

    async def update_index(self, row: IndexRow) -> IndexRow:
        return await self._writer.run(lambda tx: indexes.update_index(tx, row))

    async def delete_index(self, uid: str, physical_uid: str, task: NewTask) -> TaskRow:
        return await self._writer.run(lambda tx: indexes.delete_index(tx, uid, physical_uid, task))

    async def take_back_index(self, row: IndexRow, task: NewTask, creation: int | None = None) -> bool:
        return await self._writer.run(lambda tx: indexes.take_back_index(tx, row, task, creation))

    async def move_indexes(
        self, moves: Sequence[IndexMove], task: NewTask, on_moved: Callable[[Moved], None]
    ) -> TaskRow:
        moved = await self._writer.run(lambda tx: indexes.move_indexes(tx, moves, task), on_delivery=on_moved)
        return moved.task

    async def replace_index(self, physical_uid: str, row: IndexRow, in_sync: ShardCopies) -> IndexRow:
        return await self._writer.run(lambda tx: indexes.replace_index(tx, physical_uid, row, in_sync))

    async def given_out(self, names: Collection[str]) -> frozenset[str]:
        return await self._reader.run(lambda db: indexes.given_out(db, names))

    async def list_garbage(self) -> list[str]:
        return await self._reader.run(indexes.list_garbage)

    async def forget_garbage(self, physical_uid: str) -> None:
        await self._writer.run(lambda tx: indexes.forget_garbage(tx, physical_uid))

    async def list_node_settings(self) -> list[NodeSettings]:
        return await self._reader.run(indexes.list_node_settings)

    async def save_node_settings(self, rows: Sequence[NodeSettings]) -> None:
        await self._writer.run(lambda tx: indexes.save_node_settings(tx, rows))

    # -- aliases -------------------------------------------------------------------------------------------------------

    async def list_aliases(self) -> list[AliasRow]:
        return await self._reader.run(aliases.list_aliases)

    async def put_alias(self, row: AliasRow, keep: int) -> AliasRow:
        return await self._writer.run(lambda tx: aliases.put_alias(tx, row, keep))

    async def delete_alias(self, name: str, version: int) -> None:
        await self._writer.run(lambda tx: aliases.delete_alias(tx, name, version))

    async def alias_history(self, name: str) -> list[AliasFlip]:
        return await self._reader.run(lambda db: aliases.alias_history(db, name))

    # -- copies --------------------------------------------------------------------------------------------------------

    async def load_in_sync(self) -> dict[str, dict[int, frozenset[str]]]:
        return await self._reader.run(copies.load_in_sync)

    async def drop_node_copies(self, node: str, lost_as: str) -> dict[str, dict[int, frozenset[str]]]:
        return await self._writer.run(lambda tx: copies.drop_node_copies(tx, node, lost_as))

    async def allocate_stale(
        self, physical_uid: str, expected: ShardCopies, node: str, others: ShardCopies
    ) -> dict[int, frozenset[str]]:
        return await self._writer.run(lambda tx: copies.allocate_stale(tx, physical_uid, expected, node, others))

    def watch_in_sync(self, watcher: Callable[[str, ShardCopies], None]) -> None:
        self._writer.watch = watcher

    async def leave_in_sync(
        self, physical_uid: str, lost: ShardCopies, reason: str, *, since: int
    ) -> dict[int, frozenset[str]]:
        return await self._writer.run(lambda tx: copies.leave_in_sync(tx, physical_uid, lost, reason, since=since))

    async def join_in_sync(self, physical_uid: str, shard: int, node: str, hold: str, source: str) -> frozenset[str]:
        return await self._writer.run(lambda tx: copies.join_in_sync(tx, physical_uid, shard, node, hold, source))

    async def queue_repairs(
        self, physical_uid: str, shards: Mapping[int, str | None], reason: str, *, since: int = 0
    ) -> None:
        await self._writer.run(lambda tx: copies.queue_repairs(tx, physical_uid, shards, reason, since=since))

    async def list_repairs(self) -> list[Repair]:
        return await self._reader.run(copies.list_repairs)

    async def finish_repair(self, repair: Repair) -> None:
        await self._writer.run(lambda tx: copies.finish_repair(tx, repair))

    # -- the write protocol --------------------------------------------------------------------------------------------

    async def begin(self, begin: Begin, on_begun: Callable[[Intent], None]) -> Intent:
        return await self._writer.run(lambda tx: writes.begin(tx, begin), on_delivery=on_begun, undo=_withdraw)

    async def commit(self, commit: Commit) -> Committed:
        committed = await self._writer.run(lambda tx: writes.commit(tx, commit))
        if isinstance(committed, NoQuorum):
            raise committed
        return committed

    async def withdraw(self, stamp: int, *, verify: bool) -> None:
        await self._writer.run(lambda tx: writes.withdraw(tx, stamp, verify=verify))

    async def open_intents(self) -> list[Intent]:
        return await self._reader.run(writes.open_intents)

    async def expire_intents(self, older_than_ms: int, dead_peers: frozenset[str]) -> list[Intent]:
        return await self._writer.run(lambda tx: writes.expire_intents(tx, older_than_ms, dead_peers))

    async def issue_stamp(self) -> int:
        return await self._writer.run(writes.issue_stamp)

    # -- holds ---------------------------------------------------------------------------------------------------------

    async def place_hold(self, hold: HoldRow) -> None:
        await self._writer.run(lambda tx: holds.place_hold(tx, hold))

    async def release_hold(self, operation: str, physical_uid: str) -> None:
        await self._writer.run(lambda tx: holds.release_hold(tx, operation, physical_uid))

    # -- tasks ---------------------------------------------------------------------------------------------------------

    async def add_task(self, task: NewTask) -> TaskRow:
        return await self._writer.run(lambda tx: tasks.register(tx, task))

    async def get_task(self, uid: int) -> TaskRow | None:
        return await self._reader.run(lambda db: tasks.get_task(db, uid))

    async def list_tasks(self, query: TaskQuery) -> TaskPage:
        return await self._reader.run(lambda db: task_listing.list_tasks(db, query))

    async def add_cancelation(self, task: NewTask, query: TaskQuery, types: frozenset[str]) -> TaskRow:
        return await self._writer.run(lambda tx: task_selection.add_cancelation(tx, task, query, types))

    async def tasks_being_canceled(self, canceled_by: int) -> list[int]:
        return await self._reader.run(lambda db: task_selection.tasks_being_canceled(db, canceled_by))

    async def add_deletion(self, task: NewTask, query: TaskQuery) -> TaskRow:
        return await self._writer.run(lambda tx: task_selection.add_deletion(tx, task, query))

    async def delete_tasks(self, query: TaskQuery, before: int, limit: int) -> list[TaskRow]:
        return await self._writer.run(lambda tx: task_selection.delete_tasks(tx, query, before, limit))

    async def open_tasks(self) -> list[TaskRow]:
        return await self._reader.run(tasks.open_tasks)

    async def update_open_task(self, task: TaskRow) -> None:
        await self._writer.run(lambda tx: tasks.update_open_task(tx, task))

    async def settle(self, settle: Settle) -> tuple[TaskRow, dict[int, frozenset[str]]]:
        return await self._writer.run(lambda tx: tasks.settle(tx, settle))

    async def list_follow_ups(self) -> list[TaskRow]:
        return await self._reader.run(tasks.list_follow_ups)

    async def finish_follow_up(self, task_uid: int) -> None:
        await self._writer.run(lambda tx: tasks.finish_follow_up(tx, task_uid))

    async def settle_change(
        self, settle: Settle, row: IndexRow, nodes: Sequence[NodeSettings]
    ) -> tuple[TaskRow, IndexRow]:
        return await self._writer.run(lambda tx: _settle_change(tx, settle, row, nodes))

    async def prune_tasks(self, finished_before: str, limit: int) -> int:
        return await self._writer.run(lambda tx: tasks.prune_tasks(tx, finished_before, limit))

    async def count_tasks(self) -> dict[str, int]:
        return await self._reader.run(tasks.count_tasks)

    # -- nodes ---------------------------------------------------------------------------------------------------------

    async def load_identities(self) -> dict[str, NodeIdentity]:
        return await self._reader.run(cluster.load_identities)

    async def save_identity(self, identity: NodeIdentity) -> None:
        await self._writer.run(lambda tx: cluster.save_identity(tx, identity))

    async def cluster_id(self) -> str:
        return await self._reader.run(cluster.cluster_id)

    # -- keys ----------------------------------------------------------------------------------------------------------

    async def list_keys(self) -> list[KeyRow]:
        return await self._reader.run(keys.list_keys)

    async def put_key(self, row: KeyRow) -> None:
        await self._writer.run(lambda tx: keys.put_key(tx, row))

    async def forget_key(self, uid: str) -> None:
        await self._writer.run(lambda tx: keys.forget_key(tx, uid))

    # -- webhooks ------------------------------------------------------------------------------------------------------

    async def list_webhooks(self) -> list[WebhookRow]:
        return await self._reader.run(webhooks.list_webhooks)

    async def put_webhook(self, row: WebhookRow) -> None:
        await self._writer.run(lambda tx: webhooks.put_webhook(tx, row))

    async def delete_webhook(self, uuid: str) -> None:
        await self._writer.run(lambda tx: webhooks.delete_webhook(tx, uuid))

    # -- jobs ----------------------------------------------------------------------------------------------------------

    async def list_jobs(self, type: str) -> list[JobRow]:
        return await self._reader.run(lambda db: jobs.list_jobs(db, type))

    async def put_job(self, row: JobRow) -> None:
        await self._writer.run(lambda tx: jobs.put_job(tx, row))

    async def delete_job(self, id: str) -> None:
        await self._writer.run(lambda tx: jobs.delete_job(tx, id))

    # -- experimental features -----------------------------------------------------------------------------------------

    async def load_features(self) -> dict[str, bool]:
        return await self._reader.run(cluster.load_features)

    async def save_features(self, features: Mapping[str, bool]) -> None:
        await self._writer.run(lambda tx: cluster.save_features(tx, features))

    # -- idempotency ---------------------------------------------------------------------------------------------------

    async def find_idempotency(self, key: bytes, now_ms: int) -> IdempotencyRow | None:
        return await self._reader.run(lambda db: idempotency.find_idempotency(db, key, now_ms))

    async def count_idempotency(self) -> int:
        return await self._reader.run(idempotency.count_idempotency)

    async def prune_idempotency(self, now_ms: int, keep_at_most: int) -> int:
        return await self._writer.run(lambda tx: idempotency.prune_idempotency(tx, now_ms, keep_at_most))


def _withdraw(tx: Tx, intent: Intent) -> None:
    """Nobody took the intent, so nothing was sent under it."""
    writes.withdraw(tx, intent.stamp, verify=False)


def _settle_change(tx: Tx, settle: Settle, row: IndexRow, nodes: Sequence[NodeSettings]) -> tuple[TaskRow, IndexRow]:
    updated = indexes.update_index(tx, row)
    indexes.save_node_settings(tx, nodes)
    task, _ = tasks.settle(tx, settle)
    return task, updated
