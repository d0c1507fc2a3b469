"""The steps an import is made of: each is taken once, and waits for what it needs.

A run may be cut off anywhere and begun again by another process. So each step that registers a task is taken under a
claim of its own (what an `Idempotency-Key` is to clients): if the task was registered, it is found and not made again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from time import time
from typing import Final, NoReturn, TypeVar

import trio

from miroir.cluster import Features
from miroir.errors import ApiError, ErrorBody, miroir_error, node_error
from miroir.indexes import IndexService, Naming, Registry, SettingsChanges
from miroir.ingest import Changes, DocumentWriter, Format, Method, Unjudged, Upload
from miroir.security import KeyService
from miroir.store import Claim, JobRow, KeyTaken, Store, StoreUnavailable, TaskRow, claimed
from miroir.tasks import TaskTracker, Webhooks
from miroir.telemetry import get_logger
from miroir.upkeep.dump_archive import Archive, BadDump
from miroir.upkeep.dump_documents import DocumentBatch, Place, batches_of
from miroir.upkeep.import_progress import Progress

_log = get_logger(__name__)

Result = TypeVar("Result")

_CLAIM_MS: Final = 7 * 24 * 3600 * 1000
_SHORTEST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_PASSING: Final = frozenset({503, 504})
"""Refusals that are none: nodes are away, or the house is full."""
_COPIES_HELD: Final = 4
"""How often a batch is in memory at the most while it is written: as read, spliced, and as bodies for nodes."""


class ImportFailed(Exception):
    """The import cannot go on as it is. `error` says why, in Meilisearch's shape."""

    def __init__(self, error: ErrorBody) -> None:
        super().__init__(error["message"])
        self.error = error


def raise_the_cause(group: BaseExceptionGroup[BaseException]) -> NoReturn:
    """What ended a nursery's work, out of all that ended with it: a failure that can be told, without its group.

    What is none goes first, as a group: a cancellation, after which nobody is told of a failure, or an error of ours.
    """
    causes, others = group.split((ImportFailed, BadDump, ApiError, StoreUnavailable, OSError))
    if others is not None:
        raise others
    cause: BaseException = group if causes is None else causes
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    raise cause


@dataclass(frozen=True, slots=True)
class ImportKnobs:
    """`dump_import` of the configuration."""

    batch_size: int
    parallel_target_writes: int
    memory_buffer_bytes: int
    max_bytes: int
    longest_document: int
    anti_entropy: bool

    @property
    def batch_bytes(self) -> int:
        """Of one batch: one is written while the next one is read."""
        return max(1, self.memory_buffer_bytes // (2 * _COPIES_HELD))


@dataclass(frozen=True, slots=True)
class Doors:
    """The services an import goes through."""

    store: Store
    registry: Registry
    tracker: TaskTracker
    indexes: IndexService
    naming: Naming
    settings: SettingsChanges
    documents: DocumentWriter
    changes: Changes
    keys: KeyService
    features: Features
    webhooks: Webhooks


@dataclass(slots=True)
class Steps:
    """The steps of one import. `file` holds the dump; of `progress` only `waiting_for` is written here."""

    doors: Doors
    knobs: ImportKnobs
    job: JobRow
    file: Path
    progress: Progress

    async def once(self, step: str, act: Callable[[], Awaitable[TaskRow]]) -> int:
        """Take a step that registers a task, unless that was done before and has not failed; the task's uid."""
        for attempt in count():
            key = sha256(f"dump import {self.job.id} {step} {attempt}".encode()).digest()
            while (task := await self._registered(key)) is None:
                with suppress(KeyTaken):  # somebody was faster: look whose task it is
                    return await self.patiently(partial(_under_claim, key, act))
            if task.status not in ("failed", "canceled"):
                return task.uid
        raise AssertionError("unreachable")

    async def _registered(self, key: bytes) -> TaskRow | None:
        kept = await self.doors.store.find_idempotency(key, int(time() * 1000))
        return None if kept is None or kept.task is None else await self.doors.store.get_task(kept.task.uid)

    async def must_succeed(self, where: str, uid: int) -> None:
        """Wait for the task; `ImportFailed` with its error if it did not succeed."""
        task = await self.doors.tracker.ended(uid)
        if task is not None and task.status != "succeeded":
            error = task.error or miroir_error("miroir_dump_import_conflict", "the task was canceled").body()
            raise ImportFailed({**error, "message": f"{where} (task {uid}): {error['message']}"})

    async def patiently(self, act: Callable[[], Awaitable[Result]]) -> Result:
        """Do it as soon as it can be done: nodes that are away and a full house are waited for."""
        pause = _SHORTEST_PAUSE_S
        while True:
            try:
                result = await act()
            except (ApiError, StoreUnavailable) as failure:
                if isinstance(failure, ApiError) and failure.status not in _PASSING:
                    raise
                self.progress.waiting_for = str(failure)
                _log.info("dump import waits", import_id=self.job.id, reason=str(failure))
                await trio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
            else:
                self.progress.waiting_for = None
                return result

    # -- documents ---------------------------------------------------------------------------------------------------

    async def read_batches(
        self, wanted: Collection[str], after: Place, send: trio.MemorySendChannel[DocumentBatch]
    ) -> None:
        """Read ahead of the writing by one batch."""
        params = self.job.params
        with self.file.open("rb") as packed:
            batches = batches_of(
                Archive(packed, max_bytes=self.knobs.max_bytes),
                wanted,
                after=after,
                batch_size=params["batch_size"],
                batch_bytes=params["batch_bytes"],
                longest=self.knobs.longest_document,
            )
            async with send:
                while (batch := await next_batch(batches)) is not None:
                    await send.send(batch)

    async def put(
        self, step: str, index_uid: str, batch: DocumentBatch, method: Method, primary_key: str | None
    ) -> int:
        """Send a batch as a client would; the uid of its task. What is wrong with it says where it stands."""
        upload = Upload(batch.body, Format.NDJSON, None, primary_key)
        where = f"Index `{index_uid}`, documents in `{batch.path}` from byte {batch.start.offset} on"

        async def add() -> TaskRow:
            return (await self.doors.documents.add(index_uid, method, upload, creates=False)).task

        try:
            return await self.once(step, add)
        except Unjudged as unjudged:
            message = f"{where}: {unjudged.reason}."
            raise ImportFailed(node_error(400, "malformed_payload", message).body()) from None
        except ApiError as refusal:
            raise ImportFailed({**refusal.body(), "message": f"{where}: {refusal.message}"}) from None


async def next_batch(batches: Iterator[DocumentBatch]) -> DocumentBatch | None:
    return await trio.to_thread.run_sync(next, batches, None, abandon_on_cancel=True)


async def _under_claim(key: bytes, act: Callable[[], Awaitable[TaskRow]]) -> int:
    with claimed(Claim(key, key, int(time() * 1000) + _CLAIM_MS)):
        return (await act()).uid
