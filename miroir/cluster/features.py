"""Experimental features: switched on every node alike, and kept so.

A node keeps its features on its disk. So one that was away while they were switched, or lost its disk, has others: what
clients asked for stands in the store, and a node is brought to it before it is used again. Until somebody asks for the
first change, nodes are left as their operator set them up.

One feature is ours: a node must have `network` to say what hits of a federated search are compared by. It is switched
on where a node turns out to lack it, and shown as clients have switched it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import trio

from miroir.cluster.state import Cluster
from miroir.errors import ApiError, miroir_error
from miroir.http import ExchangeError
from miroir.nodes import NodeAnswerError, error_of
from miroir.store import Store
from miroir.telemetry import get_logger

_log = get_logger(__name__)


Flags = Mapping[str, bool]

_OURS: Final[Flags] = {"network": True}
"""What nodes are given besides what clients asked for; by itself it changes no answer to any of their requests."""


class Features:
    """The features of all nodes as one."""

    def __init__(self, cluster: Cluster, store: Store, *, node_timeout_s: float) -> None:
        self._cluster = cluster
        self._store = store
        self._node_timeout_s = node_timeout_s
        self._wish: Flags = {}
        self._behind: set[str] = set()
        self._changing = trio.Lock()

    async def load(self) -> None:
        """Start with what the store holds; no node is known to have it."""
        self._wish = await self._store.load_features()
        self._behind = set(self._cluster.clients)

    async def shown(self) -> Flags:
        """Every feature, as a node shows them. 503 `miroir_shard_unavailable` when no node can say which there are."""
        for node in self._cluster.readiest():
            with trio.move_on_after(self._node_timeout_s):
                try:
                    found = await self._cluster.clients[node].features()
                except (ExchangeError, NodeAnswerError, msgspec.MsgspecError) as failure:
                    _log.info("features not read", node_id=node, reason=str(failure))
                    continue
                return {
                    name: self.wishes(name) if name in _OURS else self._wish.get(name, on) for name, on in found.items()
                }
        raise miroir_error("miroir_shard_unavailable", "No node can be reached to ask for its experimental features.")

    def wishes(self, name: str) -> bool:
        """Whether clients have switched this one on."""
        return self._wish.get(name, False)

    async def is_on(self, name: str) -> bool:
        """Whether nodes have this one: as clients switched it, or else as a node says. Off if none can be asked."""
        if name in self._wish or name in _OURS:
            return self.wishes(name)
        try:
            return (await self.shown()).get(name, False)
        except ApiError:
            return False

    async def federate(self) -> None:
        """Give every node that is there the feature that a federated search needs of it."""
        async with self._changing, trio.open_nursery() as nursery:
            for node in self._cluster.usable_nodes():
                nursery.start_soon(self._give, node)

    async def change(self, change: Flags) -> Flags:
        """Switch some on or off, on every node that is there; the others follow when they are back. Returns them all.

        One node is asked first: what it refuses is its `ApiError`, and no other is asked.
        """
        async with self._changing:
            wish = {**self._wish, **change}
            first = next(iter(self._cluster.readiest()), None)
            if first is None:
                raise miroir_error("miroir_no_quorum", "No node can be reached to switch its features.")
            self._behind.add(first)  # whatever it says, or we make of that: it is looked at once more
            try:
                await self._apply(first, wish)
            except BaseException:
                self._cluster.suspect(first)
                raise
            with trio.CancelScope(shield=True):  # the store and what we remember of it must not part
                await self._store.save_features(wish)
                self._wish = wish
                self._behind = set(self._cluster.clients)
            async with trio.open_nursery() as nursery:
                for node in self._cluster.usable_nodes().difference({first}):
                    nursery.start_soon(self._follow, node)
        return await self.shown()

    async def prepare(self, node: str, *, is_new: bool) -> None:
        """Bring a node to what was asked for, if it may be behind. `is_new`: its disk is another one.

        Raises `ExchangeError` or `NodeAnswerError`: then it is not to be used yet.
        """
        if is_new:
            self._behind.add(node)
        if self._wish and node in self._behind:
            wish = self._wish
            client = self._cluster.clients[node]
            found = await client.features()
            wanted = {**wish, **_OURS}
            if any(found.get(name) != on for name, on in wanted.items()):
                await client.switch_features(wanted)
            if wish is self._wish:
                self._behind.discard(node)

    async def _apply(self, node: str, wish: Flags) -> None:
        """On the first node: `ApiError` of its refusal, or 503 when it does not say that it did."""
        reason = "no answer in time"
        with trio.move_on_after(self._node_timeout_s):
            try:
                await self._cluster.clients[node].switch_features({**wish, **_OURS})
            except NodeAnswerError as refusal:
                error = error_of(refusal.status, refusal.body) if refusal.status < 500 else None
                if error is not None:
                    raise error from None
                reason = str(refusal)
            except ExchangeError as failure:
                reason = str(failure)
            else:
                return
        _log.warning("features not switched", node_id=node, reason=reason)
        raise miroir_error("miroir_no_quorum", "No node has switched its features yet. Try again shortly.")

    async def _give(self, node: str) -> None:
        with trio.move_on_after(self._node_timeout_s):
            try:
                await self._cluster.clients[node].switch_features(_OURS)
            except (ExchangeError, NodeAnswerError, msgspec.MsgspecError) as failure:
                _log.warning("features not switched", node_id=node, reason=str(failure))

    async def _follow(self, node: str) -> None:
        """On one of the others; one that fails is looked at, and brought to it then."""
        with trio.move_on_after(self._node_timeout_s) as patience:
            try:
                await self.prepare(node, is_new=True)
            except (ExchangeError, NodeAnswerError, msgspec.MsgspecError) as failure:
                _log.warning("features not switched", node_id=node, reason=str(failure))
                self._cluster.suspect(node)
        if patience.cancelled_caught:
            self._cluster.suspect(node)
