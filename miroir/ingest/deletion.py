"""Deletions that do not name their documents: by filter, and of everything. They go to every owner of every shard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import quote

import msgspec

from miroir.cluster import ANYWHERE, Operation, Written
from miroir.indexes import Index
from miroir.ingest.outcomes import Change, Changes
from miroir.ingest.selection import check_names, node_filter, original
from miroir.nodes import NodeCall
from miroir.store import Intent, NewTask
from miroir.tasks import now_text

_TYPE = "documentDeletion"


async def delete_by_filter(
    changes: Changes,
    uid: str,
    filter: Any,
    check: Callable[[], Awaitable[None]] | None = None,
    *,
    aside: AbstractAsyncContextManager[None] = ANYWHERE,
) -> Written:
    """Delete what matches; `filter` is one to `is_filter`. `check` has a node look at it where there is no index.

    `aside`: where the caller stands while earlier writes are waited for.
    """
    details = {"providedIds": 0, "deletedDocuments": None, "originalFilter": original(filter)}

    def operation(index: Index, told: Any) -> Operation:
        check_names(index, filter)
        target = f"/indexes/{quote(index.physical_uid)}/documents/delete"

        def calls(_intent: Intent, owned: tuple[int, ...]) -> Sequence[NodeCall]:
            body = msgspec.json.encode({"filter": node_filter(owned, told)})
            return (NodeCall("documents", "POST", target, body),)

        return Operation(
            index_uid=index.uid,
            physical_uid=index.physical_uid,
            index_shards=index.row.shards,
            shards=tuple(range(index.row.shards)),
            calls=calls,
            task=NewTask(index.uid, _TYPE, details, now_text()),
        )

    change = Change(_TYPE, details, {"deletedDocuments": 0}, operation, filter, check, aside)
    return await changes.carry_out(uid, change)


async def delete_all(changes: Changes, uid: str) -> Written:
    """Delete every document; the index, its settings and its primary key stay."""
    details = {"deletedDocuments": None}

    def operation(index: Index, _told: Any) -> Operation:
        # Not by a filter on shards: this is a quick operation of its own on a node, and nothing is meant to be left.
        call = NodeCall("documents", "DELETE", f"/indexes/{quote(index.physical_uid)}/documents")
        return Operation(
            index_uid=index.uid,
            physical_uid=index.physical_uid,
            index_shards=index.row.shards,
            shards=tuple(range(index.row.shards)),
            calls=lambda _intent, _owned: (call,),
            task=NewTask(index.uid, _TYPE, details, now_text()),
        )

    return await changes.carry_out(uid, Change(_TYPE, details, {"deletedDocuments": 0}, operation))
