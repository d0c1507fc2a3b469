"""Bringing a file up to the program's schema. A file that is up to date costs one SELECT."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from miroir.store.base import SchemaVersionAhead

_NAME: Final = re.compile(r"(\d{3})_\w+\.sql")
_VERSIONS: Final = """
CREATE TABLE IF NOT EXISTS schema_versions (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TEXT NOT NULL
) STRICT
"""


def migrate(db: sqlite3.Connection) -> None:
    """Apply what is missing, all in one transaction. Raises `SchemaVersionAhead`, or `sqlite3.Error`.

    Several processes may do so at once: who comes second finds the work done.
    """
    migrations = _migrations()
    newest = max(migrations)
    if _version(db) == newest:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        present = _version(db)
        if present > newest:
            raise SchemaVersionAhead(f"the store has schema version {present}, this program knows {newest}")
        db.execute(_VERSIONS)
        for version in range(present + 1, newest + 1):
            migration = migrations[version]
            for statement in _statements(migration.read_text("utf-8")):
                db.execute(statement)
            db.execute(
                "INSERT INTO schema_versions VALUES (?, ?, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))",
                (version, migration.name),
            )
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _version(db: sqlite3.Connection) -> int:
    """The file's schema version; 0 for an empty file."""
    try:
        (version,) = db.execute("SELECT coalesce(max(version), 0) FROM schema_versions").fetchone()
    except sqlite3.OperationalError:
        (tables,) = db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'schema_versions'").fetchone()
        if tables:
            raise
        return 0
    return int(version)


def _migrations() -> dict[int, Traversable]:
    """Version -> migration, from the package's own files."""
    found: dict[int, Traversable] = {}
    for entry in (files("miroir.store") / "migrations").iterdir():
        if match := _NAME.fullmatch(entry.name):
            version = int(match[1])
            if version in found:
                raise ValueError(f"two migrations have number {version}: {found[version].name} and {entry.name}")
            found[version] = entry
    return found


def _statements(script: str) -> Iterator[str]:
    """The script's statements. `executescript` would commit behind our back, so they are run one by one."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        raise ValueError(f"a migration ends inside a statement: {statement[:80]!r}")
