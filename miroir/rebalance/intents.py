"""Intents that were left behind: a write began, and whoever began it is gone or stuck. Their shards are verified."""

from __future__ import annotations

from time import time

import trio

from miroir.store import Intent, Store
from miroir.telemetry import get_logger

_log = get_logger(__name__)

_LOOK_EVERY_S = 5.0
_OLD_AFTER_S = 60.0


class IntentExpiry:
    """Expires intents older than a minute; at start, every intent of a process that is gone."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def expire_left_behind(self, dead_peers: frozenset[str]) -> list[Intent]:
        """Intents of processes known to be dead need not grow old first; those that there were."""
        return await self._expire(0, dead_peers)

    async def run(self) -> None:
        """Look for ever. A worker for the supervisor."""
        while True:
            await self._expire(int((time() - _OLD_AFTER_S) * 1000), frozenset())
            await trio.sleep(_LOOK_EVERY_S)

    async def _expire(self, older_than_ms: int, dead_peers: frozenset[str]) -> list[Intent]:
        expired = await self._store.expire_intents(older_than_ms, dead_peers)
        for intent in expired:
            _log.warning("intent expired", index=intent.index_uid, stamp=intent.stamp, peer=intent.peer)
        return expired
