"""API keys."""

from __future__ import annotations

import sqlite3

import orjson

from miroir.store.rows import KeyRow
from miroir.store.sqlite.encoding import json_text
from miroir.store.sqlite.writer import Tx


def list_keys(db: sqlite3.Connection) -> list[KeyRow]:
    """`Store.list_keys`."""
    rows = db.execute(
        "SELECT uid, state, name, description, actions, indexes, expires_at, created_at, updated_at, default_key "
        "FROM keys ORDER BY uid"
    )
    return [
        KeyRow(uid, state, name, description, tuple(orjson.loads(actions)), tuple(orjson.loads(indexes)), *rest)
        for uid, state, name, description, actions, indexes, *rest in rows
    ]


def put_key(tx: Tx, row: KeyRow) -> None:
    """`Store.put_key`."""
    tx.db.execute(
        "INSERT OR REPLACE INTO keys (uid, state, name, description, actions, indexes, expires_at, created_at, "
        "updated_at, default_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.uid,
            row.state,
            row.name,
            row.description,
            json_text(row.actions),
            json_text(row.indexes),
            row.expires_at,
            row.created_at,
            row.updated_at,
            row.default_key,
        ),
    )


def forget_key(tx: Tx, uid: str) -> None:
    """`Store.forget_key`."""
    tx.db.execute("DELETE FROM keys WHERE uid = ?", (uid,))
