"""Reads: in threads, each on a connection of its own, so that neither the loop nor the writer waits for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import trio

from miroir.store.base import StoreUnavailable
from miroir.store.sqlite.connection import connect, means_unavailable, unavailable

T = TypeVar("T")
_AT_ONCE: Final = 4


class Reader:
    """A handful of connections, opened as they are needed and kept."""

    def __init__(self, path: Path, busy_timeout_ms: int) -> None:
        self._path = path
        self._busy_timeout_ms = busy_timeout_ms
        self._limiter = trio.CapacityLimiter(_AT_ONCE)
        self._spare: list[sqlite3.Connection] = []
        self._running = 0
        self._idle = trio.Event()
        self._closing = False

    async def run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """What `read` returns, of one snapshot: everything committed when it begins."""
        if self._closing:
            raise StoreUnavailable("the store is closed")
        self._running += 1
        try:
            return await trio.to_thread.run_sync(self._read, read, limiter=self._limiter)
        finally:
            self._running -= 1
            if self._closing and self._running == 0:
                self._idle.set()

    async def aclose(self) -> None:
        """Let running reads end, and close."""
        self._closing = True
        if self._running:
            await self._idle.wait()
        while self._spare:
            self._spare.pop().close()

    def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        try:
            db = self._spare.pop() if self._spare else self._connect()
        except sqlite3.Error as error:
            raise unavailable(error) from error
        try:
            db.execute("BEGIN")
            result = read(db)
            db.execute("COMMIT")
        except BaseException as error:
            db.close()
            if means_unavailable(error):
                raise unavailable(error) from error
            raise
        self._spare.append(db)
        return result

    def _connect(self) -> sqlite3.Connection:
        return connect(self._path, busy_timeout_ms=self._busy_timeout_ms, read_only=True)
