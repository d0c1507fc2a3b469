"""Reading documents: one by its id, a page in insertion order, and how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import merge as merge_sorted
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

import msgspec

from miroir.cluster import shard_of
from miroir.errors import node_error
from miroir.indexes import Index, refusal_of
from miroir.nodes import NodeCall
from miroir.search.planner import Planner
from miroir.search.scatter import Gathered, NodeRefused, Request, Scatter
from miroir.search.service import UnavailablePolicy, is_ours, judge_coverage, shard_unavailable
from miroir.stamps import SEQ_FIELD, shard_filter, strip

_BY_INSERTION: Final = [f"{SEQ_FIELD}:asc"]
_OVER_FETCH_AT_MOST: Final = 500
"""Windows that end before this are fetched whole from every node; deeper ones are located by their stamps first."""


class _Page(msgspec.Struct):
    results: list[msgspec.Raw]
    total: int


class _Sequenced(msgspec.Struct):
    seq: str = msgspec.field(name=SEQ_FIELD, default="")


_page: Final = msgspec.json.Decoder(_Page)
_sequenced: Final = msgspec.json.Decoder(_Sequenced)


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of documents, the number of all that match, and the shards neither says anything about."""

    documents: list[bytes]
    total: int
    unavailable: tuple[int, ...]


class DocumentReader:
    """Reads documents wherever they are."""

    def __init__(self, scatter: Scatter, planner: Planner, policy: UnavailablePolicy) -> None:
        self._scatter = scatter
        self._planner = planner
        self._policy = policy

    async def get(self, index: Index, key: str, query: str) -> bytes:
        """One document, from one copy of its shard. `query` is the client's own (`fields`, `retrieveVectors`).

        404 `document_not_found` as a node says it, 503 `miroir_shard_unavailable` when no trusted copy answers.
        """
        shard = shard_of(key, index.row.shards)
        target = f"/indexes/{quote(index.physical_uid)}/documents/{quote(key, safe='')}"
        request = Request(
            physical_uid=index.physical_uid,
            shards=index.row.shards,
            call=lambda _shards: NodeCall("document", "GET", f"{target}?{query}" if query else target),
            parse=bytes,
            is_ours=lambda status, body: status == 404 and b'"index_not_found"' in body,
        )
        plan = self._planner.plan_rest(index.physical_uid, index.row.shards, (shard,), frozenset())
        gathered = await self._gather(index, request, plan)
        if gathered.unavailable:
            raise shard_unavailable(gathered.unavailable)
        if not gathered.answers:
            raise node_error(404, "document_not_found", f"Document `{key}` not found.")
        return strip(gathered.answers[0])

    async def list(self, index: Index, wanted: Mapping[str, Any]) -> Listed:
        """A page in insertion order. `wanted`: the body of `documents/fetch`, `offset` and `limit` being integers."""
        offset = int(wanted.get("offset", 0))
        limit = int(wanted.get("limit", 20))
        seq_asked = SEQ_FIELD if "fields" in wanted and wanted["fields"] != ["*"] else None
        if offset + limit <= _OVER_FETCH_AT_MOST:
            fields = {} if seq_asked is None else {"fields": [*wanted["fields"], SEQ_FIELD]}
            gathered = await self._fetch(index, {**wanted, **fields, "offset": 0, "limit": offset + limit})
            return _cut(gathered, offset, limit)
        keys = await self._fetch(index, {**wanted, "fields": [SEQ_FIELD], "offset": 0, "limit": offset + limit})
        window = _cut_sequences(keys, offset, limit)
        total = _total(keys)
        if not window:
            return Listed([], total, keys.unavailable)
        between = f'{SEQ_FIELD} >= "{window[0]}" AND {SEQ_FIELD} <= "{window[-1]}"'
        fields = {} if seq_asked is None else {"fields": [*wanted["fields"], SEQ_FIELD]}
        narrowed = {**wanted, **fields, "filter": [between, *_elements(wanted.get("filter"))]}
        gathered = await self._fetch(index, {**narrowed, "offset": 0, "limit": limit})
        listed = _cut(gathered, 0, limit)
        return Listed(listed.documents, total, listed.unavailable)

    async def count(self, index: Index) -> tuple[int, tuple[int, ...]]:
        """How many documents the index has, each counted once, and the shards that could not be counted."""
        gathered = await self._fetch(index, {"limit": 0})
        return _total(gathered), gathered.unavailable

    async def _fetch(self, index: Index, wanted: Mapping[str, Any]) -> Gathered[_Page]:
        target = f"/indexes/{quote(index.physical_uid)}/documents/fetch"
        elements = _elements(wanted.get("filter"))

        def call(shards: tuple[int, ...]) -> NodeCall:
            body = {**wanted, "filter": [shard_filter(shards), *elements]}
            if wanted.get("limit") != 0:
                body["sort"] = _BY_INSERTION
            return NodeCall("fetch", "POST", target, msgspec.json.encode(body))

        request = Request(index.physical_uid, index.row.shards, call, _page.decode, is_ours)
        gathered = await self._gather(index, request, None)
        judge_coverage(gathered, index.row.shards, self._policy)
        return gathered

    async def _gather(self, index: Index, request: Request[Any], plan: Any) -> Gathered[Any]:
        try:
            return await self._scatter.gather(request, plan)
        except NodeRefused as refusal:
            raise refusal_of(index, refusal.status, refusal.body) from None


def _elements(filter: Any) -> list[Any]:
    if filter is None:
        return []
    return list(filter) if isinstance(filter, list) else [filter]


def _total(gathered: Gathered[_Page]) -> int:
    return sum(page.total for page in gathered.answers)


def _cut(gathered: Gathered[_Page], offset: int, limit: int) -> Listed:
    """Merge the nodes' pages, each in insertion order, and keep a window of them."""
    pages = [[(_sequenced.decode(raw).seq, bytes(raw)) for raw in page.results] for page in gathered.answers]
    window = islice(merge_sorted(*pages), offset, offset + limit)
    return Listed([strip(document) for _, document in window], _total(gathered), gathered.unavailable)


def _cut_sequences(gathered: Gathered[_Page], offset: int, limit: int) -> list[str]:
    pages = [[_sequenced.decode(raw).seq for raw in page.results] for page in gathered.answers]
    return list(islice(merge_sorted(*pages), offset, offset + limit))
