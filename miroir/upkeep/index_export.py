"""The documents of one index as they go into a dump: each once, in the order of insertion, without our fields.

First the keys of every shard are listed, each shard at one moment from a copy that is trusted; then the documents are
fetched by their keys, a piece at a time, from whichever trusted copy answers. So a document that is there throughout is
in the dump, in the version it had when it was fetched, however busy the index is; and a node that goes away in between
costs a second question. Pages by offset would skip documents of an index that changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import quote

import msgspec
import orjson
import trio

from miroir.cluster import shards_of
from miroir.indexes import Index, Registry
from miroir.nodes import NodeCall
from miroir.rebalance.copies import read_member, read_versions
from miroir.search import Gathered, NodeRefused, Planner, Request, Scatter
from miroir.stamps import SEQ_FIELD, shard_filter, strip
from miroir.upkeep.dump_writing import KeyTable

_PATIENCE_S: Final = 60.0
_SHORTEST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0
_LISTED_AT_ONCE: Final = 50_000
"""Keys in the answers to one question, as far as shards can be asked for apart: some five megabytes."""
_FETCHED_AT_MOST: Final = 1000
_FETCHED_FIRST: Final = 100
_FETCHED_BYTES: Final = 8 << 20
"""Of the documents of one fetch; with vectors a thousand may be fifty megabytes."""
_EVERY: Final = 1 << 31
_NO_VECTORS: Final = b',"_vectors":{}}'
"""How a document ends that has none: who asks for vectors is told so, but it is nothing of the document's own."""


class Unreadable(Exception):
    """Some shards of an index could not be read for as long as anybody waits."""

    def __init__(self, index_uid: str, shards: Sequence[int]) -> None:
        listed = ", ".join(map(str, shards[:10])) + (", ..." if len(shards) > 10 else "")
        super().__init__(f"no trusted copy of shard {listed} of index `{index_uid}` could be read")


class IndexGone(Exception):
    """The index was deleted meanwhile; what was read of it may be a part."""


class _Page(msgspec.Struct):
    results: list[msgspec.Raw]
    total: int


_page: Final = msgspec.json.Decoder(_Page)

Call = Callable[[tuple[int, ...]], NodeCall]
Write = Callable[[bytes], object]
"""Takes the bytes of some documents, one a line. Blocking; called in a thread."""


@dataclass(frozen=True, slots=True)
class IndexExport:
    """Reads indexes whole."""

    scatter: Scatter
    planner: Planner
    registry: Registry

    async def list_keys(self, index: Index, table: KeyTable) -> None:
        """Put every document there is into the table."""
        primary_key = index.row.primary_key
        if primary_key is None:
            return
        shards = index.row.shards
        documents = await self._count(index)
        step = max(1, min(shards, shards * _LISTED_AT_ONCE // max(documents, 1)))
        fields = [primary_key, SEQ_FIELD]

        def call(asked: tuple[int, ...]) -> NodeCall:
            return _fetch(index, {"filter": shard_filter(asked), "fields": fields, "limit": _EVERY})

        for start in range(0, shards, step):
            wanted = range(start, min(start + step, shards))
            for page in await self._ask(index, wanted, call):
                await trio.to_thread.run_sync(_enter, table, page, primary_key, shards)

    async def copy_documents(self, index: Index, table: KeyTable, write: Write) -> int:
        """Write every document of the table that is still there; how many those are."""
        written = 0
        count = _FETCHED_FIRST
        while keys := await trio.to_thread.run_sync(table.next, count):
            pages = await self._fetch(index, keys)
            lines, found = await trio.to_thread.run_sync(partial(_in_order, pages, keys, index.row.primary_key or ""))
            await trio.to_thread.run_sync(write, lines)
            written += found
            count = max(1, min(_FETCHED_AT_MOST, count * 2, count * _FETCHED_BYTES // max(len(lines), 1)))
        return written

    def check_there(self, index: Index) -> None:
        """`IndexGone` once it is deleted: then what its nodes do not have any more counts as if it had been empty."""
        if self.registry.behind(index.physical_uid) is None:
            raise IndexGone

    async def _count(self, index: Index) -> int:
        """About how many documents there are."""

        def call(asked: tuple[int, ...]) -> NodeCall:
            return _fetch(index, {"filter": shard_filter(asked), "limit": 0})

        return sum(page.total for page in await self._ask(index, range(index.row.shards), call))

    async def _fetch(self, index: Index, keys: Sequence[tuple[str, int]]) -> list[_Page]:
        by_shard: dict[int, list[str]] = {}
        for key, shard in keys:
            by_shard.setdefault(shard, []).append(key)

        def call(asked: tuple[int, ...]) -> NodeCall:
            ids = [key for shard in asked for key in by_shard[shard]]
            return _fetch(index, {"ids": ids, "limit": len(ids), "retrieveVectors": True})

        return await self._ask(index, sorted(by_shard), call)

    async def _ask(self, index: Index, shards: Sequence[int], call: Call) -> list[_Page]:
        """What trusted copies of these shards answer. Whoever is away is waited for a while."""
        answers: list[_Page] = []
        rest: Sequence[int] = shards
        deadline = trio.current_time() + _PATIENCE_S
        pause = _SHORTEST_PAUSE_S
        request: Request[_Page] = Request(index.physical_uid, index.row.shards, call, _read_page)
        while True:
            plan = self.planner.plan_rest(index.physical_uid, index.row.shards, rest, frozenset())
            try:
                gathered: Gathered[_Page] = await self.scatter.gather(request, plan)
                answers += gathered.answers
                rest = gathered.unavailable
            except NodeRefused:  # a node that lost the index, or has been told of it this moment
                pass
            self.check_there(index)
            if not rest:
                return answers
            if trio.current_time() >= deadline:
                raise Unreadable(index.uid, rest)
            await trio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)


def _fetch(index: Index, body: dict[str, object]) -> NodeCall:
    return NodeCall("dump", "POST", f"/indexes/{quote(index.physical_uid)}/documents/fetch", msgspec.json.encode(body))


def _read_page(body: bytes) -> _Page:
    """Raises `ValueError` and msgspec's errors for anything but documents: who answers that has failed."""
    page = _page.decode(body)
    if not all(bytes(raw).startswith(b"{") for raw in page.results):
        raise ValueError("something among the documents is none")
    return page


def _enter(table: KeyTable, page: _Page, primary_key: str, shards: int) -> None:
    versions = read_versions([bytes(raw) for raw in page.results], primary_key)
    keys = list(versions)
    table.add(zip(versions.values(), keys, shards_of(keys, shards), strict=True))


def _in_order(pages: Sequence[_Page], keys: Sequence[tuple[str, int]], primary_key: str) -> tuple[bytes, int]:
    """The documents as lines in the order of the keys; those that are not there any more are missing."""
    found: dict[str, bytes] = {}
    for page in pages:
        for raw in page.results:
            document = bytes(raw)
            key = str(read_member(orjson.loads(document), primary_key))
            found[key] = strip(
                document.removesuffix(_NO_VECTORS) + b"}" if document.endswith(_NO_VECTORS) else document
            )
    lines = [line for key, _ in keys if (line := found.get(key)) is not None]
    return b"".join(line + b"\n" for line in lines), len(lines)
