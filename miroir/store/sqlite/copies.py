"""In-sync sets and the queue of repairs."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping

from miroir.store.base import MappingChanged
from miroir.store.rows import Repair, ShardCopies
from miroir.store.sqlite.encoding import json_text, node_set, set_text, shard_sets, shard_tuple
from miroir.store.sqlite.writer import Tx


def load_in_sync(db: sqlite3.Connection) -> dict[str, dict[int, frozenset[str]]]:
    """Every in-sync set."""
    rows = db.execute("SELECT physical_uid, json_group_object(shard, json(nodes)) FROM in_sync GROUP BY physical_uid")
    return {physical_uid: shard_sets(sets) for physical_uid, sets in rows}


def in_sync_of(db: sqlite3.Connection, physical_uid: str, shards: Iterable[int]) -> dict[int, frozenset[str]]:
    """The sets of some shards; a shard nobody knows is absent."""
    # One row for all: each row fetched gives up and retakes the interpreter's lock.
    (sets,) = db.execute(
        "SELECT json_group_object(shard, json(nodes)) FROM in_sync "
        "WHERE physical_uid = ? AND shard IN (SELECT value FROM json_each(?))",
        (physical_uid, json_text(list(shards))),
    ).fetchone()
    return shard_sets(sets)


def put_in_sync(tx: Tx, physical_uid: str, sets: ShardCopies) -> None:
    """Write these sets, and have whoever watches told; `ValueError` if one is empty."""
    if not sets:
        return
    if empty := [shard for shard, nodes in sets.items() if not nodes]:
        raise ValueError(f"in-sync sets of {physical_uid} would be empty: shards {empty}")
    tx.changes.append((physical_uid, dict(sets)))
    tx.db.executemany(
        "INSERT INTO in_sync (physical_uid, shard, nodes) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET nodes = excluded.nodes",
        [(physical_uid, shard, set_text(nodes)) for shard, nodes in sets.items()],
    )


def queue(tx: Tx, wanted: Collection[tuple[str, int, str | None]], reason: str, *, since: int) -> None:
    """Ask for repairs of (physical index, shard, node or None). One asked for already is asked for anew.

    `since`: stamp of the first write in question; of several askings the earliest counts.
    """
    if not wanted:
        return
    # Never the same twice, even within a millisecond: who finishes a repair knows by it which asking was answered.
    queued_ms = tx.next("queued_ms", at_least=tx.now_ms)
    tx.db.executemany(
        "INSERT INTO repairs (physical_uid, shard, node, reason, queued_ms, since) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET reason = excluded.reason, queued_ms = excluded.queued_ms, "
        "since = min(since, excluded.since)",
        [(physical_uid, shard, node or "", reason, queued_ms, since) for physical_uid, shard, node in wanted],
    )


def queue_repairs(tx: Tx, physical_uid: str, shards: Mapping[int, str | None], reason: str, *, since: int) -> None:
    """`Store.queue_repairs`."""
    queue(tx, [(physical_uid, shard, node) for shard, node in shards.items()], reason, since=since)


def verify(tx: Tx, physical_uid: str, shards: Iterable[int], reason: str, *, since: int) -> None:
    """Queue shards for verification of all their copies."""
    queue(tx, [(physical_uid, shard, None) for shard in shards], reason, since=since)


def list_repairs(db: sqlite3.Connection) -> list[Repair]:
    """The queue, oldest first."""
    rows = db.execute(
        "SELECT physical_uid, shard, node, reason, queued_ms, since FROM repairs "
        "ORDER BY queued_ms, physical_uid, shard, node"
    )
    return [
        Repair(uid, shard, node or None, reason, queued_ms, since)
        for uid, shard, node, reason, queued_ms, since in rows
    ]


def finish_repair(tx: Tx, repair: Repair) -> None:
    """`Store.finish_repair`."""
    tx.db.execute(
        "DELETE FROM repairs WHERE physical_uid = ? AND shard = ? AND node = ? AND queued_ms = ?",
        (repair.physical_uid, repair.shard, repair.node or "", repair.queued_ms),
    )


def drop_node_copies(tx: Tx, node: str, lost_as: str) -> dict[str, dict[int, frozenset[str]]]:
    """`Store.drop_node_copies`."""
    rows = tx.db.execute(
        "SELECT physical_uid, shard, nodes FROM in_sync "
        "WHERE EXISTS (SELECT 1 FROM json_each(in_sync.nodes) WHERE json_each.value = ?)",
        (node,),
    ).fetchall()
    changed: dict[str, dict[int, frozenset[str]]] = {}
    for physical_uid, shard, nodes in rows:
        left = node_set(nodes) - {node} or frozenset({lost_as})
        changed.setdefault(physical_uid, {})[shard] = left
    for physical_uid, sets in changed.items():
        put_in_sync(tx, physical_uid, sets)
    queue(tx, [(physical_uid, shard, node) for physical_uid, shard, _ in rows], "disk lost", since=0)
    return changed


def leave_in_sync(
    tx: Tx, physical_uid: str, lost: ShardCopies, reason: str, *, since: int
) -> dict[int, frozenset[str]]:
    """`Store.leave_in_sync`; `settle` lets copies leave the same way."""
    changed: dict[int, frozenset[str]] = {}
    wanted: list[tuple[str, int, str | None]] = []
    for shard, in_sync in in_sync_of(tx.db, physical_uid, lost).items():
        leaving = in_sync & lost[shard]
        if leaving == in_sync:
            # None of them is better than another, so no one is made the truth: all stay, and are compared.
            wanted.append((physical_uid, shard, None))
        elif leaving:
            changed[shard] = in_sync - leaving
            wanted += [(physical_uid, shard, node) for node in leaving]
    put_in_sync(tx, physical_uid, changed)
    queue(tx, wanted, reason, since=since)
    return changed


def allocate_stale(
    tx: Tx, physical_uid: str, expected: ShardCopies, node: str, others: ShardCopies
) -> dict[int, frozenset[str]]:
    """`Store.allocate_stale`."""
    if in_sync_of(tx.db, physical_uid, expected) != dict(expected):
        raise MappingChanged(f"other copies of {physical_uid} are trusted than was thought")
    changed = {shard: frozenset({node}) for shard in expected}
    put_in_sync(tx, physical_uid, changed)
    tx.db.executemany(
        "DELETE FROM repairs WHERE physical_uid = ? AND shard = ? AND node = ?",
        [(physical_uid, shard, node) for shard in expected],
    )
    wanted = [(physical_uid, shard, other) for shard in expected for other in sorted(others.get(shard, ()))]
    queue(tx, wanted, "another copy was allocated", since=0)
    return changed


def join_in_sync(tx: Tx, physical_uid: str, shard: int, node: str, hold: str, source: str) -> frozenset[str]:
    """`Store.join_in_sync`."""
    held = tx.db.execute(
        "SELECT shards FROM holds WHERE physical_uid = ? AND operation = ? AND until_ms > ?",
        (physical_uid, hold, tx.now_ms),
    ).fetchone()
    if held is None or (held[0] != "[]" and shard not in shard_tuple(held[0])):
        raise MappingChanged(f"{hold} does not hold shard {shard} of {physical_uid}")
    for (shards,) in tx.db.execute("SELECT shards FROM intents WHERE physical_uid = ?", (physical_uid,)).fetchall():
        if shard in shard_tuple(shards):
            raise MappingChanged(f"a write to shard {shard} of {physical_uid} is open")
    present = in_sync_of(tx.db, physical_uid, (shard,)).get(shard)
    if present is None:
        raise MappingChanged(f"nobody knows shard {shard} of {physical_uid}")
    if source not in present:
        raise MappingChanged(f"the copy of shard {shard} on {source} is not trusted any more")
    joined = present | {node}
    put_in_sync(tx, physical_uid, {shard: joined})
    tx.db.execute("DELETE FROM repairs WHERE physical_uid = ? AND shard = ? AND node = ?", (physical_uid, shard, node))
    return joined
