"""What comes of a change of documents: a write that stands, or a task that failed before anything was sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final

from miroir.cluster import ANYWHERE, NodeRefusal, Operation, Writer, Written
from miroir.errors import ErrorBody, miroir_error
from miroir.indexes import Index, Registry, check_uid, index_not_found, refusal_of
from miroir.ingest.inequalities import Inequalities
from miroir.store import AttemptedBefore, MappingChanged, NewTask
from miroir.tasks import TaskTracker, now_text

_ATTEMPTS: Final = 3
_ATTEMPTED: Final[ErrorBody] = {
    "message": "An earlier attempt under this Idempotency-Key was interrupted, and may have been carried out, whole or "
    "in part. It is not carried out twice: look at the documents, and send it under another key if need be.",
    "code": "internal",
    "type": "internal",
    "link": "https://docs.meilisearch.com/errors#internal",
}


class FailedTask(Exception):
    """What a node accepts with 202 and then fails: `error` is that of the task, which is registered as failed."""

    def __init__(self, error: ErrorBody) -> None:
        super().__init__(error["message"])
        self.error = error


@dataclass(frozen=True, slots=True)
class Change:
    """A change of documents that are chosen on the nodes, before it is known where.

    `operation(index, filter)`: with the filter in the words for the nodes of that index. `failed` is what the details
    hold instead of `details` where nothing came of it. `check` is asked before a task is failed that no node has seen:
    what a node refuses at once must be refused. `aside`: where the caller stands while earlier writes are waited for.
    """

    type: str
    details: Mapping[str, Any]
    failed: Mapping[str, Any]
    operation: Callable[[Index, Any], Operation]
    filter: Any = None
    check: Callable[[], Awaitable[None]] | None = None
    aside: AbstractAsyncContextManager[None] = ANYWHERE


class Changes:
    """Carries changes out on whatever the name stands for."""

    def __init__(self, registry: Registry, tracker: TaskTracker, writer: Writer, inequalities: Inequalities) -> None:
        self._registry = registry
        self._tracker = tracker
        self._writer = writer
        self._inequalities = inequalities

    async def carry_out(self, uid: str, change: Change) -> Written:
        """Write it. Raises `ApiError` for what nodes refuse and for a write that does not stand."""
        check_uid(uid)
        for _ in range(_ATTEMPTS):
            index = self._registry.find(uid)
            if index is None:
                if change.check is not None:
                    await change.check()
                return await self._fail(uid, change, index_not_found(uid).body())
            filter = await self._inequalities.told(index, change.filter, aside=change.aside)
            try:
                return await self._writer.write(change.operation(index, filter))
            except FailedTask as failure:
                if change.check is not None:
                    await change.check()
                return await self._fail(index.uid, change, failure.error)
            except AttemptedBefore:
                return await self._fail(uid, change, _ATTEMPTED)
            except NodeRefusal as failure:
                raise refusal_of(index, failure.status, failure.body) from None
            except MappingChanged:
                continue
        raise miroir_error("miroir_overloaded", f"Index `{uid}` is being deleted and created over and over. Try again.")

    async def _fail(self, uid: str, change: Change, error: ErrorBody) -> Written:
        now = now_text()
        details = {**change.details, **change.failed}
        task = await self._tracker.register(
            NewTask(uid, change.type, details, now, status="failed", error=error, started_at=now, finished_at=now)
        )
        return Written(task, ())
