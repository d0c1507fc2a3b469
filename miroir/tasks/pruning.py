"""Pruning: what has been over for long is forgotten, a bounded number at a time."""

from __future__ import annotations

from time import time, time_ns
from typing import Final

import trio

from miroir.config.serving import TaskRegistry
from miroir.config.writing import Idempotency
from miroir.store import Store
from miroir.tasks.clock import text_of

_AT_ONCE: Final = 10_000


class Pruner:
    """Forgets old terminal tasks and expired idempotency keys. Never an open task."""

    def __init__(self, store: Store, tasks: TaskRegistry, idempotency: Idempotency) -> None:
        self._store = store
        self._tasks = tasks
        self._idempotency = idempotency

    async def run(self) -> None:
        """Prune for ever. A worker for the supervisor."""
        while True:
            await trio.sleep(self._tasks.prune_interval_s)
            before = text_of(time_ns() - self._tasks.ttl_seconds * 1_000_000_000)
            await self._store.prune_tasks(before, _AT_ONCE)
            await self._store.prune_idempotency(int(time() * 1000), self._idempotency.max_cached_keys)
