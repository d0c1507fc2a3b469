"""The registry of indexes, and the names of physical indexes."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Final

from miroir.store.base import MappingChanged
from miroir.store.rows import Claim, IndexRow, NewTask, ShardCopies, TaskRow
from miroir.store.sqlite import copies, idempotency, tasks
from miroir.store.sqlite.encoding import SELECT_INDEX, index_row
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
    present = _index(tx.db, uid)
    if present is None or present.physical_uid != physical_uid:
        raise MappingChanged(f"{uid} does not stand for {physical_uid}")
    tx.db.execute("DELETE FROM indexes WHERE uid = ?", (uid,))
    tx.db.execute("DELETE FROM in_sync WHERE physical_uid = ?", (physical_uid,))
    tx.db.execute("DELETE FROM repairs WHERE physical_uid = ?", (physical_uid,))
    tx.db.execute("DELETE FROM intents WHERE physical_uid = ?", (physical_uid,))
    tx.db.execute("UPDATE physical_uids SET garbage = 1 WHERE name = ?", (physical_uid,))
    idempotency.unmade(tx, physical_uid)
    return tasks.register(tx, task)


def next_physical_uid(tx: Tx, uid: str) -> str:
    """`Store.next_physical_uid`."""
    name = uid
    while not _reserve(tx.db, name):
        name = f"_miroir_{tx.next('physical_uid')}_{uid[:_UID_PART]}"
    return name


def list_garbage(db: sqlite3.Connection) -> list[str]:
    """`Store.list_garbage`."""
    return [name for (name,) in db.execute("SELECT name FROM physical_uids WHERE garbage = 1 ORDER BY name")]


def forget_garbage(tx: Tx, physical_uid: str) -> None:
    """`Store.forget_garbage`."""
    tx.db.execute("UPDATE physical_uids SET garbage = 0 WHERE name = ?", (physical_uid,))


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
