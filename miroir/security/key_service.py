"""Changing keys: on all nodes or none, one after the other.

The store is changed before the nodes are, and nodes that do not get it now get it from `KeySync`:

create  a row `making`; the key on every node that is there; the row `live`. A node that fails undoes it everywhere, and
        so does a crash: `recover` finds the row, and nobody was told of the key.
change  the row, then the nodes.
delete  the row stays, as `deleted`, and the key stops opening our door; then the nodes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import msgspec
import orjson
import trio

from miroir.cluster import Cluster
from miroir.errors import ApiError, miroir_error, node_error
from miroir.http import ExchangeError, Response
from miroir.nodes import NodeCall, NodeKey, Unknown, Unsent, error_of
from miroir.security.key_orders import given_way, row_of
from miroir.security.key_sync import KeySync, renaming
from miroir.security.keyring import Keyring, digest
from miroir.security.tenant_tokens import parse_uid
from miroir.store import KeyRow, Store
from miroir.tasks import now_text


class KeyService:
    """`/keys`."""

    def __init__(
        self, cluster: Cluster, store: Store, keyring: Keyring, sync: KeySync, *, node_timeout_s: float
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._keyring = keyring
        self._sync = sync
        self._node_timeout_s = node_timeout_s
        self._changing = trio.Lock()

    async def recover(self) -> None:
        """Take up what the store holds. A key that was being made when the last process died has not been made."""
        rows = await self._store.list_keys()
        for row in rows:
            if row.state == "making":
                await self._store.put_key(replace(row, state="deleted"))
        self._keyring.load(await self._store.list_keys())

    # -- reading -----------------------------------------------------------------------------------------------------

    def all(self) -> list[KeyRow]:
        """Every key, the newest first."""
        return self._keyring.listed()

    def get(self, name: str) -> KeyRow:
        """The key of that uid or value; 404 `api_key_not_found`."""
        uid = parse_uid(name)
        if uid is None:
            found = self._keyring.find(digest(name.encode()))
            uid = None if found is None else found.uid
        row = None if uid is None else self._keyring.rows().get(uid)
        if row is None or row.state != "live":
            raise node_error(404, "api_key_not_found", f"API key `{name}` not found.")
        return row

    def value(self, row: KeyRow) -> str:
        """What opens the door. 503 while no node has shown it yet."""
        value = self._keyring.value(row.uid)
        if value is None:
            raise miroir_error("miroir_shard_unavailable", f"No node can be reached to ask for the key `{row.uid}`.")
        return value

    # -- changing ----------------------------------------------------------------------------------------------------

    async def create(self, body: bytes, wanted: str | None) -> KeyRow:
        """Make the key that the body, a JSON object, describes; `wanted`: the uid in it.

        What is wrong with it a node says. 503 `miroir_no_quorum` when it could not be made everywhere, and so nowhere.
        """
        uid = wanted or str(uuid4())
        payload = body if wanted else _with_uid(body, uid)
        async with self._changing:
            with trio.CancelScope(shield=True):  # half a key must not be left; every node has its own patience
                made = await self._create(uid, payload)
        return made

    async def _create(self, uid: str, payload: bytes) -> KeyRow:
        before = self._keyring.rows().get(uid)
        if (before is not None and before.state == "live") or self._keyring.of_uid(uid) is not None:
            raise await self._taken(uid, payload)
        now = now_text()
        making = replace(before or KeyRow(uid, "deleted", None, None, (), (), None, now, now), state="making")
        await self._keep(making)
        try:
            first, key = await self._first(payload)
            await self._others(first, payload)
        except ApiError as failure:
            if before is None and failure.status < 500:  # refused by the first: nobody has it
                await self._store.forget_key(uid)
                self._keyring.forget(uid)
            else:
                await self._keep(replace(making, state="deleted"))
                await self._on_all(NodeCall("keys", "DELETE", f"/keys/{uid}"))
            raise
        self._keyring.learn({uid: key.key})
        return await self._keep(row_of(key))

    async def _first(self, payload: bytes) -> tuple[str, NodeKey]:
        """The first node that is there, and the key it has made: whatever is wrong with the key it says."""
        for node in self._cluster.readiest():
            response = await self._make(node, payload)
            if isinstance(response, Unsent):
                continue
            if isinstance(response, Unknown) or response.status >= 500:
                raise _not_made(node)
            if response.status != 201:
                raise _refusal(response)
            return node, msgspec.json.decode(response.body, type=NodeKey)
        raise miroir_error("miroir_no_quorum", "No node can be reached to make the key. Try again shortly.")

    async def _others(self, first: str, payload: bytes) -> None:
        """Make the same key on every other node that is there. Raises for the first that fails."""
        failed: list[str] = []

        async def make(node: str) -> None:
            response = await self._make(node, payload)
            if isinstance(response, Unsent):
                self._sync.want(node)  # away: it gets the key when it is back
            elif isinstance(response, Unknown) or response.status != 201:
                failed.append(node)

        async with trio.open_nursery() as nursery:
            for node in sorted(self._cluster.usable_nodes() - {first}):
                nursery.start_soon(make, node)
        if failed:
            raise _not_made(min(failed))

    async def _make(self, node: str, payload: bytes) -> Response | Unsent | Unknown:
        """The node's answer to a creation; a key it still has under that uid, which is none of ours, goes first."""
        call = NodeCall("keys", "POST", "/keys", payload)
        response = await self._send(node, call)
        if not isinstance(response, (Unsent, Unknown)) and response.status == 409:
            await self._send(node, NodeCall("keys", "DELETE", f"/keys/{_uid_in(payload)}"))
            response = await self._send(node, call)
        return response

    async def _taken(self, uid: str, payload: bytes) -> ApiError:
        """409, unless a node finds something else to refuse first. A node that lacked the key has it put right."""
        for node in self._cluster.readiest():
            response = await self._send(node, NodeCall("keys", "POST", "/keys", payload))
            if isinstance(response, (Unsent, Unknown)):
                continue
            if response.status == 201:
                await self._send(node, NodeCall("keys", "DELETE", f"/keys/{uid}"))
                self._sync.want(node)
                break
            return _refusal(response)
        return node_error(409, "api_key_already_exists", f"`uid` field value `{uid}` is already an existing API key.")

    async def check_change(self, body: bytes, content_type: bytes) -> None:
        """Raise a node's refusal of a change of a key, whatever the key: it is aimed at one that is not there."""
        call = NodeCall("keys", "PATCH", f"/keys/{uuid4()}", body, content_type)
        for node in self._cluster.readiest():
            response = await self._send(node, call)
            if isinstance(response, (Unsent, Unknown)) or response.status >= 500:
                continue
            if response.status != 404:
                raise _refusal(response)
            return
        raise miroir_error("miroir_no_quorum", "No node can be reached to check this request. Try again shortly.")

    async def change(self, name: str, changes: Mapping[str, Any]) -> KeyRow:
        """Give the key of that uid or value another name or description, as far as `changes` has them."""
        async with self._changing:
            row = self.get(name)
            texts = {member: changes[member] for member in ("name", "description") if member in changes}
            with trio.CancelScope(shield=True):
                row = await self._keep(replace(row, **texts, updated_at=now_text()))
                await self._on_all(NodeCall("keys", "PATCH", f"/keys/{row.uid}", renaming(row)))
            return row

    async def delete(self, name: str) -> None:
        """The key of that uid or value opens nothing any more."""
        async with self._changing:
            row = self.get(name)
            with trio.CancelScope(shield=True):
                await self._keep(replace(row, state="deleted"))
                await self._on_all(NodeCall("keys", "DELETE", f"/keys/{row.uid}"))

    async def give_way(self, imported: Collection[str]) -> None:
        """Delete the nodes' own default keys for those of their kinds that another instance had (`given_way`)."""
        for uid in given_way(imported, self._keyring.rows()):
            try:
                await self.delete(uid)
            except ApiError as failure:
                if failure.status != 404:  # somebody else has deleted it meanwhile
                    raise

    async def _keep(self, row: KeyRow) -> KeyRow:
        """The store first; what is not kept there is not so."""
        await self._store.put_key(row)
        self._keyring.put(row)
        return row

    async def _on_all(self, call: NodeCall) -> None:
        """Tell every node that is there. Who does not take it is looked at again."""

        async def tell(node: str) -> None:
            response = await self._send(node, call)
            if isinstance(response, (Unsent, Unknown)) or response.status >= 400:
                self._sync.want(node)

        async with trio.open_nursery() as nursery:
            for node in sorted(self._cluster.usable_nodes()):
                nursery.start_soon(tell, node)

    async def _send(self, node: str, call: NodeCall) -> Response | Unsent | Unknown:
        with trio.move_on_after(self._node_timeout_s):
            try:
                return await self._cluster.clients[node].call(call, idempotent=False)
            except ExchangeError as failure:
                return Unknown(str(failure)) if failure.sent else Unsent(str(failure))
        return Unknown("no answer in time")


def _with_uid(body: bytes, uid: str) -> bytes:
    """The object with a member more, and every other as it was sent."""
    inside = body.rstrip()[:-1].rstrip()
    comma = b"" if inside.endswith(b"{") else b","
    return inside + comma + b'"uid":"' + uid.encode() + b'"}'


def _uid_in(payload: bytes) -> str:
    uid = parse_uid(str(orjson.loads(payload)["uid"]))
    assert uid is not None
    return uid


def _not_made(node: str) -> ApiError:
    return miroir_error("miroir_no_quorum", f"Node {node} did not make the key, so it was made on no node. Try again.")


def _refusal(response: Response) -> ApiError:
    refusal = error_of(response.status, response.body)
    return refusal or miroir_error("miroir_no_quorum", f"A node answered with {response.status}, and in no words.")
