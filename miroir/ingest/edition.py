"""Edits by function: a Rhai text that every owner of every shard runs on its own documents.

A node applies an edit wholly or not at all. Over several nodes that is true of each node's part only: where the
function fails on one document, the nodes that do not hold it have edited theirs, and the task has failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final
from urllib.parse import quote

import msgspec

from miroir.cluster import ANYWHERE, Operation, Written
from miroir.errors import miroir_error
from miroir.indexes import Index
from miroir.ingest.outcomes import Change, Changes
from miroir.ingest.script import read_script, unwrap_error, wrap
from miroir.ingest.selection import check_names, node_filter, original
from miroir.nodes import NodeCall
from miroir.store import Intent, NewTask, TaskRow
from miroir.tasks import now_text

_TYPE: Final = "documentEdition"
_MOVED_NOTE: Final = "_moved"
"""In an open task's details: lines that the wrapped function has in front of the client's own."""


async def edit_documents(
    changes: Changes,
    uid: str,
    function: str,
    *,
    filter: Any,
    context: Mapping[str, Any] | None,
    anti_entropy: bool,
    aside: AbstractAsyncContextManager[None] = ANYWHERE,
) -> Written:
    """Run `function` on what matches `filter` (None: on everything). A node has compiled it and parsed the filter.

    `aside`: where the caller stands while earlier writes are waited for.
    `ApiError` 501 `miroir_not_supported` for one that calls `exit`, which would leave our part of the text as well.
    """
    script = read_script(function)
    if script.exits:
        raise miroir_error("miroir_not_supported", "A function that calls `exit` cannot be run here: use `return`.")
    details = {
        "editedDocuments": None,
        "deletedDocuments": None,
        "originalFilter": original(filter),
        "context": context,
        "function": function,
    }

    def operation(index: Index, told: Any) -> Operation:
        check_names(index, filter)
        target = f"/indexes/{quote(index.physical_uid)}/documents/edit"
        given = {} if context is None else {"context": context}

        def calls(intent: Intent, owned: tuple[int, ...]) -> Sequence[NodeCall]:
            wrapped = wrap(script, intent.stamp, updated=anti_entropy)
            body = msgspec.json.encode({"function": wrapped, "filter": node_filter(owned, told), **given})
            return (NodeCall("documents", "POST", target, body),)

        return Operation(
            index_uid=index.uid,
            physical_uid=index.physical_uid,
            index_shards=index.row.shards,
            shards=tuple(range(index.row.shards)),
            calls=calls,
            task=NewTask(index.uid, _TYPE, {**details, _MOVED_NOTE: script.moved_lines}, now_text()),
            repeatable=False,
        )

    change = Change(_TYPE, details, {"editedDocuments": 0}, operation, filter, aside=aside)
    return await changes.carry_out(uid, change)


def edition_text(task: TaskRow, text: str) -> str:
    """A node's text about an edit's task, as about the client's function; any other task's as it is."""
    return unwrap_error(text, int(task.details.get(_MOVED_NOTE) or 0)) if task.type == _TYPE else text
