"""Calls to one node. It holds no rules: it sends, reads, and says what the node said.

Deadlines are the caller's cancel scopes. How long each call took is told to a callback, for metrics, latency statistics
and health.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec
import trio

from miroir.http import Exchange, ExchangeError, Pool, Response, Unwitnessed
from miroir.nodes.answers import Accepted, NodeAnswerError, Outcome, Refused, Unconfirmed, Unknown, Unsent
from miroir.nodes.identity import IDENTITY_KEY, META_INDEX, Identity

JSON: Final = (b"content-type", b"application/json")
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


class NodeCall(msgspec.Struct, frozen=True):
    """One request to a node, before it is known which node it goes to. `operation` names it in metrics."""

    operation: str
    method: str
    target: str
    body: bytes = b""
    content_type: bytes = b"application/json"
    content_encoding: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Beyond those of the body."""


class _Enqueued(msgspec.Struct, rename="camel"):
    task_uid: int


class _NodeTaskError(msgspec.Struct):
    message: str
    code: str
    type: str
    link: str


class NodeTaskView(msgspec.Struct, rename="camel"):
    """A task as the node shows it."""

    uid: int
    status: str
    details: dict[str, Any] | None = None
    error: _NodeTaskError | None = None
    started_at: str | None = None
    finished_at: str | None = None


class _TaskPage(msgspec.Struct):
    results: list[NodeTaskView]


class PoolFigures(NamedTuple):
    """Connections that carry an exchange, connections without work, and requests that wait for one."""

    in_use: int
    idle: int
    waiting: int


class NodeKey(msgspec.Struct, rename="camel", frozen=True):
    """An API key as the node shows it; `key` is its value."""

    uid: str
    key: str
    actions: tuple[str, ...]
    indexes: tuple[str, ...]
    created_at: str
    updated_at: str
    name: str | None = None
    description: str | None = None
    expires_at: str | None = None


class _KeyPage(msgspec.Struct):
    results: list[NodeKey]


class _IndexName(msgspec.Struct):
    uid: str


class _IndexPage(msgspec.Struct):
    results: list[_IndexName]


class Listing(msgspec.Struct):
    """A page of documents, each as the bytes the node sent."""

    results: list[msgspec.Raw]
    total: int = 0


_enqueued: Final = msgspec.json.Decoder(_Enqueued)
_task_page: Final = msgspec.json.Decoder(_TaskPage)
_listing: Final = msgspec.json.Decoder(Listing)
_identity: Final = msgspec.json.Decoder(Identity)

Observer = Callable[[str, str, float, str | None], None]
"""Told of every exchange: node id, operation, seconds, and what went wrong if anything did."""


class NodeClient:
    """One node's API as far as Miroir uses it. A call's `seconds` run from asking for a connection to the last byte."""

    def __init__(self, node_id: str, pool: Pool, observe: Observer) -> None:
        self.id = node_id
        self._pool = pool
        self._observe = observe
        self.newest_taken = -1
        """The highest uid under which this disk has taken a task of ours (`enqueue`); -1 for none that is known."""

    @property
    def has_idle_connection(self) -> bool:
        """Whether a call could be sent at once, without connecting first."""
        return self._pool.idle > 0

    @property
    def pool(self) -> PoolFigures:
        """How its connections stand now."""
        return PoolFigures(self._pool.in_use, self._pool.idle, self._pool.waiting)

    def when_lost(self, notify: Callable[[], None]) -> None:
        """Have `notify` called when a connection ends by itself: the node may have restarted, on whatever disk."""
        self._pool.on_lost = notify

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    # -- exchanges ---------------------------------------------------------------------------------------------------

    async def call(self, call: NodeCall, *, idempotent: bool | None = None, witnessed: bool = False) -> Response:
        """Send and read. `ExchangeError` when there is no whole answer; any status is an answer.

        `witnessed`: only to the process that is there now (`Pool.start`).
        """
        started = perf_counter()
        error: str | None = "cancelled"
        try:
            response = await self._pool.request(
                call.method,
                call.target,
                headers=_headers(call),
                body=call.body,
                idempotent=call.method == "GET" if idempotent is None else idempotent,
                witnessed=witnessed,
            )
            error = None if response.status < 500 else f"status_{response.status}"
            return response
        except Unwitnessed:
            raise  # nothing is known against the node; it is looked at
        except ExchangeError as failure:
            error = type(failure).__name__
            raise
        finally:
            self._observe(self.id, call.operation, perf_counter() - started, error)

    async def start(self, call: NodeCall) -> Exchange:
        """Send, and leave the answer unread: the first half of a scatter. The caller reports with `observe`."""
        return await self._pool.start(
            call.method,
            call.target,
            headers=(JSON, *call.headers) if call.body else call.headers,
            body=call.body,
            idempotent=True,
        )

    def observe(self, operation: str, seconds: float, error: str | None) -> None:
        """Report an exchange made with `start`."""
        self._observe(self.id, operation, seconds, error)

    async def enqueue(self, call: NodeCall) -> Outcome:
        """Send a write, once, to who is there now. Whatever happens is an outcome; only cancellation raises.

        Whoever has just found the node confirmed (`Cluster.confirmed`) and calls this without a pause reaches the disk
        that was confirmed, or none.
        """
        try:
            response = await self.call(call, idempotent=False, witnessed=True)
        except Unwitnessed as failure:
            return Unconfirmed(str(failure))
        except ExchangeError as failure:
            return Unknown(str(failure)) if failure.sent else Unsent(str(failure))
        if response.status in (200, 202):
            try:
                taken = _enqueued.decode(response.body).task_uid
            except msgspec.DecodeError as failure:
                return Unknown(f"unreadable answer: {failure}")
            self.newest_taken = max(self.newest_taken, taken)
            return Accepted(taken)
        if 400 <= response.status < 500:
            return Refused(response.status, response.body)
        return Unknown(f"status {response.status}")

    # -- reads of our own --------------------------------------------------------------------------------------------

    async def version(self) -> bytes:
        """`GET /version`, as sent."""
        return self._good(await self.call(NodeCall("version", "GET", "/version"))).body

    async def stats(self) -> dict[str, Any]:
        """`GET /stats`."""
        response = self._good(await self.call(NodeCall("stats", "GET", "/stats")))
        return msgspec.json.decode(response.body, type=dict[str, Any])

    async def tasks(self, uids: Sequence[int]) -> list[NodeTaskView]:
        """The tasks with these uids that the node knows. A page is 20 by default, so the limit is always given."""
        listed = ",".join(map(str, uids))
        response = await self.call(NodeCall("tasks", "GET", f"/tasks?uids={listed}&limit={len(uids)}"))
        return _task_page.decode(self._good(response).body).results

    async def ended_tasks(self, uids: Sequence[int]) -> list[NodeTaskView]:
        """Those of these tasks that have ended: a cheap question about a thousand that have not."""
        listed = ",".join(map(str, uids))
        target = f"/tasks?uids={listed}&statuses=succeeded,failed,canceled&limit={len(uids)}"
        return _task_page.decode(self._good(await self.call(NodeCall("tasks", "GET", target))).body).results

    async def cancel_tasks(self, uids: Sequence[int]) -> Outcome:
        """Have these tasks canceled, as far as the node finds them open. Harmless when repeated."""
        return await self.enqueue(NodeCall("cancel", "POST", f"/tasks/cancel?uids={','.join(map(str, uids))}"))

    async def delete_tasks(self, uids: Sequence[int]) -> Outcome:
        """Have the node forget these tasks, as far as they have ended."""
        return await self.enqueue(NodeCall("forget", "DELETE", f"/tasks?uids={','.join(map(str, uids))}"))

    async def oldest_unfinished(self, physical_uid: str) -> int | None:
        """The uid of the oldest task of that index that is enqueued or processing; None when there is none."""
        target = f"/tasks?indexUids={quote(physical_uid)}&statuses=enqueued,processing&limit=1&reverse=true"
        found = _task_page.decode(self._good(await self.call(NodeCall("tasks", "GET", target))).body).results
        return found[0].uid if found else None

    async def newest_task_uid(self, physical_uid: str) -> int:
        """The uid of the newest task of that index, whatever became of it; -1 when there never was one."""
        target = f"/tasks?indexUids={quote(physical_uid)}&limit=1"
        found = _task_page.decode(self._good(await self.call(NodeCall("tasks", "GET", target))).body).results
        return found[0].uid if found else -1

    async def deletion_of(self, physical_uid: str) -> int | None:
        """The uid of the oldest deletion of that index which has not failed; None when there is none."""
        states = "enqueued,processing,succeeded"
        target = f"/tasks?indexUids={quote(physical_uid)}&types=indexDeletion&statuses={states}&limit=1&reverse=true"
        found = _task_page.decode(self._good(await self.call(NodeCall("tasks", "GET", target))).body).results
        return found[0].uid if found else None

    async def features(self) -> dict[str, bool]:
        """Every experimental feature, and whether it is on."""
        response = self._good(await self.call(NodeCall("features", "GET", "/experimental-features")))
        return msgspec.json.decode(response.body, type=dict[str, bool])

    async def switch_features(self, flags: Mapping[str, bool]) -> None:
        """Switch these experimental features on or off. `NodeAnswerError` for one that the node does not know."""
        call = NodeCall("features", "PATCH", "/experimental-features", msgspec.json.encode(flags))
        self._good(await self.call(call, idempotent=True))

    async def has_index(self, physical_uid: str) -> bool:
        """Whether the node has the index (its creation may still be in the queue)."""
        response = await self.call(NodeCall("index", "GET", f"/indexes/{quote(physical_uid)}"))
        if response.status == 404:
            return False
        self._good(response)
        return True

    async def settings(self, physical_uid: str) -> dict[str, Any] | None:
        """Every setting of an index as the node has it; None where there is no such index."""
        response = await self.call(NodeCall("settings", "GET", f"/indexes/{quote(physical_uid)}/settings"))
        if response.status == 404:
            return None
        return msgspec.json.decode(self._good(response).body, type=dict[str, Any])

    async def highest_task_uid(self) -> int:
        """The newest task's uid; -1 on a node that never had one. A wiped node starts at 0 again."""
        response = self._good(await self.call(NodeCall("probe", "GET", "/tasks?limit=1")))
        newest = _task_page.decode(response.body).results
        return newest[0].uid if newest else -1

    async def identity(self) -> Identity | None:
        """What the node's disk says it is; None if it says nothing."""
        target = f"/indexes/{META_INDEX}/documents/{IDENTITY_KEY}"
        response = await self.call(NodeCall("probe", "GET", target))
        if response.status == 404:
            return None
        return _identity.decode(self._good(response).body)

    async def write_identity(self, identity: Identity) -> None:
        """Write it and wait until the node has it on disk."""
        body = msgspec.json.encode([identity])
        call = NodeCall("identity", "POST", f"/indexes/{META_INDEX}/documents?primaryKey=id", body)
        response = self._good(await self.call(call, idempotent=False))
        await self.finished(_enqueued.decode(response.body).task_uid)

    async def finished(self, task_uid: int) -> NodeTaskView:
        """Wait for a task to end, however it ends. `NodeAnswerError` with status 404 when the node has lost it."""
        patience = 0.01
        while True:
            task = next(iter(await self.tasks([task_uid])), None)
            if task is None:
                raise NodeAnswerError(self.id, 404, b"the task is gone")
            if task.status not in ("enqueued", "processing"):
                return task
            await trio.sleep(patience)
            patience = min(patience * 2, 0.5)

    async def keys(self) -> list[NodeKey]:
        """Every API key. `NodeAnswerError` with status 401 or 403 where we may not read them, or there are none."""
        response = self._good(await self.call(NodeCall("keys", "GET", "/keys?limit=1000000")))
        return msgspec.json.decode(response.body, type=_KeyPage).results

    async def index_names(self) -> list[str]:
        """Every index on the node, ours and hidden ones too."""
        response = self._good(await self.call(NodeCall("index", "GET", "/indexes?limit=1000000")))
        return [each.uid for each in msgspec.json.decode(response.body, type=_IndexPage).results]

    async def list_documents(self, physical_uid: str, filter: str, fields: Iterable[str], limit: int) -> Listing:
        """One unpaged list at one instant. `NodeAnswerError` with status 404 when the index is not there."""
        body = {"filter": filter, "fields": list(fields), "limit": limit}
        return await self._fetch(physical_uid, body)

    async def fetch_documents(self, physical_uid: str, ids: Sequence[str]) -> Listing:
        """Whole documents by id, vectors included: a copy without `retrieveVectors` loses them."""
        return await self._fetch(physical_uid, {"ids": list(ids), "limit": len(ids), "retrieveVectors": True})

    async def count_documents(self, physical_uid: str, filter: str) -> int:
        """How many documents match; 0 when the index is not there yet."""
        try:
            return (await self._fetch(physical_uid, {"filter": filter, "limit": 0})).total
        except NodeAnswerError as failure:
            if failure.status == 404:
                return 0
            raise

    async def _fetch(self, physical_uid: str, body: dict[str, Any]) -> Listing:
        call = NodeCall("fetch", "POST", f"/indexes/{quote(physical_uid)}/documents/fetch", msgspec.json.encode(body))
        return _listing.decode(self._good(await self.call(call, idempotent=True)).body)

    def _good(self, response: Response) -> Response:
        if 200 <= response.status < 300:
            return response
        raise NodeAnswerError(self.id, response.status, response.body)


def _headers(call: NodeCall) -> tuple[tuple[bytes, bytes], ...]:
    """`content-type` only where there is one: its absence is something a node may have to judge."""
    has_type = call.content_type and (call.body or call.method in _WITH_BODY)
    headers = ((b"content-type", call.content_type), *call.headers) if has_type else call.headers
    return (*headers, (b"content-encoding", call.content_encoding)) if call.content_encoding else headers
