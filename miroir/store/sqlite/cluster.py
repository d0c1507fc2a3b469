"""The cluster's id, its topology, and what is known of its nodes' disks."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import orjson

from miroir.store.rows import NodeIdentity, TopologyRow
from miroir.store.sqlite.encoding import json_text
from miroir.store.sqlite.writer import Tx


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
    rows = db.execute("SELECT node, incarnation, highest_task_uid FROM node_identities")
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
