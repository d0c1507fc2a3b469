"""Holds: begins of some shards wait."""

from __future__ import annotations

from miroir.store.rows import HoldRow
from miroir.store.sqlite.encoding import json_text
from miroir.store.sqlite.writer import Tx


def place_hold(tx: Tx, hold: HoldRow) -> None:
    """`Store.place_hold`. Holds that have run out, left by operations that died, are swept on the way."""
    tx.db.execute("DELETE FROM holds WHERE until_ms <= ?", (tx.now_ms,))
    tx.db.execute(
        "INSERT INTO holds (physical_uid, operation, shards, until_ms) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET shards = excluded.shards, until_ms = excluded.until_ms",
        (hold.physical_uid, hold.operation, json_text(hold.shards), hold.until_ms),
    )


def release_hold(tx: Tx, operation: str, physical_uid: str) -> None:
    """`Store.release_hold`."""
    tx.db.execute("DELETE FROM holds WHERE physical_uid = ? AND operation = ?", (physical_uid, operation))
