"""Connections to the file, and what their errors mean."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from miroir.store.base import StoreUnavailable


def connect(path: Path, *, busy_timeout_ms: int, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode, so that transactions begin where we say so, in the write-ahead log's mode.

    Raises `sqlite3.Error`. `read_only` forbids writing but not opening the log's shared memory, which a connection in
    the file's own read-only mode may not do.
    """
    db = sqlite3.connect(
        path, timeout=busy_timeout_ms / 1000, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        if read_only:
            db.execute("PRAGMA query_only = ON")
        else:
            _use_write_ahead_log(db, busy_timeout_ms)
            # An acknowledged write must outlive a power cut; NORMAL would lose the last transactions.
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA journal_size_limit = 67108864")
    except BaseException:
        db.close()
        raise
    return db


def _use_write_ahead_log(db: sqlite3.Connection, busy_timeout_ms: int) -> None:
    """Switch the journal's mode; SQLite does not wait for another process that is switching it too, so we do."""
    until = time.monotonic() + busy_timeout_ms / 1000
    while True:
        try:
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise sqlite3.OperationalError(f"the file system allows no write-ahead log (journal_mode is {mode})")
        return


def means_unavailable(error: BaseException) -> bool:
    """Whether the error is the file's (locked, full, broken, gone), not a mistake in a statement or a value of ours."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.DataError | sqlite3.NotSupportedError
    )


def unavailable(error: BaseException) -> StoreUnavailable:
    """`StoreUnavailable` because of `error`; one for each waiter, since raising writes into the exception."""
    refusal = StoreUnavailable(f"SQLite: {error}")
    refusal.__cause__ = error
    return refusal
