"""What still waited in the queue of a node when its dump was made: acknowledged, so it must not be lost.

Each task goes in by the door it once came in by, in the order of the queue. One that fails here would have failed on
the node it was sent to, and is a remark, not the end of the import.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import trio

from miroir.cluster import Written
from miroir.errors import ApiError
from miroir.indexes import Swap
from miroir.indexes.settings import SETTINGS
from miroir.ingest import Method, delete_all, delete_by_filter, edit_documents, is_filter
from miroir.store import TaskRow
from miroir.upkeep.dump_archive import BadDump
from miroir.upkeep.dump_contents import WaitingTask
from miroir.upkeep.dump_documents import START, DocumentBatch
from miroir.upkeep.import_steps import ImportFailed, Steps, raise_the_cause

_METHODS: Final[Mapping[str, Method]] = {"ReplaceDocuments": "POST", "UpdateDocuments": "PUT"}


async def carry_out_task(steps: Steps, task: WaitingTask) -> None:
    """Do what the task asks for, and wait until it has ended."""
    try:
        if task.type == "documentImport":
            await _add_documents(steps, task)
            return
        act = _act_of(steps, task)
        if act is None:
            steps.progress.remark(f"the waiting task {task.uid} was left out: no `{task.type}` that is known here")
            return
        await _end(steps, task, await steps.once(f"task {task.uid}", act))
    except (ApiError, BadDump, ImportFailed) as failure:
        error = failure.message if isinstance(failure, ApiError) else failure
        steps.progress.remark(f"the waiting task {task.uid} ({task.type}) was not carried out: {error}")


async def _add_documents(steps: Steps, task: WaitingTask) -> None:
    method = _METHODS.get(str(task.content.get("method")))
    if method is None or not task.file or task.index_uid is None:
        steps.progress.remark(f"the waiting task {task.uid} was left out: its documents are not in the dump")
        return
    given = task.content.get("primary_key")
    primary_key = given if isinstance(given, str) else None
    if task.content.get("allow_index_creation") is True and steps.doors.registry.find(task.index_uid) is None:
        await steps.patiently(lambda: steps.doors.indexes.ensure(task.index_uid or "", None))
    try:
        async with trio.open_nursery() as nursery:
            send, receive = trio.open_memory_channel[DocumentBatch](0)
            nursery.start_soon(steps.read_batches, (task.file,), START, send)
            async with receive:
                async for batch in receive:
                    step = f"task {task.uid} {batch.start.offset}"
                    await _end(steps, task, await steps.put(step, task.index_uid, batch, method, primary_key))
    except BaseExceptionGroup as group:
        raise_the_cause(group)


async def _end(steps: Steps, task: WaitingTask, uid: int) -> None:
    ended = await steps.doors.tracker.ended(uid)
    if ended is not None and ended.error is not None:
        steps.progress.remark(f"the waiting task {task.uid} ({task.type}) failed: {ended.error['message']}")


def _act_of(steps: Steps, task: WaitingTask) -> Callable[[], Awaitable[TaskRow]] | None:
    """What a client would have to ask for; None for what nobody could."""
    doors, content, uid = steps.doors, task.content, task.index_uid or ""
    given = content.get("primary_key")
    primary_key = given if isinstance(given, str) else None
    filter, swaps = content.get("filter"), _swaps(content.get("swaps"))

    async def change_settings() -> TaskRow:
        settings = content.get("settings")
        if content.get("is_deletion"):
            return await doors.settings.reset(uid, SETTINGS)
        return await doors.settings.change(
            uid, settings if isinstance(settings, dict) else {}, creates=content.get("allow_index_creation") is True
        )

    async def edit() -> TaskRow:
        context = content.get("context")
        return _task(
            await edit_documents(
                doors.changes,
                uid,
                str(content.get("function")),
                filter=filter,
                context=context if isinstance(context, dict) else None,
                anti_entropy=steps.knobs.anti_entropy,
            )
        )

    async def delete_documents() -> TaskRow:
        ids = content.get("documents_ids")
        return _task(await doors.documents.delete(uid, [str(each) for each in ids] if isinstance(ids, list) else []))

    async def delete_matching() -> TaskRow:
        return _task(await delete_by_filter(doors.changes, uid, filter))

    async def clear() -> TaskRow:
        return _task(await delete_all(doors.changes, uid))

    async def swap() -> TaskRow:
        return await doors.naming.swap(swaps or [])

    async def update() -> TaskRow:
        new_uid = content.get("new_index_uid")
        return await doors.naming.update(uid, primary_key, new_uid if isinstance(new_uid, str) else None)

    acts: dict[str, Callable[[], Awaitable[TaskRow]]] = {
        "documentDeletion": delete_documents,
        "documentClear": clear,
        "settings": change_settings,
        "indexCreation": lambda: doors.indexes.create(uid, primary_key),
        "indexDeletion": lambda: doors.indexes.delete(uid),
        "indexUpdate": update,
    }
    if is_filter(filter):
        acts["documentDeletionByFilter"] = delete_matching
    if filter is None or isinstance(filter, str) or is_filter(filter):
        acts["documentEdition"] = edit
    if swaps is not None:
        acts["indexSwap"] = swap
    return acts.get(task.type)


def _swaps(given: object) -> list[Swap] | None:
    """The pairs of a swap; None where they are no such."""
    swaps = []
    for swap in given if isinstance(given, list) else ():
        match swap:
            case {"indexes": [str(one), str(other)]}:
                swaps.append(Swap(one, other, rename=swap.get("rename") is True))
            case _:
                return None
    return swaps


def _task(written: Written) -> TaskRow:
    return written.task
