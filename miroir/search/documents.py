"""Reading documents: one by its id, a page in insertion order, and how many there are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import msgspec
import orjson
import trio

from miroir.cluster import shard_of
from miroir.errors import ApiError, node_error
from miroir.indexes import Index, refusal_of
from miroir.indexes.filterable import injected_filter
from miroir.nodes import NodeCall
from miroir.search.asking import UnavailablePolicy, judge_coverage, shard_unavailable
from miroir.search.display import cut_to
from miroir.search.known_attributes import KnownAttributes
from miroir.search.listing import (
    Criterion,
    Entry,
    Stretch,
    common_start,
    locate,
    merged,
    reach,
    read_sort,
    sorted_entries,
)
from miroir.search.members import gather_members
from miroir.search.plan import Plan, Target
from miroir.search.planner import Planner
from miroir.search.scatter import Gathered, NodeRefused, Request, Scatter
from miroir.stamps import SEQ_FIELD, shard_filter, strip

_BY_INSERTION: Final = f"{SEQ_FIELD}:asc"
_DEEP: Final = 500
"""Pages that begin before this are fetched with all that comes before them; deeper ones are found first."""
_NAMED_AT_MOST: Final = 1000
"""Documents of a deep page of a sorted list; a larger one is fetched with all that comes before it."""
_SPREADS: Final = (3.0, 12.0, None)
"""How far around its place a deep page is looked for, in standard deviations; in the end from the beginning on."""
_COUNTED_FIRST: Final = 10_000
"""Pages that end behind this are cut to what there is: a node takes memory for all it is asked for, and dies of it."""
_QUICKLY_MERGED: Final = 2_000
"""Longer lists are merged in a thread, for others wait for the loop meanwhile."""
_UNKNOWN_THERE: Final = re.compile(
    rb'"message":"Attribute `([^`]+)` is not sortable\. Available sortable attributes are: `([^`]+)`\."'
)
_GEO: Final = "_geo"
_NOTHING_SORTABLE: Final = "This index does not have configured sortable attributes."


Window: TypeAlias = Callable[[tuple[int, ...]], tuple[int, int]]
"""From and to in the list of the node that has these shards."""


class _Page(msgspec.Struct):
    results: list[msgspec.Raw]
    total: int


class _Unlisted(_Page):
    """In place of a page: the node does not list what it has, for none of it has an attribute to sort by."""

    attribute: str
    refusal: ApiError


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

    def __init__(
        self, scatter: Scatter, planner: Planner, policy: UnavailablePolicy, attributes: KnownAttributes
    ) -> None:
        self._scatter = scatter
        self._planner = planner
        self._policy = policy
        self._attributes = attributes

    async def get(self, index: Index, key: str, query: str) -> bytes:
        """One document, from one copy of its shard. `query` is the client's own (`fields`, `retrieveVectors`).

        Behind an alias for several indexes: from the first that has it. 404 `document_not_found` as a node says it, 503
        `miroir_shard_unavailable` when no trusted copy answers.
        """
        *others, last = index.members or (index,)
        for member in others:
            try:
                return await self._get(member, key, query)
            except ApiError as refusal:
                if refusal.code != "document_not_found":
                    raise
        return await self._get(last, key, query)

    async def _get(self, index: Index, key: str, query: str) -> bytes:
        shard = shard_of(key, index.row.shards)
        target = f"/indexes/{quote(index.physical_uid)}/documents/{quote(key, safe='')}"
        request = Request(
            physical_uid=index.physical_uid,
            shards=index.row.shards,
            call=lambda _shards: NodeCall("document", "GET", f"{target}?{query}" if query else target),
            parse=bytes,
        )
        plan = self._planner.plan_rest(index.physical_uid, index.row.shards, (shard,), frozenset())
        gathered = await self._gather(index, request, plan)
        if gathered.unavailable:
            raise shard_unavailable(gathered.unavailable)
        if not gathered.answers:
            raise node_error(404, "document_not_found", f"Document `{key}` not found.")
        return strip(gathered.answers[0])

    async def list(self, index: Index, wanted: Mapping[str, Any]) -> Listed:
        """A page, in insertion order or by `sort`. Raises the `ApiError` of what a node refuses.

        `wanted`: the body of `documents/fetch`, of which `offset` and `limit` are integers and `fields` texts.
        """
        return await self._attributes.asked(index, wanted, partial(self._list, index))

    async def _list(self, index: Index, wanted: Mapping[str, Any]) -> Listed:
        await self._refuse_injected(index, wanted)
        offset, limit = int(wanted.get("offset", 0)), int(wanted.get("limit", 20))
        criteria = read_sort(wanted.get("sort") or ())
        if offset + limit > _COUNTED_FIRST:
            counted = await self._fetch(index, {**_bare(wanted), "offset": 0, "limit": 0})
            most = _total(counted) << len(criteria)  # a list sorted by a member may hold a document twice
            if offset >= most:
                return Listed([], _total(counted), counted.unavailable)
            limit = min(limit, most - offset)
        plan = self._planner.plan(index.physical_uid, index.row.shards)
        if len(plan.targets) == 1 and not (offset or index.members):  # one node has it all, in the right order
            gathered = await self._fetch(index, {**wanted, "limit": limit}, plan)
            if gathered.targets == list(plan.targets):
                found = [strip(bytes(raw)) for raw in gathered.answers[0].results]
                return Listed(found, _total(gathered), gathered.unavailable)
        if offset <= _DEEP or index.members or (criteria and limit > _NAMED_AT_MOST):
            documents, gathered = await self._from_the_start(index, wanted, criteria, offset, limit)
            kept = _kept(wanted) if criteria else None
            shown = [strip(document) if kept is None else cut_to(strip(document), kept) for document in documents]
            return Listed(shown, _total(gathered), gathered.unavailable)
        if criteria:
            return await self._deep_sorted(index, wanted, criteria, offset, limit)
        return await self._deep(index, wanted, plan, offset, limit)

    async def _from_the_start(
        self, index: Index, wanted: Mapping[str, Any], criteria: Sequence[Criterion], offset: int, limit: int
    ) -> tuple[Sequence[bytes], Gathered[_Page]]:
        """The page as sent, out of every node's list up to where the page ends."""
        asked = {**_with_stamp(wanted, criteria), "offset": 0, "limit": offset + limit}
        gathered = await self._fetch(index, asked)
        if offset + limit <= _QUICKLY_MERGED:
            return _merge(gathered.answers, criteria, offset, limit), gathered
        merge_aside = partial(_merge, gathered.answers, criteria, offset, limit)
        return await trio.to_thread.run_sync(merge_aside, abandon_on_cancel=True), gathered

    async def _deep_sorted(
        self, index: Index, wanted: Mapping[str, Any], criteria: Sequence[Criterion], offset: int, limit: int
    ) -> Listed:
        """First only what is sorted by, then the documents of the page."""
        asked = {**_bare(wanted), "fields": []}
        keys, gathered = await self._from_the_start(index, asked, criteria, offset, limit)
        stamps = [_sequenced.decode(key).seq for key in keys]
        if not stamps:
            return Listed([], _total(gathered), gathered.unavailable)
        named = f"{SEQ_FIELD} IN [{', '.join(map(_quoted, dict.fromkeys(stamps)))}]"
        found = await self._fetch(index, _narrowed(wanted, named, len(stamps)))
        by_stamp = {_sequenced.decode(raw).seq: strip(bytes(raw)) for page in found.answers for raw in page.results}
        documents = [by_stamp[stamp] for stamp in stamps if stamp in by_stamp]  # others were deleted meanwhile
        return Listed(documents, _total(gathered), found.unavailable)

    async def _deep(self, index: Index, wanted: Mapping[str, Any], plan: Plan, offset: int, limit: int) -> Listed:
        """Look for the page where each node's share of it should be, and ask for what lies between its ends."""
        counted = await self._fetch(index, {**_bare(wanted), "offset": 0, "limit": 0}, plan)
        total = _total(counted)
        if offset >= total or not limit:
            return Listed([], total, counted.unavailable)
        own = {target.shards: page.total for target, page in zip(counted.targets, counted.answers, strict=True)}
        located = None
        for spread in _SPREADS:
            located = await self._look(index, wanted, plan, offset, limit, partial(_window, own, offset, limit, spread))
            if located is not None:
                break
        if not located:
            return Listed([], total, counted.unavailable)
        between = f"{SEQ_FIELD} >= {_quoted(located[0])} AND {SEQ_FIELD} <= {_quoted(located[-1])}"
        found = await self._fetch(index, _narrowed(wanted, between, limit))
        documents = _merge(found.answers, (), 0, limit)
        return Listed([strip(document) for document in documents], total, found.unavailable)

    async def _look(
        self, index: Index, wanted: Mapping[str, Any], plan: Plan, offset: int, limit: int, window: Window
    ) -> Sequence[str] | None:
        """The stamps of the page, if these parts of the nodes' lists tell."""
        gathered = await self._fetch(index, {**_bare(wanted), "fields": [SEQ_FIELD]}, plan, window)
        stretches = []
        for target, page in zip(gathered.targets, gathered.answers, strict=True):
            start, end = window(target.shards)
            stamps = [_sequenced.decode(raw).seq for raw in page.results]
            stretches.append(Stretch(stamps, cut=start > 0, ended=len(stamps) < end - start))
        begin, before = common_start(stretches), 0
        if begin:  # counted, not added up: a node that sorts does not always skip as many as it is told to
            earlier = [f"{SEQ_FIELD} < {_quoted(begin)}", *_elements(wanted.get("filter"))]
            before = _total(await self._fetch(index, {**_bare(wanted), "filter": earlier, "limit": 0}, plan))
        return locate(stretches, before, offset, limit)

    async def _refuse_injected(self, index: Index, wanted: Mapping[str, Any]) -> None:
        """Raise a node's refusal of a filter or a sort that nodes take only because of settings of ours."""
        code, problem = "invalid_document_filter", injected_filter(wanted.get("filter"), index.view)
        sort = wanted.get("sort")
        for criterion in read_sort(sort if isinstance(sort, list) else ()):
            if criterion.path.split(".", 1)[0] == SEQ_FIELD:
                code, problem = "invalid_document_sort", _not_sortable(criterion.path, index)
        if problem is not None:
            await self._fetch(index, {**wanted, "offset": 0, "limit": 0})  # what else is wrong with it comes first
            raise node_error(400, code, problem)

    async def count(self, index: Index) -> tuple[int, tuple[int, ...]]:
        """How many documents the index has, each counted once, and the shards that could not be counted."""
        gathered = await self._fetch(index, {"limit": 0})
        return _total(gathered), gathered.unavailable

    async def _fetch(
        self,
        index: Index,
        wanted: Mapping[str, Any],
        plan: Plan | None = None,
        window: Window | None = None,
    ) -> Gathered[_Page]:
        """Ask every node for its part, or for a window of it; behind an alias, of every index."""
        if index.members:
            gathered = await gather_members(index, lambda member: self._fetched(member, wanted))
        else:
            gathered = await self._fetched(index, wanted, plan, window)
        judge_coverage(gathered, index.row.shards * (len(index.members) or 1), self._policy)
        return gathered

    async def _fetched(
        self,
        index: Index,
        wanted: Mapping[str, Any],
        plan: Plan | None = None,
        window: Window | None = None,
    ) -> Gathered[_Page]:
        gathered = await self._ask(index, wanted, plan, window)
        unlisted = [page for page in gathered.answers if isinstance(page, _Unlisted)]
        if unlisted:
            if len(unlisted) == len(gathered.answers) and len({page.attribute for page in unlisted}) == 1:
                raise unlisted[0].refusal  # as one node does that has no such document
            gathered = await self._completed(index, wanted, gathered)
        return gathered

    async def _completed(self, index: Index, wanted: Mapping[str, Any], gathered: Gathered[_Page]) -> Gathered[_Page]:
        """With pages of the nodes that did not list what they have.

        A node knows no attribute that none of its documents ever had, and refuses to sort by it. One node with all the
        documents would know it, and leave those without it out, or put them last where it sorts by distance.
        """
        complete: Gathered[_Page] = Gathered(unavailable=gathered.unavailable, nodes_asked=gathered.nodes_asked)
        again: dict[str, list[Target]] = {}
        for target, page in zip(gathered.targets, gathered.answers, strict=True):
            if isinstance(page, _Unlisted):
                again.setdefault(page.attribute, []).append(target)
            else:
                complete.targets.append(target)
                complete.answers.append(page)
        for attribute, targets in again.items():
            plan = Plan(tuple(targets), None, "asked again")
            more = await self._ask(index, _sorted_less(wanted, attribute), plan, None)
            if any(isinstance(page, _Unlisted) for page in more.answers):
                more = await self._completed(index, _sorted_less(wanted, attribute), more)
            complete.targets += more.targets
            complete.answers += more.answers
            complete.unavailable = tuple(sorted({*complete.unavailable, *more.unavailable}))
            complete.nodes_asked += more.nodes_asked
        return complete

    async def _ask(
        self, index: Index, wanted: Mapping[str, Any], plan: Plan | None, window: Window | None
    ) -> Gathered[_Page]:
        target = f"/indexes/{quote(index.physical_uid)}/documents/fetch"
        filter = wanted.get("filter")
        elements = _elements(filter)

        def call(shards: tuple[int, ...]) -> NodeCall:
            body = {**wanted, "filter": [shard_filter(shards), *elements]}
            if not isinstance(filter, str | list | None):
                body["filter"] = filter  # refused by the node in words that tell what stands there
            if window is not None:
                start, end = window(shards)
                body |= {"offset": start, "limit": end - start}
            sort = body.get("sort") or []
            if body.get("limit") != 0 and isinstance(sort, list):
                body["sort"] = [*sort, _BY_INSERTION]
            return NodeCall("fetch", "POST", target, msgspec.json.encode(body))

        read_refusal = partial(_unlisted, index)
        request = Request(index.physical_uid, index.row.shards, call, _page.decode, read_refusal=read_refusal)
        return await self._gather(index, request, plan)

    async def _gather(self, index: Index, request: Request[Any], plan: Any) -> Gathered[Any]:
        try:
            return await self._scatter.gather(request, plan)
        except NodeRefused as refusal:
            raise refusal_of(index, refusal.status, refusal.body) from None


def _unlisted(index: Index, status: int, body: bytes) -> _Unlisted | None:
    """What a refusal stands for where a node refuses to sort by an attribute that its settings let it sort by."""
    found = _UNKNOWN_THERE.search(body)
    if found is None:
        return None
    below = found[1] + b"."  # a name among the settings stands for all that is below it
    if not any(below.startswith(name + b".") for name in found[2].split(b", ")):
        return None
    return _Unlisted([], 0, found[1].decode(), refusal_of(index, status, body))


def _sorted_less(wanted: Mapping[str, Any], attribute: str) -> dict[str, Any]:
    """What to ask a node that knows no document with that attribute: not by distance, or just how many there are."""
    if attribute != _GEO:
        return {**_bare(wanted), "sort": [], "offset": 0, "limit": 0}
    by_distance = [criterion for criterion in wanted["sort"] if read_sort([criterion])[0].point is not None]
    return {**wanted, "sort": [criterion for criterion in wanted["sort"] if criterion not in by_distance]}


def _elements(filter: Any) -> list[Any]:
    if filter is None:
        return []
    return list(filter) if isinstance(filter, list) else [filter]


def _total(gathered: Gathered[_Page]) -> int:
    return sum(page.total for page in gathered.answers)


def _quoted(stamp: str) -> str:
    return f'"{stamp}"'


def _bare(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What chooses and orders documents, without what is wanted of them."""
    return {name: value for name, value in wanted.items() if name not in ("fields", "retrieveVectors")}


def _with_stamp(wanted: Mapping[str, Any], criteria: Sequence[Criterion]) -> dict[str, Any]:
    """The same with the fields that a merge needs, where fields were chosen."""
    if "fields" not in wanted:
        return dict(wanted)
    needed = [field for criterion in criteria for field in criterion.fields]
    return {**wanted, "fields": [*wanted["fields"], *needed, SEQ_FIELD]}


def _narrowed(wanted: Mapping[str, Any], element: str, limit: int) -> dict[str, Any]:
    """The documents of a page that was found, in insertion order."""
    elements = [element, *_elements(wanted.get("filter"))]
    return {**_with_stamp(wanted, ()), "sort": [], "filter": elements, "offset": 0, "limit": limit}


def _kept(wanted: Mapping[str, Any]) -> frozenset[str] | None:
    """The fields to cut documents to where more was asked for; None: nothing more."""
    if "fields" not in wanted:
        return None
    return frozenset([*wanted["fields"], *(("_vectors",) if wanted.get("retrieveVectors") else ())])


def _window(
    own: Mapping[tuple[int, ...], int], offset: int, limit: int, spread: float | None, shards: tuple[int, ...]
) -> tuple[int, int]:
    """Where to look in the list of the node with these shards. `spread` None, or another plan by now: everywhere."""
    if spread is None or shards not in own:
        return 0, offset + limit
    return reach(own[shards], sum(own.values()), offset, limit, spread)


def _entries(page: _Page, criteria: Sequence[Criterion]) -> Iterable[Entry]:
    if not criteria:
        return [((_sequenced.decode(raw).seq,), bytes(raw)) for raw in page.results]
    decoded = ((orjson.loads(raw), raw) for raw in map(bytes, page.results))
    return sorted_entries(((document, document.get(SEQ_FIELD, ""), raw) for document, raw in decoded), criteria)


def _merge(pages: Sequence[_Page], criteria: Sequence[Criterion], offset: int, limit: int) -> Sequence[bytes]:
    return merged([_entries(page, criteria) for page in pages], offset, limit)


def _not_sortable(name: str, index: Index) -> str:
    listed = ", ".join(sorted(index.view.sortable))
    known = f"Available sortable attributes are: `{listed}`." if listed else _NOTHING_SORTABLE
    return f"Attribute `{name}` is not sortable. {known}"
