"""What an `Idempotency-Key` stood for."""

from __future__ import annotations

import sqlite3

from miroir.store.rows import IdempotencyRow
from miroir.store.sqlite.writer import Tx


def keep_idempotency(tx: Tx, row: IdempotencyRow, task_uid: int) -> None:
    """Remember the key as that of `task_uid`. The first write under a key keeps it until it expires."""
    tx.db.execute(
        "INSERT INTO idempotency (key, body_sha256, task_uid, expires_ms) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET body_sha256 = excluded.body_sha256, task_uid = excluded.task_uid, "
        "expires_ms = excluded.expires_ms WHERE expires_ms <= ?",
        (row.key, row.body_sha256, task_uid, row.expires_ms, tx.now_ms),
    )


def find_idempotency(db: sqlite3.Connection, key: str, now_ms: int) -> IdempotencyRow | None:
    """`Store.find_idempotency`."""
    row = db.execute(
        "SELECT key, body_sha256, task_uid, expires_ms FROM idempotency WHERE key = ? AND expires_ms > ?", (key, now_ms)
    ).fetchone()
    return None if row is None else IdempotencyRow(*row)


def prune_idempotency(tx: Tx, now_ms: int, keep_at_most: int) -> int:
    """`Store.prune_idempotency`: how many rows were forgotten."""
    expired = tx.db.execute("DELETE FROM idempotency WHERE expires_ms <= ?", (now_ms,)).rowcount
    beyond = tx.db.execute(
        "DELETE FROM idempotency WHERE key IN "
        "(SELECT key FROM idempotency ORDER BY expires_ms DESC, key LIMIT -1 OFFSET ?)",
        (keep_at_most,),
    ).rowcount
    return expired + beyond
