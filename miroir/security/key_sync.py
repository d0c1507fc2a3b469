"""Keeping every node's keys what the store says, and the keyring what the nodes show.

A node is looked at when it comes (back), and every half minute: somebody may have restored it, or made keys there. What
was made at a node is honoured at our door while the node shows it. A credential that nobody knows makes us look at
once, though not more than once a second, so guessing keys costs nodes next to nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from time import time_ns
from typing import Final

import msgspec
import trio

from miroir.cluster import Cluster
from miroir.errors import ApiError
from miroir.http import ExchangeError, Response
from miroir.nodes import NodeAnswerError, NodeCall, NodeKey, ask_as, error_of
from miroir.security.key_orders import adopted, orders
from miroir.security.keyring import Keyring
from miroir.store import KeyRow, Store
from miroir.telemetry import get_logger

_log = get_logger(__name__)

_LOOK_AGAIN_S: Final = 30.0
_NOTICE_S: Final = 0.25
"""How soon a node that has come back is noticed."""
_LOOK_AT_MOST_EVERY_S: Final = 1.0
_QUESTIONS_AT_ONCE: Final = 4
_SCRATCH: Final = "_miroir_scratch"

_FAILURES: Final = (ExchangeError, NodeAnswerError, msgspec.DecodeError, ValueError)


class KeySync:
    """Looks at nodes and sets their keys right. One for the process."""

    def __init__(
        self, cluster: Cluster, store: Store, keyring: Keyring, *, node_key: str | None, node_timeout_s: float
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._keyring = keyring
        self._node_key = node_key
        self._node_timeout_s = node_timeout_s
        self._wanted: set[str] = set()
        self._wake = trio.Event()
        self._looking = trio.Lock()
        self._looked_at = -_LOOK_AT_MOST_EVERY_S
        self._adopting = trio.Lock()
        self._questions = trio.Semaphore(_QUESTIONS_AT_ONCE)

    async def first_look(self) -> None:
        """Look at every node that is there before anybody comes: what start-up waits for."""
        usable = sorted(self._cluster.usable_nodes())
        shown: dict[str, list[NodeKey]] = {}

        async def ask(node: str) -> None:
            keys = await self._keys_of(node)
            if keys is not None:
                shown[node] = keys

        await _side_by_side(ask, usable)
        await self._adopt(key for keys in shown.values() for key in keys)

        async def set_right(node: str) -> None:
            await self._set_right(node, shown[node])

        await _side_by_side(set_right, shown)

    async def run(self) -> None:
        """Look for ever. A worker for the supervisor."""
        lives: dict[str, str] = {}
        next_round = 0.0
        while True:
            usable = self._cluster.usable_nodes()
            present = {node: self._cluster.incarnations[node] for node in usable}
            due = {node for node in present if lives.get(node) != present[node]} | (self._wanted & usable)
            if trio.current_time() >= next_round:
                due |= usable
                next_round = trio.current_time() + _LOOK_AGAIN_S
            self._wanted -= due
            lives = present
            await _side_by_side(self._look_at, sorted(due))
            self._wake = trio.Event()
            if not self._wanted & usable:
                with trio.move_on_after(_NOTICE_S):
                    await self._wake.wait()

    def want(self, node: str) -> None:
        """The node may not hold what it should: look at it soon."""
        self._wanted.add(node)
        self._wake.set()

    # -- credentials nobody knows ------------------------------------------------------------------------------------

    async def look(self) -> None:
        """See to it that what a node knows of keys is known here, if that is not too soon after the last time."""
        async with self._looking:
            if trio.current_time() - self._looked_at < _LOOK_AT_MOST_EVERY_S:
                return
            for node in self._cluster.readiest():
                keys = await self._keys_of(node)
                if keys is not None:
                    await self._adopt(keys)
                    self._show(node, keys)
                    break
            self._looked_at = trio.current_time()

    async def refusal(self, token: bytes) -> ApiError | None:
        """Why a node refuses this tenant token; None if it does not, or nobody is there to say."""
        try:
            self._questions.acquire_nowait()
        except trio.WouldBlock:
            return None
        try:
            addresses = {node.id: node.address for node in self._cluster.topology.nodes}
            for node in self._cluster.readiest():
                address = addresses[node]
                call = NodeCall("verdict", "POST", f"/indexes/{_SCRATCH}/search", b"{}")
                with trio.move_on_after(self._node_timeout_s):
                    try:
                        response = await ask_as(token, address, call)
                        return error_of(response.status, response.body) if response.status in (401, 403) else None
                    except ExchangeError:
                        continue
            return None
        finally:
            self._questions.release()

    # -- one node ----------------------------------------------------------------------------------------------------

    async def _look_at(self, node: str) -> None:
        keys = await self._keys_of(node)
        if keys is not None:
            await self._adopt(keys)
            await self._set_right(node, keys)

    async def _keys_of(self, node: str) -> list[NodeKey] | None:
        """The node's keys; None if it does not say. A node without keys, or that shows us none, has none for us."""
        with trio.move_on_after(self._node_timeout_s):
            try:
                return await self._cluster.clients[node].keys()
            except NodeAnswerError as failure:
                if failure.status in (401, 403):
                    _log.warning("the node's API keys cannot be managed", node_id=node, reason=str(failure))
                    self._keyring.unmanaged = True
            except _FAILURES as failure:
                _log.info("keys not seen", node_id=node, reason=str(failure))
        return None

    async def _adopt(self, found: Iterable[NodeKey]) -> None:
        """Take over default keys of which the cluster has none yet: in the store first, then on all nodes."""
        keys = list(found)
        async with self._adopting:
            taken = adopted(keys, self._keyring.rows())
            ours = {row.uid for row in taken} | self._keyring.rows().keys()
            self._keyring.learn({key.uid: key.key for key in keys if key.uid in ours})
            for row in taken:
                await self._store.put_key(row)
                self._keyring.put(row)
        if taken:
            for node in self._cluster.clients:
                self.want(node)

    def _show(self, node: str, keys: list[NodeKey]) -> None:
        """Take note of what the node shows, and change nothing there."""
        plan = orders(keys, self._keyring.rows(), own=self._node_key, now_ns=time_ns())
        self._keyring.learn(plan.values)
        self._keyring.show_foreign(node, plan.foreign)

    async def _set_right(self, node: str, keys: list[NodeKey]) -> None:
        """Make the node hold what the store says. What was changed meanwhile is left to whoever changes it."""
        plan = orders(keys, self._keyring.rows(), own=self._node_key, now_ns=time_ns())
        self._keyring.learn(plan.values)
        self._keyring.show_foreign(node, plan.foreign)
        dropped = {row.uid: row for row in plan.make}
        for uid in plan.drop:
            row = self._keyring.rows().get(uid)
            if row is None or row.state == "deleted" or uid in dropped:
                await self._send(node, NodeCall("keys", "DELETE", f"/keys/{uid}"))
        for row in plan.make:
            if self._keyring.rows().get(row.uid) == row:
                made = await self._send(node, NodeCall("keys", "POST", "/keys", creation(row)))
                if made is not None and made.status == 201:
                    shown = msgspec.json.decode(made.body, type=NodeKey)
                    self._keyring.learn({shown.uid: shown.key})
        for row in plan.change:
            if self._keyring.rows().get(row.uid) == row:
                await self._send(node, NodeCall("keys", "PATCH", f"/keys/{row.uid}", renaming(row)))

    async def _send(self, node: str, call: NodeCall) -> Response | None:
        with trio.move_on_after(self._node_timeout_s):
            try:
                response = await self._cluster.clients[node].call(call, idempotent=False)
            except ExchangeError as failure:
                _log.info("key not set right", node_id=node, reason=str(failure))
                return None
            if response.status >= 400 and response.status not in (404, 409):
                _log.warning(
                    "key refused", node_id=node, method=call.method, status=response.status, body=response.body[:300]
                )
            return response
        return None


def creation(row: KeyRow) -> bytes:
    """The body that creates this key."""
    body = {
        "uid": row.uid,
        "name": row.name,
        "description": row.description,
        "actions": row.actions,
        "indexes": row.indexes,
        "expiresAt": row.expires_at,
    }
    return msgspec.json.encode(body)


def renaming(row: KeyRow) -> bytes:
    """The body that gives a key this name and description."""
    return msgspec.json.encode({"name": row.name, "description": row.description})


async def _side_by_side(work: Callable[[str], Awaitable[None]], nodes: Iterable[str]) -> None:
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(work, node)
