"""The cluster's id, its topology, and what is known of its nodes' disks."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

import orjson

from miroir.store.rows import NodeIdentity, TopologyRow
from miroir.store.sqlite.encoding import json_text
from miroir.store.sqlite.writer import Tx

_NEWEST_TASKS: Final = 1000


def cluster_id(db: sqlite3.Connection) -> str:
    """`Store.cluster_id`."""
    (found,) = db.execute("SELECT cluster_id FROM cluster").fetchone()
    return str(found)


def load_topology(db: sqlite3.Connection) -> TopologyRow | None:
    """`Store.load_topology`."""
    row = db.execute("SELECT version, topology FROM topology").fetchone()
    return None if row is None else TopologyRow(*row)


def save_topology(tx: Tx, row: TopologyRow) -> bool:
    """`Store.save_topology`."""
    (present,) = tx.db.execute("SELECT coalesce(max(version), 0) FROM topology").fetchone()
    if row.version != present + 1:
        return False
    tx.db.execute(
        "INSERT INTO topology (id, version, topology) VALUES (1, ?, ?) "
        "ON CONFLICT DO UPDATE SET version = excluded.version, topology = excluded.topology",
        (row.version, row.topology),
    )
    return True


def load_identities(db: sqlite3.Connection) -> dict[str, NodeIdentity]:
    """`Store.load_identities`."""
    # What a node took after it was last looked at stands in the tasks, and the newest of those have the highest uids.
    rows = db.execute(
        "SELECT node, incarnation, max(highest_task_uid, coalesce((SELECT max(part.value ->> 2) "
        "FROM (SELECT node_tasks FROM tasks ORDER BY uid DESC LIMIT ?) AS newest, json_each(newest.node_tasks) AS part "
        "WHERE part.value ->> 0 = node AND part.value ->> 1 = incarnation), -1)) FROM node_identities",
        (_NEWEST_TASKS,),
    )
    return {row[0]: NodeIdentity(*row) for row in rows}


def save_identity(tx: Tx, identity: NodeIdentity) -> None:
    """`Store.save_identity`."""
    tx.db.execute(
        "INSERT INTO node_identities (node, incarnation, highest_task_uid) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET incarnation = excluded.incarnation, highest_task_uid = CASE "
        "WHEN incarnation = excluded.incarnation THEN max(highest_task_uid, excluded.highest_task_uid) "
        "ELSE excluded.highest_task_uid END",
        (identity.node, identity.incarnation, identity.highest_task_uid),
    )


def load_features(db: sqlite3.Connection) -> dict[str, bool]:
    """`Store.load_features`."""
    (features,) = db.execute("SELECT features FROM cluster").fetchone()
    found: dict[str, bool] = orjson.loads(features)
    return found


def save_features(tx: Tx, features: Mapping[str, bool]) -> None:
    """`Store.save_features`."""
    tx.db.execute("UPDATE cluster SET features = ?", (json_text(features),))
