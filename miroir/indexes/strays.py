"""Strays: physical indexes on a node that no name stands for and nobody means to drop any more.

A creation that arrived when its sender had long given it up, a disk that was rolled back to before a deletion: a node
may hold an index of ours that nothing reads and nothing will ever remove. One that stays unknown for an hour is dropped
from that node. An operator may keep indexes of his own on our nodes, so it must be proved to be ours: its name is one
that this store has given out, and it is a name no client can give, or the index is set up for stamps. So is a scratch
index whose node made it when nobody waited for its verdict any more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

import msgspec
import trio

from miroir.cluster import SCRATCH_PREFIX, Cluster
from miroir.http import ExchangeError
from miroir.indexes.garbage import GarbageCollector
from miroir.indexes.settings_rules import patterns_of
from miroir.nodes import NodeAnswerError
from miroir.stamps import SEQ_FIELD, SHARD_FIELD
from miroir.store import Store
from miroir.telemetry import get_logger

_log = get_logger(__name__)

_UNKNOWN_FOR_S: Final = 3600.0
_LOOK_EVERY_S: Final = 300.0
_CALL_S: Final = 10.0
_GENERATED: Final = "_miroir_"
_SCRATCH: Final = re.compile(f"{SCRATCH_PREFIX}_[0-9a-f]{{32}}")


class Strays:
    """Looks for strays on every node, and has them dropped."""

    def __init__(self, cluster: Cluster, store: Store, garbage: GarbageCollector) -> None:
        self._cluster = cluster
        self._store = store
        self._garbage = garbage
        self._since: dict[tuple[str, str], float] = {}

    async def run(self) -> None:
        """Look for ever. A worker for the supervisor."""
        while True:
            await self.look(monotonic())
            await trio.sleep(_LOOK_EVERY_S)

    async def look(self, now_s: float) -> None:
        """Look at every node that is there; drop what has been unknown, at every look, for an hour."""
        for node in sorted(self._cluster.usable_nodes()):
            try:
                with trio.fail_after(_CALL_S):
                    unknown = await self._unknown_on(node)
            except (ExchangeError, NodeAnswerError, msgspec.DecodeError, trio.TooSlowError) as failure:
                _log.info("strays not looked for", node_id=node, reason=str(failure))
                continue
            for key in [key for key in self._since if key[0] == node and key[1] not in unknown]:
                del self._since[key]
            for name in sorted(unknown):
                if now_s - self._since.setdefault((node, name), now_s) >= _UNKNOWN_FOR_S:
                    _log.warning("dropping an index that nobody knows", node_id=node, index=name)
                    await self._garbage.drop(node, name)

    async def _unknown_on(self, node: str) -> set[str]:
        """Names of indexes on the node that are ours, and that no row of the store wants there or wants dropped."""
        client = self._cluster.clients[node]
        names = await client.index_names()
        given_out = await self._store.given_out(names)
        known = {row.physical_uid for row in await self._store.list_indexes()}
        unknown = given_out - known - set(await self._store.list_garbage())
        ours = {name for name in unknown if name.startswith(_GENERATED) or is_ours(await client.settings(name))}
        return ours | {name for name in names if _SCRATCH.fullmatch(name)}


def is_ours(settings: Mapping[str, Any] | None) -> bool:
    """Whether an index with these settings was set up by us: its first filterable rule is the one for stamps."""
    rules = (settings or {}).get("filterableAttributes") or [""]
    return {SHARD_FIELD, SEQ_FIELD} <= set(patterns_of(rules[0]))
