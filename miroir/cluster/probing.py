"""Probing: does each node answer, and is its disk still the one we know?

A node that was wiped, rolled back to an older disk, or belongs to another cluster answers just as readily as before. So
every probe reads the identity on the node's disk and its newest task uid, and compares both with what the store keeps.
A disk that does not match fails the node at once: its copies leave `in_sync`, and it starts a new life (incarnation)
with copies that nobody trusts until they are refilled.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Protocol
from uuid import uuid4

import msgspec
import trio

from miroir.cluster.state import Cluster
from miroir.http import ExchangeError
from miroir.nodes import Identity, NodeAnswerError, error_of
from miroir.store import NodeIdentity, Store, StoreError
from miroir.telemetry import get_logger

_log = get_logger(__name__)

_UNSETTLED_INTERVAL_S = 1.0
"""Nodes that are not healthy are probed at least this often, so that they come back soon."""

_KEY_ERRORS = {
    "invalid_api_key": "the node refuses the key that Miroir sends it",
    "missing_authorization_header": "the node asks for a key, and Miroir has none for it",
}


class Preparation(Protocol):
    """What a node needs before it is used."""

    async def __call__(self, node: str, *, is_new: bool) -> None: ...


class ForeignNode(Exception):
    """A node carries the identity of another cluster, or of another node."""


class Prober:
    """Probes every node for ever, each in its own rhythm."""

    def __init__(
        self, cluster: Cluster, store: Store, cluster_id: str, *, interval_s: float, timeout_s: float, rng: Random
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._cluster_id = cluster_id
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._rng = rng
        self._known: dict[str, NodeIdentity] = {}
        self._newborn: dict[str, Identity] = {}
        """Identities that were sent to nodes and not seen on their disks yet."""
        self._preparations: list[Preparation] = []

    def before_use(self, prepare: Preparation) -> None:
        """Have `prepare(node, is_new=...)` awaited before a node that was found in order counts as such.

        Called with every probe, and with `is_new` where the node's disk is not the one of the probe before. What it
        raises of `ExchangeError` and `NodeAnswerError` keeps the node out of use.
        """
        self._preparations.append(prepare)

    async def first_look(self) -> None:
        """Probe every node once, side by side: what start-up waits for.

        Raises `ForeignNode` when a node belongs to another cluster: a wrong address, or a lost store, must not make a
        second brain.
        """
        self._known = await self._store.load_identities()
        foreign: list[str] = []

        async def look(node: str) -> None:
            try:
                await self.probe(node)
            except ForeignNode as failure:
                foreign.append(str(failure))

        async with trio.open_nursery() as nursery:
            for node in self._cluster.clients:
                nursery.start_soon(look, node)
        if foreign:
            raise ForeignNode("; ".join(sorted(foreign)))

    async def run(self) -> None:
        """Probe for ever. A worker for the supervisor."""
        async with trio.open_nursery() as nursery:
            for node in self._cluster.clients:
                nursery.start_soon(self._keep_probing, node)

    async def _keep_probing(self, node: str) -> None:
        while True:
            settled = self._cluster.health[node].status == "healthy"
            interval = self._interval_s if settled else min(self._interval_s, _UNSETTLED_INTERVAL_S)
            with trio.move_on_after(interval * self._rng.uniform(0.8, 1.2)):
                await self._cluster.suspected(node)
            try:
                await self.probe(node)
            except ForeignNode as failure:
                _log.error("node refused", node_id=node, reason=str(failure))
            except StoreError as failure:
                _log.warning("node not probed", node_id=node, reason=str(failure))

    async def probe(self, node: str) -> None:
        """One probe, and what follows from it."""
        client = self._cluster.clients[node]
        suspicions = self._cluster.suspicions(node)
        taken = client.newest_taken  # before the node is asked: what it takes meanwhile it need not know yet
        with trio.move_on_after(self._timeout_s) as patience:
            try:
                seen_before = self._known.get(node)
                identity = await client.identity()
                highest = await client.highest_task_uid()
            except (ExchangeError, NodeAnswerError, msgspec.DecodeError) as failure:
                self._missed(node, failure)
                return
        if patience.cancelled_caught:
            self._cluster.node_missed(node, f"no answer within {self._timeout_s:g} s")
            return
        if seen_before is not None:  # a disk that took a task since the last probe was as far as that
            seen_before = replace(seen_before, highest_task_uid=max(seen_before.highest_task_uid, taken))
        await self._judge(node, seen_before, identity, highest, suspicions)

    async def _judge(
        self, node: str, seen: NodeIdentity | None, identity: Identity | None, highest: int, suspicions: int
    ) -> None:
        if identity is not None and (identity.cluster_id, identity.node_id) != (self._cluster_id, node):
            reason = (
                f"{node} carries the identity of node {identity.node_id!r} of cluster {identity.cluster_id}, "
                f"and this is cluster {self._cluster_id}"
            )
            self._cluster.node_condemned(node, reason)
            raise ForeignNode(reason)
        if seen is not None:
            loss = _loss(seen, identity, highest)
            if loss is not None:
                await self._lost_disk(node, seen, loss)
                identity = None
        if identity is None:
            identity = await self._new_life(node)
            if identity is None:
                return
        # Before it is prepared: a new life that was not noted down would be taken for yet another lost disk.
        known = NodeIdentity(node, identity.incarnation, highest)
        if known != self._known.get(node):
            await self._store.save_identity(known)
            self._known[node] = known
        self._newborn.pop(node, None)
        if not await self._prepared(node, is_new=self._cluster.incarnations.get(node) != identity.incarnation):
            return
        self._cluster.node_identified(node, identity.incarnation, looked_at=suspicions)
        self._cluster.node_answered(node)

    async def _prepared(self, node: str, *, is_new: bool) -> bool:
        with trio.move_on_after(self._timeout_s * 5):
            try:
                for prepare in self._preparations:
                    await prepare(node, is_new=is_new)
            except (ExchangeError, NodeAnswerError, msgspec.MsgspecError) as failure:
                self._missed(node, failure, "not ready for use: ")
                return False
            return True
        self._cluster.node_missed(node, "not ready for use in time")
        return False

    def _missed(self, node: str, failure: Exception, what: str = "") -> None:
        """`what` was not done because of the failure."""
        if (refused := _refusal_of_key(failure)) is not None:
            self._cluster.node_locked(node, what + refused)
        else:
            self._cluster.node_missed(node, f"{what}{failure}")

    async def _lost_disk(self, node: str, seen: NodeIdentity, loss: str) -> None:
        _log.error("node lost its disk", node_id=node, reason=loss, incarnation=seen.incarnation)
        self._cluster.node_condemned(node, loss)
        self._cluster.clients[node].newest_taken = -1
        self._newborn.pop(node, None)
        await self._store.drop_node_copies(node, f"{node}#{seen.incarnation}")

    async def _new_life(self, node: str) -> Identity | None:
        # One that was sent before and timed out may still be written, after the next one even: so it is the same one.
        identity = self._newborn.setdefault(node, Identity(self._cluster_id, node, uuid4().hex))
        with trio.move_on_after(self._timeout_s * 5):
            try:
                await self._cluster.clients[node].write_identity(identity)
            except (ExchangeError, NodeAnswerError, msgspec.DecodeError) as failure:
                self._missed(node, failure, "identity not written: ")
                return None
            return identity
        self._cluster.node_missed(node, "identity not written in time")
        return None


def _refusal_of_key(failure: Exception) -> str | None:
    """What an operator has to do where a node does not open to our key; None where it is something else."""
    error = error_of(failure.status, failure.body) if isinstance(failure, NodeAnswerError) else None
    if error is None or error.code not in _KEY_ERRORS:
        return None
    return f"{_KEY_ERRORS[error.code]}: set MIROIR_NODE_MASTER_KEY to the node's master key"


def _loss(seen: NodeIdentity, identity: Identity | None, highest: int) -> str | None:
    if identity is None:
        return "its identity is gone: the disk was wiped"
    if identity.incarnation != seen.incarnation:
        return "its disk is another one"
    if highest < seen.highest_task_uid:
        return f"its newest task is {highest}, and {seen.highest_task_uid} was seen: the disk was rolled back"
    return None
