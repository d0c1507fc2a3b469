"""Holds: for a moment, writes to some shards wait. Rebalancing sets them, ingest waits for them.

The hold itself is a row of the store, so it binds every process; what lives here only wakes our own waiters at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import time

import trio

from miroir.errors import miroir_error
from miroir.store import Begin, Held, HoldRow, Intent, Store

_POLL_S = 0.05


class Holds:
    """Begins writes, waiting while a hold covers them, and lets an operation hold shards."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._released = trio.Event()

    @asynccontextmanager
    async def hold(
        self, operation: str, physical_uid: str, shards: tuple[int, ...], for_ms: int
    ) -> AsyncIterator[None]:
        """Hold these shards while the block runs, `for_ms` at most (a process that dies leaves it no longer)."""
        try:  # around the placing too: a call that was cancelled may have placed it
            await self._store.place_hold(HoldRow(operation, physical_uid, shards, int(time() * 1000) + for_ms))
            yield
        finally:
            with trio.CancelScope(shield=True):
                await self._store.release_hold(operation, physical_uid)
            self._released.set()
            self._released = trio.Event()

    async def begin(self, begin: Begin, on_begun: Callable[[Intent], None], *, patience_s: float) -> Intent:
        """`Store.begin`, waiting for holds to pass; 503 `miroir_overloaded` when they outlast `patience_s`."""
        deadline = trio.current_time() + patience_s
        while True:
            try:
                return await self._store.begin(begin, on_begun)
            except Held as held:
                if trio.current_time() >= deadline:
                    raise miroir_error(
                        "miroir_overloaded", f"Writes to this index are held by {held.operation}. Try again shortly."
                    ) from None
                with trio.move_on_after(_POLL_S):
                    await self._released.wait()
