"""One import: from a dump in a file to indexes, settings, keys and documents, through the doors that clients use.

Everything goes the way of a client's own requests, so it is stamped, spread and acknowledged like those, and shows as
tasks. The order is that of the design: keys and settings first, which are waited for; then the documents, in the order
of the dump, so that they stand in the order they stood in; then what still waited when the dump was made.

A place in the documents is only kept once everything before it has been done by the nodes. What was sent behind it
when a process died is found again by its claims (`miroir.upkeep.import_steps`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID, uuid5

import msgspec
import trio

from miroir.errors import ApiError, miroir_error, node_error
from miroir.upkeep.dump_archive import Archive, BadDump
from miroir.upkeep.dump_contents import DumpContents, DumpedIndex, read_contents
from miroir.upkeep.dump_documents import DocumentBatch
from miroir.upkeep.import_progress import Phase
from miroir.upkeep.import_steps import ImportFailed, Steps, raise_the_cause
from miroir.upkeep.import_waiting import carry_out_task

_SAVE_EVERY_S: Final = 0.5


@dataclass(slots=True)
class _Sent:
    """A batch whose task is registered."""

    batch: DocumentBatch
    index_uid: str
    done: bool = False


@dataclass(slots=True)
class ImportRun:
    """Carries one import out. `save` keeps the progress with the job."""

    steps: Steps
    save: Callable[[], Awaitable[None]]
    _under_way: deque[_Sent] = field(default_factory=deque)
    _saved_at: float = float("-inf")

    async def carry_out(self) -> None:
        """To the end. Raises `ImportFailed`; cancelled, it can be begun again."""
        try:
            contents = await self._read()
            if not self.steps.progress.begun:
                self._check_free(contents)
            if self.steps.progress.phase in ("reading", "settings"):
                await self._enter("settings")
                await self._features(contents)
                await self._keys(contents)
                await self._webhooks(contents)
                for index in contents.indexes:
                    await self._index(index)
            if self.steps.progress.phase in ("settings", "documents"):
                await self._enter("documents")
                await self._documents(contents)
            await self._enter("tasks")
            await self._waiting(contents)
            await self._enter("done")
        except BadDump as failure:
            raise ImportFailed(bad_dump(failure).body()) from None
        except ApiError as failure:
            raise ImportFailed(failure.body()) from None
        except OSError as failure:
            message = f"The dump cannot be read any more: {failure.strerror or failure}."
            raise ImportFailed(node_error(500, "internal", message, type="internal").body()) from None

    async def _enter(self, phase: Phase) -> None:
        self.steps.progress.phase = phase
        self.steps.progress.begun = True
        await self.save()

    # -- before anything is changed ----------------------------------------------------------------------------------

    async def _read(self) -> DumpContents:
        if not self.steps.progress.begun:
            self.steps.progress.phase = "reading"
            await self.save()
        contents = await trio.to_thread.run_sync(
            _contents_of, self.steps.file, self.steps.knobs.max_bytes, abandon_on_cancel=True
        )
        progress = self.steps.progress
        progress.version = contents.version
        progress.unpacked_bytes = contents.unpacked_bytes
        progress.document_bytes = contents.document_bytes
        progress.waiting_tasks = len(contents.waiting)
        for remark in contents.remarks:
            progress.remark(remark)
        return contents

    def _check_free(self, contents: DumpContents) -> None:
        """Refuse before anything is changed what could not be imported whole."""
        registry = self.steps.doors.registry
        for index in contents.indexes:
            if registry.alias(index.uid) is not None:
                raise _conflict(f"`{index.uid}` is an alias here, and an index in the dump. Rename or delete the alias")
            present = registry.find(index.uid)
            if present is None:
                continue
            if self.steps.job.params["if_exists"] != "merge":
                raise _conflict(
                    f"Index `{index.uid}` is here already. Delete it, or import with `if_exists=merge` (`--if-exists "
                    "merge`) to put the dump's settings and documents on top of it"
                )
            known = present.row.primary_key
            if None not in (known, index.primary_key) and known != index.primary_key:
                raise _conflict(
                    f"Index `{index.uid}` has the primary key `{known}` here, and `{index.primary_key}` in the dump"
                )

    # -- what comes first --------------------------------------------------------------------------------------------

    async def _features(self, contents: DumpContents) -> None:
        """Switch on what was on. What nodes do not know any more is none today."""
        wanted = {name for name, on in contents.features.items() if on}
        if not wanted:
            return
        shown = await self.steps.patiently(self.steps.doors.features.shown)
        for name in sorted(wanted - shown.keys()):
            self.steps.progress.remark(f"the experimental feature `{name}` was left out: the nodes do not know it")
        missing = {name: True for name in sorted(wanted) if shown.get(name) is False}
        if missing:
            await self.steps.patiently(partial(self.steps.doors.features.change, missing))

    async def _keys(self, contents: DumpContents) -> None:
        """The keys under their uids. One that is here already stays as it is.

        Where there is nothing yet, the dump's default keys take the place of the nodes' own, as on a node, which has no
        keys but the dump's then.
        """
        if self.steps.progress.keys:
            return
        doors = self.steps.doors
        counts = {"imported": 0, "already_here": 0, "left_out": 0}
        uids = [
            str(key.get("uid") or uuid5(UUID(self.steps.job.id), str(number)))
            for number, key in enumerate(contents.keys)
        ]
        for uid, key in zip(uids, contents.keys, strict=True):
            if self._has_key(uid):
                counts["already_here"] += 1
                continue
            body = msgspec.json.encode({**key, "uid": uid})
            try:
                await self.steps.patiently(partial(doors.keys.create, body, uid))
                counts["imported"] += 1
            except ApiError as refusal:
                counts["left_out"] += 1
                self.steps.progress.remark(f"the key `{key.get('name') or uid}` was left out: {refusal.message}")
        if uids and not doors.registry.all():
            await self.steps.patiently(partial(doors.keys.give_way, uids))
        self.steps.progress.keys = counts

    def _has_key(self, uid: str) -> bool:
        try:
            self.steps.doors.keys.get(uid)
        except ApiError:
            return False
        return True

    async def _webhooks(self, contents: DumpContents) -> None:
        for uuid, (url, headers) in contents.webhooks.items():
            try:
                await self.steps.patiently(partial(self.steps.doors.webhooks.restore, uuid, url, headers))
            except ApiError as refusal:
                self.steps.progress.remark(f"a webhook was left out: {refusal.message}")

    async def _index(self, index: DumpedIndex) -> None:
        """The index and its settings; waits until the nodes have both."""
        doors = self.steps.doors
        where = f"Index `{index.uid}`"
        self.steps.progress.documents.setdefault(index.uid, 0)
        create = partial(doors.indexes.create, index.uid, index.primary_key, created_at=index.created_at)
        if self.steps.job.params["if_exists"] != "merge" or doors.registry.find(index.uid) is None:
            await self.steps.must_succeed(where, await self.steps.once(f"index {index.uid}", create))
        if index.settings:
            change = partial(doors.settings.change, index.uid, index.settings)
            await self.steps.must_succeed(where, await self.steps.once(f"settings {index.uid}", change))

    # -- documents ---------------------------------------------------------------------------------------------------

    async def _documents(self, contents: DumpContents) -> None:
        indexes = {index.documents: index for index in contents.indexes}
        slots = trio.Semaphore(self.steps.knobs.parallel_target_writes)
        try:
            async with trio.open_nursery() as nursery:
                send, receive = trio.open_memory_channel[DocumentBatch](0)
                nursery.start_soon(self.steps.read_batches, frozenset(indexes), self.steps.progress.place, send)
                async with receive:
                    async for batch in receive:
                        await slots.acquire()
                        index = indexes[batch.path]
                        # One after the other, so that documents get their places in the order of the dump.
                        task = await self._put(index, batch)
                        sent = _Sent(batch, index.uid)
                        self._under_way.append(sent)
                        nursery.start_soon(self._follow, sent, task, slots)
        except BaseExceptionGroup as group:
            raise_the_cause(group)

    async def _put(self, index: DumpedIndex, batch: DocumentBatch) -> int:
        step = f"documents {batch.start.file} {batch.start.offset}"
        return await self.steps.put(step, index.uid, batch, "POST", index.primary_key)

    async def _follow(self, sent: _Sent, task: int, slots: trio.Semaphore) -> None:
        """Until the nodes have it; then the place behind everything that is done is kept."""
        where = f"Index `{sent.index_uid}`, documents in `{sent.batch.path}` from byte {sent.batch.start.offset} on"
        await self.steps.must_succeed(where, task)
        sent.done = True
        slots.release()
        progress = self.steps.progress
        while self._under_way and self._under_way[0].done:
            ended = self._under_way.popleft()
            progress.file, progress.offset = ended.batch.end.file, ended.batch.end.offset
            progress.documents[ended.index_uid] = progress.documents.get(ended.index_uid, 0) + ended.batch.documents
            progress.document_bytes_done += ended.batch.end.offset - ended.batch.start.offset
        if trio.current_time() >= self._saved_at + _SAVE_EVERY_S:
            self._saved_at = trio.current_time()
            await self.save()

    # -- what still waited -------------------------------------------------------------------------------------------

    async def _waiting(self, contents: DumpContents) -> None:
        for number, task in enumerate(contents.waiting):
            if number >= self.steps.progress.waiting_tasks_done:
                await carry_out_task(self.steps, task)
                self.steps.progress.waiting_tasks_done = number + 1
                await self.save()


def bad_dump(failure: BadDump) -> ApiError:
    """400: what is wrong with the dump."""
    return miroir_error("miroir_dump_invalid", f"This dump cannot be imported: {failure}.")


def _conflict(reason: str) -> ApiError:
    return miroir_error("miroir_dump_import_conflict", f"{reason}. Nothing was imported.")


def _contents_of(file: Path, max_bytes: int) -> DumpContents:
    with file.open("rb") as packed:
        return read_contents(Archive(packed, max_bytes=max_bytes))
