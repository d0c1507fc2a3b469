"""The write protocol: begin, commit, withdraw, expire."""

from __future__ import annotations

import sqlite3

from miroir.store.base import Held, IndexFrozen, IntentGone, MappingChanged, NoQuorum
from miroir.store.rows import Begin, Commit, Committed, Intent
from miroir.store.sqlite import copies, idempotency, tasks
from miroir.store.sqlite.encoding import (
    SELECT_INTENT,
    intent_row,
    json_text,
    set_text,
    shard_tuple,
)
from miroir.store.sqlite.writer import Tx


def issue_stamp(tx: Tx) -> int:
    """`Store.issue_stamp`."""
    return tx.next("stamp", at_least=tx.now_us)


def begin(tx: Tx, begin: Begin) -> Intent:
    """`Store.begin`, but for `on_begun`."""
    _check_mapping(tx, begin.index_uid, begin.physical_uid, begin.topology_version)
    _check_holds(tx, begin.physical_uid, begin.shards)
    if begin.shards:
        _check_frozen(tx, begin.index_uid)
    if begin.claim is not None:
        idempotency.attempt(tx, begin.claim, repeatable=begin.repeatable)
    key = None if begin.claim is None else begin.claim.key
    stamp = issue_stamp(tx)
    tx.db.execute(
        "INSERT INTO intents (stamp, index_uid, physical_uid, shards, topology_version, peer, begun_ms, "
        "idempotency_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            stamp,
            begin.index_uid,
            begin.physical_uid,
            json_text(begin.shards),
            begin.topology_version,
            begin.peer,
            tx.now_ms,
            key,
        ),
    )
    return Intent(
        stamp=stamp,
        index_uid=begin.index_uid,
        physical_uid=begin.physical_uid,
        shards=begin.shards,
        topology_version=begin.topology_version,
        peer=begin.peer,
        begun_ms=tx.now_ms,
        idempotency_key=key,
    )


def commit(tx: Tx, commit: Commit) -> Committed | NoQuorum:
    """`Store.commit`. `NoQuorum` is returned, not raised: what it changed must stay."""
    intent = _intent(tx.db, commit.stamp)
    if intent is None:
        raise IntentGone(f"no intent has stamp {commit.stamp}")
    _check_mapping(tx, intent.index_uid, intent.physical_uid, commit.topology_version)
    _remove_intents(tx.db, [intent])
    in_sync = copies.in_sync_of(tx.db, intent.physical_uid, intent.shards)
    short = tuple(shard for shard in intent.shards if not _stands(commit, shard, in_sync.get(shard, frozenset())))
    if short:
        copies.verify(tx, intent.physical_uid, intent.shards, "no quorum", since=intent.stamp)
        return NoQuorum(short)
    changed: dict[int, frozenset[str]] = {}
    missed: list[tuple[str, int, str | None]] = []
    for shard, trusted in in_sync.items():
        # A trusted copy that is no write owner any more (its shard has moved) missed the write too, so it can no
        # longer be trusted; but nobody wants it repaired.
        if left := trusted - commit.accepted.get(shard, frozenset()):
            changed[shard] = trusted - left
            missed += [(intent.physical_uid, shard, node) for node in left & commit.owners.get(shard, frozenset())]
    copies.put_in_sync(tx, intent.physical_uid, changed)
    copies.queue(tx, missed, "missed a write", since=intent.stamp)
    task = tasks.register(tx, commit.task, stamp=intent.stamp, physical_uid=intent.physical_uid)
    return Committed(task, changed)


def withdraw(tx: Tx, stamp: int, *, verify: bool) -> None:
    """`Store.withdraw`. An intent that is gone was committed or expired."""
    intent = _intent(tx.db, stamp)
    if intent is None:
        return
    _remove_intents(tx.db, [intent])
    if verify:
        copies.verify(tx, intent.physical_uid, intent.shards, "write withdrawn", since=stamp)
    elif intent.idempotency_key is not None:
        idempotency.came_to_nothing(tx, intent.idempotency_key)


def open_intents(db: sqlite3.Connection) -> list[Intent]:
    """Every intent, oldest first."""
    return [intent_row(row) for row in db.execute(SELECT_INTENT + " ORDER BY stamp")]


def expire_intents(tx: Tx, older_than_ms: int, dead_peers: frozenset[str]) -> list[Intent]:
    """`Store.expire_intents`."""
    rows = tx.db.execute(
        SELECT_INTENT + " WHERE begun_ms < ? OR peer IN (SELECT value FROM json_each(?)) ORDER BY stamp",  # noqa: S608 - a constant
        (older_than_ms, set_text(dead_peers)),
    )
    expired = [intent_row(row) for row in rows.fetchall()]
    _remove_intents(tx.db, expired)
    for intent in expired:
        copies.verify(tx, intent.physical_uid, intent.shards, "write interrupted", since=intent.stamp)
    return expired


def _check_mapping(tx: Tx, index_uid: str, physical_uid: str, topology_version: int) -> None:
    stands_for, version = tx.db.execute(
        "SELECT (SELECT physical_uid FROM indexes WHERE uid = ?), (SELECT version FROM topology)", (index_uid,)
    ).fetchone()
    if stands_for != physical_uid:
        raise MappingChanged(f"{index_uid} stands for {stands_for}, not {physical_uid}")
    if (version or 0) != topology_version:
        raise MappingChanged(f"the topology has version {version or 0}, not {topology_version}")


def _check_frozen(tx: Tx, index_uid: str) -> None:
    (frozen,) = tx.db.execute("SELECT frozen FROM indexes WHERE uid = ?", (index_uid,)).fetchone()
    if frozen:
        raise IndexFrozen(f"{index_uid} is frozen")


def _check_holds(tx: Tx, physical_uid: str, shards: tuple[int, ...]) -> None:
    """Raise `Held` for the hold that lasts longest among those that cover one of the shards."""
    for operation, held, until_ms in tx.db.execute(
        "SELECT operation, shards, until_ms FROM holds WHERE physical_uid = ? AND until_ms > ? ORDER BY until_ms DESC",
        (physical_uid, tx.now_ms),
    ).fetchall():
        if held == "[]" or not set(shards).isdisjoint(shard_tuple(held)):
            raise Held(operation, until_ms)


def _stands(commit: Commit, shard: int, in_sync: frozenset[str]) -> bool:
    live = in_sync & commit.accepted.get(shard, frozenset())
    quorums = commit.quorums.get(shard)
    return bool(live) and (quorums is None or any(len(live & ways.nodes) >= ways.needed for ways in quorums))


def _intent(db: sqlite3.Connection, stamp: int) -> Intent | None:
    row = db.execute(SELECT_INTENT + " WHERE stamp = ?", (stamp,)).fetchone()
    return None if row is None else intent_row(row)


def _remove_intents(db: sqlite3.Connection, intents: list[Intent]) -> None:
    db.executemany("DELETE FROM intents WHERE stamp = ?", [(intent.stamp,) for intent in intents])
