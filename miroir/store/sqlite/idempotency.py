"""What an `Idempotency-Key` stands for: from the first attempt under it to the task that came of it."""

from __future__ import annotations

import sqlite3
from typing import Final

from miroir.store.base import AttemptedBefore, Held, KeyTaken
from miroir.store.rows import Claim, IdempotencyRow, TaskRow, TaskSummary
from miroir.store.sqlite.writer import Tx

_SELECT: Final = (
    "SELECT key, fingerprint, attempts, made, task_uid, index_uid, type, enqueued_at, expires_ms FROM idempotency "
    "WHERE key = ? AND expires_ms > ?"
)
_ANOTHER_ATTEMPT_MS: Final = 1000


def attempt(tx: Tx, claim: Claim, *, repeatable: bool = True, made: str | None = None) -> None:
    """Something is about to be done under the claim.

    Raises `KeyTaken` if the key stands for something else, `Held` while an earlier attempt is under way, and
    `AttemptedBefore` if one may have done something and what is to be done must not be done twice.
    """
    present = find_idempotency(tx.db, claim.key, tx.now_ms)
    _check(claim, present)
    (open_intents,) = tx.db.execute("SELECT count(*) FROM intents WHERE idempotency_key = ?", (claim.key,)).fetchone()
    if open_intents:
        raise Held("an earlier attempt under its Idempotency-Key", tx.now_ms + _ANOTHER_ATTEMPT_MS)
    if present is not None and present.attempts and not repeatable:
        raise AttemptedBefore("an earlier attempt may have done it")
    attempts, earlier = (0, None) if present is None else (present.attempts, present.made)
    # Replaced whole: what is left of an expired row must not be taken for this one's.
    tx.db.execute(
        "INSERT OR REPLACE INTO idempotency (key, fingerprint, attempts, made, expires_ms) VALUES (?, ?, ?, ?, ?)",
        (claim.key, claim.fingerprint, attempts + (made is None), made or earlier, claim.expires_ms),
    )


def came_to_nothing(tx: Tx, key: bytes) -> None:
    """An attempt did nothing anywhere: with no other, and nothing made, the key is free again."""
    tx.db.execute("UPDATE idempotency SET attempts = attempts - 1 WHERE key = ? AND task_uid IS NULL", (key,))
    _free(tx, key)


def unmade(tx: Tx, physical_uid: str) -> None:
    """The index that an attempt had made is gone."""
    for (key,) in tx.db.execute("SELECT key FROM idempotency WHERE made = ?", (physical_uid,)).fetchall():
        tx.db.execute("UPDATE idempotency SET made = NULL WHERE key = ?", (key,))
        _free(tx, key)


def bind(tx: Tx, claim: Claim, task: TaskRow, *, begun: bool) -> None:
    """From now on the key stands for this task. Raises `KeyTaken`, unless an attempt has `begun` under it."""
    if not begun:
        _check(claim, find_idempotency(tx.db, claim.key, tx.now_ms))
    tx.db.execute(
        "INSERT INTO idempotency (key, fingerprint, attempts, task_uid, index_uid, type, enqueued_at, expires_ms) "
        "VALUES (?, ?, 1, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET fingerprint = excluded.fingerprint, made = NULL, "
        "task_uid = excluded.task_uid, index_uid = excluded.index_uid, type = excluded.type, "
        "enqueued_at = excluded.enqueued_at, expires_ms = excluded.expires_ms",
        (claim.key, claim.fingerprint, task.uid, task.index_uid, task.type, task.enqueued_at, claim.expires_ms),
    )


def find_idempotency(db: sqlite3.Connection, key: bytes, now_ms: int) -> IdempotencyRow | None:
    """`Store.find_idempotency`."""
    row = db.execute(_SELECT, (key, now_ms)).fetchone()
    if row is None:
        return None
    _, fingerprint, attempts, made, task_uid, index_uid, kind, enqueued_at, expires_ms = row
    task = None if task_uid is None else TaskSummary(task_uid, index_uid, kind, enqueued_at)
    return IdempotencyRow(key, fingerprint, attempts, made, task, expires_ms)


def count_idempotency(db: sqlite3.Connection) -> int:
    """`Store.count_idempotency`."""
    (count,) = db.execute("SELECT count(*) FROM idempotency").fetchone()
    return int(count)


def prune_idempotency(tx: Tx, now_ms: int, keep_at_most: int) -> int:
    """`Store.prune_idempotency`: how many rows were forgotten."""
    expired = tx.db.execute("DELETE FROM idempotency WHERE expires_ms <= ?", (now_ms,)).rowcount
    beyond = tx.db.execute(
        "DELETE FROM idempotency WHERE key IN "
        "(SELECT key FROM idempotency ORDER BY expires_ms DESC, key LIMIT -1 OFFSET ?)",
        (keep_at_most,),
    ).rowcount
    return expired + beyond


def _free(tx: Tx, key: bytes) -> None:
    tx.db.execute(
        "DELETE FROM idempotency WHERE key = ? AND task_uid IS NULL AND attempts <= 0 AND made IS NULL", (key,)
    )


def _check(claim: Claim, present: IdempotencyRow | None) -> None:
    if present is not None and (present.task is not None or present.fingerprint != claim.fingerprint):
        raise KeyTaken("the key stands for something else")
