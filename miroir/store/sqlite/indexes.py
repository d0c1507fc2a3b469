"""The registry of indexes, and the names of physical indexes."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final

from miroir.store.base import Held, MappingChanged
from miroir.store.rfc3339 import nanoseconds
from miroir.store.rows import Claim, IndexMove, IndexRow, Moved, NewTask, NodeSettings, ShardCopies, TaskRow
from miroir.store.sqlite import copies, idempotency, tasks
from miroir.store.sqlite.aliases import check_no_alias
from miroir.store.sqlite.encoding import SELECT_INDEX, index_row, set_text
from miroir.store.sqlite.writer import Tx

_UID_PART: Final = 400
"""Characters of the uid that a generated name keeps: Meilisearch allows a name 512 bytes."""


def list_indexes(db: sqlite3.Connection) -> list[IndexRow]:
    """Every index, by uid."""
    return [index_row(row) for row in db.execute(SELECT_INDEX + " ORDER BY uid")]


def insert_index(tx: Tx, row: IndexRow, in_sync: ShardCopies, claim: Claim | None) -> tuple[IndexRow, bool]:
    """`Store.insert_index`."""
    present = _index(tx.db, row.uid)
    if present is not None:
        return present, False
    if claim is not None:
        idempotency.attempt(tx, claim, made=row.physical_uid)
    check_no_alias(tx.db, row.uid)
    inserted = replace(row, revision=tx.next("revision"))
    _put(tx.db, inserted)
    copies.put_in_sync(tx, row.physical_uid, in_sync)
    return inserted, True


def update_index(tx: Tx, row: IndexRow) -> IndexRow:
    """`Store.update_index`."""
    present = _index(tx.db, row.uid)
    if present is None or present.revision != row.revision:
        revision = None if present is None else present.revision
        raise MappingChanged(f"{row.uid} has revision {revision}, not {row.revision}")
    updated = replace(row, revision=tx.next("revision"))
    _put(tx.db, updated)
    return updated


def delete_index(tx: Tx, uid: str, physical_uid: str, task: NewTask) -> TaskRow:
    """`Store.delete_index`."""
    _standing(tx.db, uid, physical_uid)
    tx.db.execute("DELETE FROM indexes WHERE uid = ?", (uid,))
    _discard(tx, physical_uid)
    return tasks.register(tx, task)


def take_back_index(tx: Tx, row: IndexRow, task: NewTask, creation: int | None) -> bool:
    """`Store.take_back_index`."""
    told = tx.db.execute(
        "SELECT 1 FROM tasks WHERE origin = 'client' AND enqueued_ns >= ? AND (physical_uid = ? OR index_uid = ?) "
        "AND uid IS NOT ? LIMIT 1",
        (nanoseconds(row.created_at), row.physical_uid, row.uid, creation),
    ).fetchone()
    if told is not None:
        return False
    delete_index(tx, row.uid, row.physical_uid, task)
    return True


def move_indexes(tx: Tx, moves: Sequence[IndexMove], task: NewTask) -> Moved:
    """`Store.move_indexes`, but for `on_moved`."""
    rows = [_standing(tx.db, move.uid, move.physical_uid) for move in moves]
    leaving = {move.uid for move in moves}
    for move in moves:
        if move.to not in leaving and _index(tx.db, move.to) is not None:
            raise MappingChanged(f"{move.to} is taken")
        check_no_alias(tx.db, move.to)
    physical_uids = [move.physical_uid for move in moves]
    _check_written(tx, physical_uids)
    open_tasks = tx.db.execute(
        "SELECT uid FROM tasks WHERE status IN ('enqueued', 'processing') "
        "AND physical_uid IN (SELECT value FROM json_each(?))",
        (set_text(physical_uids),),
    )
    waits_for = frozenset(uid for (uid,) in open_tasks)
    tx.db.executemany("DELETE FROM indexes WHERE uid = ?", [(uid,) for uid in leaving])
    moved = tuple(
        replace(row, uid=move.to, updated_at=move.updated_at or row.updated_at, revision=tx.next("revision"))
        for row, move in zip(rows, moves, strict=True)
    )
    for row in moved:
        _put(tx.db, row)
    return Moved(tasks.register(tx, task), moved, waits_for)


def replace_index(tx: Tx, physical_uid: str, row: IndexRow, in_sync: ShardCopies) -> IndexRow:
    """`Store.replace_index`."""
    present = _standing(tx.db, row.uid, physical_uid)
    if present.revision != row.revision:
        raise MappingChanged(f"{row.uid} has revision {present.revision}, not {row.revision}")
    _check_written(tx, [physical_uid])
    replaced = replace(row, revision=tx.next("revision"))
    _put(tx.db, replaced)
    _discard(tx, physical_uid)
    copies.put_in_sync(tx, row.physical_uid, in_sync)
    return replaced


def next_physical_uid(tx: Tx, uid: str) -> str:
    """`Store.next_physical_uid`."""
    name = uid
    while not _reserve(tx.db, name):
        name = f"_miroir_{tx.next('physical_uid')}_{uid[:_UID_PART]}"
    return name


def given_out(db: sqlite3.Connection, names: Collection[str]) -> frozenset[str]:
    """`Store.given_out`."""
    rows = db.execute(
        "SELECT name FROM physical_uids WHERE name IN (SELECT value FROM json_each(?))", (set_text(names),)
    )
    return frozenset(name for (name,) in rows)


def list_node_settings(db: sqlite3.Connection) -> list[NodeSettings]:
    """`Store.list_node_settings`."""
    rows = db.execute("SELECT physical_uid, node, version, fingerprint, updated_at FROM node_settings_version")
    return [NodeSettings(*row) for row in rows]


def save_node_settings(tx: Tx, rows: Iterable[NodeSettings]) -> None:
    """`Store.save_node_settings`."""
    tx.db.executemany(
        "INSERT OR REPLACE INTO node_settings_version (physical_uid, node, version, fingerprint, updated_at) "
        "VALUES (?, ?, ?, ?, ?)",
        [(row.physical_uid, row.node, row.version, row.fingerprint, row.updated_at) for row in rows],
    )


def list_garbage(db: sqlite3.Connection) -> list[str]:
    """`Store.list_garbage`."""
    return [name for (name,) in db.execute("SELECT name FROM physical_uids WHERE garbage = 1 ORDER BY name")]


def forget_garbage(tx: Tx, physical_uid: str) -> None:
    """`Store.forget_garbage`."""
    tx.db.execute("UPDATE physical_uids SET garbage = 0 WHERE name = ?", (physical_uid,))


def _discard(tx: Tx, physical_uid: str) -> None:
    """No name stands for it any more: nothing is kept of it but that nodes have to drop it."""
    for table in ("in_sync", "repairs", "intents"):
        tx.db.execute(f"DELETE FROM {table} WHERE physical_uid = ?", (physical_uid,))  # noqa: S608 - constants
    tx.db.execute("UPDATE physical_uids SET garbage = 1 WHERE name = ?", (physical_uid,))
    idempotency.unmade(tx, physical_uid)


def _check_written(tx: Tx, physical_uids: Iterable[str]) -> None:
    """Raise `Held` while a write to one of them is between begin and commit."""
    written = tx.db.execute(
        "SELECT 1 FROM intents WHERE physical_uid IN (SELECT value FROM json_each(?)) LIMIT 1",
        (set_text(physical_uids),),
    ).fetchone()
    if written is not None:
        raise Held("a write", tx.now_ms)


def _standing(db: sqlite3.Connection, uid: str, physical_uid: str) -> IndexRow:
    row = _index(db, uid)
    if row is None or row.physical_uid != physical_uid:
        raise MappingChanged(f"{uid} does not stand for {physical_uid}")
    return row


def _index(db: sqlite3.Connection, uid: str) -> IndexRow | None:
    row = db.execute(SELECT_INDEX + " WHERE uid = ?", (uid,)).fetchone()
    return None if row is None else index_row(row)


def _put(db: sqlite3.Connection, row: IndexRow) -> None:
    db.execute(
        "INSERT OR REPLACE INTO indexes (uid, physical_uid, primary_key, shards, settings, settings_version, frozen, "
        "created_at, updated_at, revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.uid,
            row.physical_uid,
            row.primary_key,
            row.shards,
            row.settings,
            row.settings_version,
            int(row.frozen),
            row.created_at,
            row.updated_at,
            row.revision,
        ),
    )
    # A name that came from elsewhere than `next_physical_uid` is taken all the same.
    _reserve(db, row.physical_uid)


def _reserve(db: sqlite3.Connection, name: str) -> bool:
    """Take the name; False if it was taken before."""
    return db.execute("INSERT OR IGNORE INTO physical_uids (name) VALUES (?)", (name,)).rowcount == 1
