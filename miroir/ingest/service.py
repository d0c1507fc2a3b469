"""Document writes: from a client's payload to an acknowledged task.

Everything that can be judged here is judged before any node is asked, for the whole payload: a node applies a payload
wholly or not at all, and so do we.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote

import msgspec
import trio

from miroir.cluster import NodeRefusal, Operation, Writer, Written, shards_of
from miroir.errors import ApiError, ErrorBody, miroir_error, node_error
from miroir.indexes import Index, IndexService, Registry, check_uid, index_not_found, refusal_of
from miroir.ingest.document_id import unusable_id
from miroir.ingest.payload import Format, Payload, decode_payload
from miroir.ingest.primary_key import TaskFailure
from miroir.ingest.reserved_fields import check_reserved_fields
from miroir.ingest.stamping import Batch, Stamped, node_payload, read_batch, stamp_batch
from miroir.nodes import NodeCall
from miroir.store import Intent, MappingChanged, NewTask, TaskRow
from miroir.tasks import DISTINCT_NOTE, TaskTracker, now_text

_ATTEMPTS: Final = 3
_LARGE_BYTES: Final = 1 << 19
"""About two milliseconds of work."""
_MANY: Final = 10_000

Value = TypeVar("Value")

Method = Literal["POST", "PUT"]
"""As on a node: POST replaces documents, PUT updates them."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A document payload as the client sent it, out of its `Content-Encoding`."""

    body: bytes
    format: Format
    csv_delimiter: str | None
    primary_key: str | None

    @property
    def is_large(self) -> bool:
        """Whether reading it would keep others waiting."""
        return len(self.body) > _LARGE_BYTES


class DocumentWriter:
    """Adds, replaces, updates and deletes documents."""

    def __init__(
        self,
        registry: Registry,
        indexes: IndexService,
        tracker: TaskTracker,
        writer: Writer,
        *,
        reject_missing_key: bool,
        anti_entropy: bool,
    ) -> None:
        self._registry = registry
        self._indexes = indexes
        self._tracker = tracker
        self._writer = writer
        self._reject_missing_key = reject_missing_key
        self._anti_entropy = anti_entropy

    # -- add, replace, update ----------------------------------------------------------------------------------------

    async def add(self, uid: str, method: Method, upload: Upload, *, creates: bool = True) -> Written:
        """Write a payload. Creates the index if it must and may (`creates`), and settles its primary key."""
        check_uid(uid)
        payload: Payload | None = None
        for _ in range(_ATTEMPTS):
            index = self._registry.find(uid)
            own = uid if index is None else index.uid
            try:
                judge = partial(self._judge, uid, upload, payload, index, creates=creates)
                payload, batch = await _apart(upload.is_large, judge)
            except TaskFailure as failure:
                return await self.fail(own, "documentAdditionOrUpdate", failure.error, received=failure.received)
            index = await self._indexes.ensure(uid, batch.primary_key)
            if index.row.primary_key is None and batch.primary_key is not None:
                index = await self._indexes.set_primary_key(index.uid, batch.primary_key)
            if batch.primary_key is not None and index.row.primary_key != batch.primary_key:
                continue  # another write settled on another key meanwhile: judge again by that
            if not batch.items:
                return await self._nothing_to_do(own)
            try:
                addition = await _apart(batch.received > _MANY, partial(self._addition, index, method, batch))
                return await self._write(index, addition)
            except MappingChanged:
                continue
        raise _in_motion(uid)

    def _judge(
        self, uid: str, upload: Upload, payload: Payload | None, index: Index | None, *, creates: bool
    ) -> tuple[Payload, Batch]:
        """Decode the payload, unless that was done, and find every id. Raises what both raise, and `TaskFailure`."""
        if payload is None:
            payload = decode_payload(upload.body, upload.format, csv_delimiter=upload.csv_delimiter)
        if index is None and not creates:
            raise TaskFailure(index_not_found(uid).body(), len(payload.documents))
        known_key = index.row.primary_key if index is not None else None
        if known_key is not None and upload.primary_key not in (None, known_key):
            raise TaskFailure(other_key(known_key), len(payload.documents))
        batch = read_batch(
            payload,
            index_uid=uid,
            primary_key=known_key or upload.primary_key,
            anti_entropy=self._anti_entropy,
            reject_missing=self._reject_missing_key,
        )
        if index is not None:
            check_reserved_fields(payload, batch, index.ahead)
        return payload, batch

    def _addition(self, index: Index, method: Method, batch: Batch) -> Operation:
        shards = index.row.shards
        target = f"/indexes/{quote(index.physical_uid)}/documents?primaryKey={quote(batch.primary_key or '')}"
        stamped: Stamped | None = None
        bodies: dict[tuple[int, ...], bytes] = {}

        def make(intent: Intent, parts: Iterable[tuple[int, ...]]) -> None:
            nonlocal stamped
            if stamped is None:
                stamped = stamp_batch(batch, stamp=intent.stamp, shards=shards, updated=self._anti_entropy)
            for owned in parts:
                if owned not in bodies:
                    bodies[owned] = node_payload(stamped, owned)

        async def prepare(intent: Intent, parts: Collection[tuple[int, ...]]) -> None:
            await _apart(True, partial(make, intent, parts))

        def calls(intent: Intent, owned: tuple[int, ...]) -> Sequence[NodeCall]:
            make(intent, (owned,))
            return (NodeCall("documents", method, target, bodies[owned]),)

        details: dict[str, Any] = {
            "receivedDocuments": batch.received,
            "indexedDocuments": None,
            DISTINCT_NOTE: batch.distinct,
        }
        return Operation(
            index_uid=index.uid,
            physical_uid=index.physical_uid,
            index_shards=shards,
            shards=batch.shards(shards),
            calls=calls,
            task=NewTask(index.uid, "documentAdditionOrUpdate", details, now_text()),
            prepare=prepare if batch.size > _LARGE_BYTES else None,
        )

    # -- delete ------------------------------------------------------------------------------------------------------

    async def delete(self, uid: str, ids: Sequence[str]) -> Written:
        """Delete documents by id; ids that are not there are no error."""
        check_uid(uid)
        details = {"providedIds": len(ids), "deletedDocuments": None, "originalFilter": None}
        for _ in range(_ATTEMPTS):
            index = self._registry.find(uid)
            if index is None:
                return await self.fail(uid, "documentDeletion", index_not_found(uid).body(), provided=len(ids))
            unusable = unusable_id(ids)
            if unusable is not None:
                return await self.fail(uid, "documentDeletion", unusable, provided=len(ids))
            if not ids:
                return await self._nothing_to_do(uid, "documentDeletion", {**details, "deletedDocuments": 0})
            try:
                return await self._write(index, _deletion(index, ids, details))
            except MappingChanged:
                continue
        raise _in_motion(uid)

    # -- outcomes ----------------------------------------------------------------------------------------------------

    async def _write(self, index: Index, operation: Operation) -> Written:
        try:
            return await self._writer.write(operation)
        except NodeRefusal as failure:
            raise refusal_of(index, failure.status, failure.body) from None

    async def fail(self, uid: str, type: str, error: ErrorBody, *, received: int = 0, provided: int = 0) -> Written:
        """Register a task that failed before anything was sent: what a node accepts and then fails."""
        details: dict[str, Any]
        if type == "documentDeletion":
            details = {"providedIds": provided, "deletedDocuments": 0, "originalFilter": None}
        else:
            details = {"receivedDocuments": received, "indexedDocuments": 0}
        now = now_text()
        task = await self._tracker.register(
            NewTask(uid, type, details, now, status="failed", error=error, started_at=now, finished_at=now)
        )
        return Written(task, ())

    async def _nothing_to_do(
        self, uid: str, type: str = "documentAdditionOrUpdate", details: dict[str, Any] | None = None
    ) -> Written:
        now = now_text()
        task: TaskRow = await self._tracker.register(
            NewTask(
                uid,
                type,
                details or {"receivedDocuments": 0, "indexedDocuments": 0},
                now,
                status="succeeded",
                started_at=now,
                finished_at=now,
            )
        )
        return Written(task, ())


async def _apart(is_large: bool, work: Callable[[], Value]) -> Value:
    """Do work on a body, in a thread when that is large: searches and probes would wait for it."""
    if not is_large:
        return work()
    return await trio.to_thread.run_sync(work, limiter=_limiter())


@lru_cache(maxsize=1)
def _limiter() -> trio.CapacityLimiter:
    return trio.CapacityLimiter(2)


def _deletion(index: Index, ids: Sequence[str], details: dict[str, Any]) -> Operation:
    by_shard: dict[int, list[str]] = {}
    for key, shard in zip(ids, shards_of(ids, index.row.shards), strict=True):
        by_shard.setdefault(shard, []).append(key)
    target = f"/indexes/{quote(index.physical_uid)}/documents/delete-batch"

    def calls(_intent: Intent, owned: tuple[int, ...]) -> Sequence[NodeCall]:
        body = msgspec.json.encode([key for shard in owned for key in by_shard[shard]])
        return (NodeCall("documents", "POST", target, body),)

    return Operation(
        index_uid=index.uid,
        physical_uid=index.physical_uid,
        index_shards=index.row.shards,
        shards=tuple(sorted(by_shard)),
        calls=calls,
        task=NewTask(index.uid, "documentDeletion", details, now_text()),
    )


def other_key(known: str) -> ErrorBody:
    """Of a task that names another primary key than the index has."""
    return node_error(400, "index_primary_key_already_exists", f"Index already has a primary key: `{known}`.").body()


def _in_motion(uid: str) -> ApiError:
    return miroir_error("miroir_overloaded", f"Index `{uid}` is being deleted and created over and over. Try again.")
