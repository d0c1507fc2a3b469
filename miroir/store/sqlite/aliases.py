"""Aliases and their history. An alias and an index never share a name."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Final

import orjson

from miroir.store.base import MappingChanged, NameTaken
from miroir.store.rows import AliasFlip, AliasRow
from miroir.store.sqlite.encoding import json_text
from miroir.store.sqlite.writer import Tx

_SELECT: Final = "SELECT name, kind, targets, version, managed_by, created_at, updated_at FROM aliases"


def list_aliases(db: sqlite3.Connection) -> list[AliasRow]:
    """`Store.list_aliases`."""
    return [_row(columns) for columns in db.execute(_SELECT + " ORDER BY name")]


def put_alias(tx: Tx, row: AliasRow, keep: int) -> AliasRow:
    """`Store.put_alias`."""
    if tx.db.execute("SELECT 1 FROM indexes WHERE uid = ?", (row.name,)).fetchone():
        raise NameTaken(f"{row.name} is an index")
    columns = tx.db.execute(_SELECT + " WHERE name = ?", (row.name,)).fetchone()
    present = None if columns is None else _row(columns)
    if (0 if present is None else present.version) != row.version:
        raise MappingChanged(f"{row.name} has another version than {row.version}")
    kept = replace(row, version=row.version + 1, created_at=row.created_at if present is None else present.created_at)
    targets = json_text(kept.targets)
    tx.db.execute(
        "INSERT OR REPLACE INTO aliases (name, kind, targets, version, managed_by, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (kept.name, kept.kind, targets, kept.version, kept.managed_by, kept.created_at, kept.updated_at),
    )
    tx.db.execute(
        "INSERT INTO alias_history (name, version, targets, at) VALUES (?, ?, ?, ?)",
        (kept.name, kept.version, targets, kept.updated_at),
    )
    tx.db.execute("DELETE FROM alias_history WHERE name = ? AND version <= ?", (kept.name, kept.version - keep))
    return kept


def delete_alias(tx: Tx, name: str, version: int) -> None:
    """`Store.delete_alias`."""
    if not tx.db.execute("DELETE FROM aliases WHERE name = ? AND version = ?", (name, version)).rowcount:
        raise MappingChanged(f"{name} has another version than {version}")
    tx.db.execute("DELETE FROM alias_history WHERE name = ?", (name,))


def alias_history(db: sqlite3.Connection, name: str) -> list[AliasFlip]:
    """`Store.alias_history`."""
    rows = db.execute("SELECT version, targets, at FROM alias_history WHERE name = ? ORDER BY version DESC", (name,))
    return [AliasFlip(version, tuple(orjson.loads(targets)), at) for version, targets, at in rows]


def check_no_alias(db: sqlite3.Connection, name: str) -> None:
    """Raise `NameTaken` if the name is an alias's."""
    if db.execute("SELECT 1 FROM aliases WHERE name = ?", (name,)).fetchone():
        raise NameTaken(f"{name} is an alias")


def _row(columns: tuple[str, str, str, int, str | None, str, str]) -> AliasRow:
    name, kind, targets, version, managed_by, created_at, updated_at = columns
    uids = tuple(orjson.loads(targets))
    return AliasRow(name, "multi" if kind == "multi" else "single", uids, version, managed_by, created_at, updated_at)
