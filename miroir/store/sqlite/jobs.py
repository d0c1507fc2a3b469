"""Jobs: long work that outlives the process it was begun in."""

from __future__ import annotations

import sqlite3

import orjson

from miroir.store.rows import JobRow
from miroir.store.sqlite.encoding import json_text, mapping_text
from miroir.store.sqlite.writer import Tx


def list_jobs(db: sqlite3.Connection, type: str) -> list[JobRow]:
    """`Store.list_jobs`."""
    rows = db.execute(
        "SELECT id, type, state, params, progress, error, created_at, updated_at FROM jobs "
        "WHERE type = ? ORDER BY created_at, id",
        (type,),
    )
    return [
        JobRow(
            id,
            kind,
            state,
            orjson.loads(params),
            orjson.loads(progress),
            None if error is None else orjson.loads(error),
            created_at,
            updated_at,
        )
        for id, kind, state, params, progress, error, created_at, updated_at in rows
    ]


def put_job(tx: Tx, row: JobRow) -> None:
    """`Store.put_job`."""
    tx.db.execute(
        "INSERT OR REPLACE INTO jobs (id, type, state, params, progress, error, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.id,
            row.type,
            row.state,
            json_text(dict(row.params)),
            json_text(dict(row.progress)),
            mapping_text(row.error),
            row.created_at,
            row.updated_at,
        ),
    )


def delete_job(tx: Tx, id: str) -> None:
    """`Store.delete_job`."""
    tx.db.execute("DELETE FROM jobs WHERE id = ?", (id,))
