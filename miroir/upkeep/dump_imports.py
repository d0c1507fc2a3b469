"""Imports of dumps: uploads that are kept in a folder, and the worker that imports them one after the other.

A dump is kept as it came, on disk, until it is imported: to read it to its end takes longer than a client would wait,
its settings stand behind its documents, and an import that was cut off has to find it again.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

import trio

from miroir.errors import ApiError, miroir_error, node_error
from miroir.store import JobRow, Store, StoreUnavailable
from miroir.tasks import now_text
from miroir.telemetry import get_logger
from miroir.upkeep.dump_archive import BadDump, looks_packed
from miroir.upkeep.import_progress import IMPORT, IfExists, Progress
from miroir.upkeep.import_run import ImportRun, bad_dump
from miroir.upkeep.import_steps import Doors, ImportFailed, ImportKnobs, Steps

_log = get_logger(__name__)

_PIECE: Final = 1 << 20
_KEPT: Final = 100
"""Ended imports that are remembered."""
_ENDED: Final = frozenset({"completed", "failed", "canceled"})

Chunks = Callable[[], Awaitable[bytes]]
"""The next bytes of an upload; none at its end."""


class DumpImports:
    """The imports there are. One for the process."""

    def __init__(self, store: Store, doors: Doors, knobs: ImportKnobs, folder: Path) -> None:
        self._store = store
        self._doors = doors
        self._knobs = knobs
        self._folder = folder
        self._jobs: dict[str, JobRow] = {}
        self._running: tuple[str, trio.CancelScope] | None = None
        self._news = trio.Event()

    async def load(self) -> None:
        """Start with what the store holds; uploads that nobody finished go."""
        self._jobs = {job.id: job for job in await self._store.list_jobs(IMPORT)}
        needed = {self._file(job.id).name for job in self._jobs.values() if job.state not in ("completed", "canceled")}
        await trio.to_thread.run_sync(_clear, self._folder, needed)

    # -- as operators handle them ------------------------------------------------------------------------------------

    def all(self) -> list[JobRow]:
        """Every import that is remembered, oldest first."""
        return sorted(self._jobs.values(), key=lambda job: (job.created_at, job.id))

    def get(self, id: str) -> JobRow:
        """One import; 404 `miroir_dump_import_not_found`."""
        job = self._jobs.get(id)
        if job is None:
            raise miroir_error("miroir_dump_import_not_found", f"There is no import `{id[:100]}`.")
        return job

    async def take(self, chunks: Chunks, if_exists: IfExists) -> JobRow:
        """Keep an upload, and have it imported. 400 `miroir_dump_invalid` for what cannot be a dump.

        It is on disk, and the import in the store, when this returns. Raises what `chunks` raises, and keeps nothing.
        """
        id = str(uuid4())
        file = self._file(id)
        try:
            size = await self._receive(file, chunks)
            now = now_text()
            params = {
                "size": size,
                "if_exists": if_exists,
                "batch_size": self._knobs.batch_size,
                "batch_bytes": self._knobs.batch_bytes,
            }
            job = JobRow(id, IMPORT, "queued", params, Progress().kept(), None, now, now)
            with trio.CancelScope(shield=True):  # the store and what we remember of it must not part
                await self._put(job)
        except BaseException:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(partial(file.unlink, missing_ok=True))
            raise
        self._news.set()
        return job

    async def resume(self, id: str) -> JobRow:
        """Go on with an import that failed, from where it failed. 409 for any other."""
        job = self.get(id)
        if job.state != "failed":
            raise _conflict(f"The import is {job.state}: only one that failed can be resumed.")
        if not self._file(id).exists():
            raise _conflict("The dump is not there any more. Upload it again.")
        job = await self._put(replace(job, state="queued", error=None))
        self._news.set()
        return job

    async def cancel(self, id: str) -> JobRow:
        """Stop the import and forget its dump. What was imported stays. 409 for one that has completed."""
        job = self.get(id)
        if job.state == "completed":
            raise _conflict("The import has completed.")
        with trio.CancelScope(shield=True):
            job = await self._put(replace(self.get(id), state="canceled", error=None))
            if self._running is not None and self._running[0] == id:
                self._running[1].cancel()
            await self._forget_file(id)
        return job

    # -- the worker --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Import for ever, what was begun first. A worker for the supervisor."""
        while True:
            self._news = trio.Event()
            due = [job for job in self.all() if job.state in ("in_progress", "queued")]
            if due:
                await self._carry_out(min(due, key=lambda job: job.state != "in_progress"))
            else:
                await self._news.wait()

    async def _carry_out(self, job: JobRow) -> None:
        progress = Progress.of(job)
        progress.waiting_for = None
        job = await self._put(replace(job, state="in_progress"))

        async def save() -> None:
            if self.get(job.id).state == "in_progress":  # it may have been canceled this moment
                await self._put(replace(self.get(job.id), progress=progress.kept()))

        _log.info("dump import begins", import_id=job.id, bytes=job.params["size"], documents=progress.documents)
        run = ImportRun(Steps(self._doors, self._knobs, job, self._file(job.id), progress), save)
        error = None
        try:
            with trio.CancelScope() as scope:
                self._running = (job.id, scope)
                await run.carry_out()
        except ImportFailed as failure:
            error = failure.error
        except StoreUnavailable:
            raise  # nothing can be written down now: begun again when the store is back
        except Exception as failure:  # noqa: BLE001 - whatever it is, a group of them too; never Cancelled
            # Begun again it would end here again, and no other import would ever have its turn.
            _log.exception("dump import crashed", import_id=job.id)
            error = _unforeseen(failure).body()
        finally:
            self._running = None
        if self.get(job.id).state == "canceled":
            _log.info("dump import canceled", import_id=job.id)
            return
        with trio.CancelScope(shield=True):
            ended = replace(self.get(job.id), progress=progress.kept(), error=error)
            await self._put(replace(ended, state="completed" if error is None else "failed"))
            if error is None:
                await self._forget_file(job.id)
            await self._forget_old()
        _log.info("dump import ended", import_id=job.id, error=error, documents=progress.documents)

    # -- keeping -----------------------------------------------------------------------------------------------------

    def _file(self, id: str) -> Path:
        return self._folder / f"{id}.dump"

    async def _put(self, job: JobRow) -> JobRow:
        job = replace(job, updated_at=now_text())
        self._jobs[job.id] = job
        await self._store.put_job(job)
        return job

    async def _receive(self, file: Path, chunks: Chunks) -> int:
        """The upload, on disk for good; how many bytes it has."""
        size = 0
        held: list[bytes] = []
        target = await trio.to_thread.run_sync(_create, file)
        try:
            while True:
                chunk = await chunks()
                if size == 0 and not held and chunk and not looks_packed(chunk) and len(chunk) > 1:
                    raise bad_dump(BadDump("it is not gzipped, as dumps are"))
                held.append(chunk)
                if sum(map(len, held)) >= _PIECE or not chunk:
                    data = b"".join(held)
                    size += len(data)
                    held = []
                    if self._knobs.max_bytes and size > self._knobs.max_bytes:
                        raise bad_dump(BadDump(f"it is larger than {self._knobs.max_bytes} bytes"))
                    await trio.to_thread.run_sync(target.write, data)
                if not chunk:
                    break
            if not size:
                raise bad_dump(BadDump("it is empty"))
            await trio.to_thread.run_sync(_sync, target)
        except OSError as failure:
            _log.warning("dump not kept", reason=str(failure))
            message = f"The dump cannot be kept in `dumps.path`: {failure.strerror or failure}."
            raise miroir_error("miroir_overloaded", message) from None
        finally:
            with suppress(OSError):  # what is kept was synced; what is not need not be written any more
                target.close()
        return size

    async def _forget_file(self, id: str) -> None:
        await trio.to_thread.run_sync(partial(self._file(id).unlink, missing_ok=True))

    async def _forget_old(self) -> None:
        ended = [job for job in self.all() if job.state in _ENDED]
        for job in ended[: max(0, len(ended) - _KEPT)]:
            await self._store.delete_job(job.id)
            del self._jobs[job.id]
            await self._forget_file(job.id)


def _create(file: Path) -> BinaryIO:
    file.parent.mkdir(parents=True, exist_ok=True)
    # What is in a dump is for nobody else on this machine: keys, addresses, all documents.
    return open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _sync(target: BinaryIO) -> None:
    target.flush()
    os.fsync(target.fileno())


def _clear(folder: Path, needed: set[str]) -> None:
    for file in folder.glob("*.dump") if folder.is_dir() else ():
        if file.name not in needed:
            file.unlink(missing_ok=True)


def _unforeseen(failure: Exception) -> ApiError:
    """500: an error of our own, or one in the dump that nobody looked for."""
    while isinstance(failure, ExceptionGroup):
        failure = failure.exceptions[0]
    message = f"The import ended at an error nobody foresaw ({type(failure).__name__}); Miroir's log has the whole."
    return node_error(500, "internal", message, type="internal")


def _conflict(message: str) -> ApiError:
    return miroir_error("miroir_dump_import_conflict", message)
