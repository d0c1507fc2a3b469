"""Which attributes an index knows: those that a document of it has, or ever had, on whatever node.

It decides what a filter finds by `attribute != value` (`miroir.indexes.inequality`). No node forgets an attribute, not
even when its last document is gone. So what one of them knows is kept for as long as the physical index lives, in
memory: after a restart the nodes are asked again. What none of them knows yet the next write may bring, so that is
asked each time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from miroir.errors import ApiError
from miroir.indexes import Index
from miroir.indexes.inequality import Known, told_by_list, unequal_attributes
from miroir.nodes import NodeCall
from miroir.search.node_body import dumps
from miroir.search.planner import Planner
from miroir.search.scatter import NodeRefused, Request, Scatter
from miroir.stamps import shard_filter

Answer = TypeVar("Answer")


class _Counted(msgspec.Struct, rename="camel"):
    facet_distribution: dict[str, msgspec.Raw] = {}


_counted: Final = msgspec.json.Decoder(_Counted)


class KnownAttributes:
    """Finds out and remembers. `is_there(physical_uid)`: whether an index is still that one."""

    def __init__(self, scatter: Scatter, planner: Planner, is_there: Callable[[str], bool]) -> None:
        self._scatter = scatter
        self._planner = planner
        self._is_there = is_there
        self._known: dict[str, frozenset[str]] = {}

    async def asked(
        self, index: Index, body: Mapping[str, Any], ask: Callable[[Mapping[str, Any]], Awaitable[Answer]]
    ) -> Answer:
        """What `ask` makes of the body, its filter told so that all nodes take it alike.

        What is refused is asked as it came: a node's texts show the filter, and count the letters in it.
        """
        told = await self.told(index.members or (index,), body)
        if told is not body:
            try:
                return await ask(told)
            except ApiError as refusal:
                if refusal.status != 400:
                    raise
        return await ask(body)

    async def told(self, indexes: Sequence[Index], body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The body with its filter so told; itself where that changes nothing. Several indexes count as one."""
        filter = body.get("filter")
        names = unequal_attributes(filter)
        known: set[str] = set()
        for index in indexes:
            unknown = names - known - self._known.get(index.physical_uid, frozenset())
            known |= (await self.find(index, names)).names if unknown else names
        return {**body, "filter": told_by_list(filter, known)} if known else body

    async def find(self, index: Index, names: Collection[str], filter: Any = None) -> Known:
        """Which of these attributes the index knows, and whether its nodes refuse the filter, where one is given.

        Every node counts the values that each attribute has among no documents: of one that it does not know it says
        nothing, of others that there are none. All copies are asked: one that was away when documents came and went
        knows less than the others, and holds the same.
        """
        elements = [] if filter is None else filter if isinstance(filter, list) else [filter]
        body = dumps({"limit": 0, "facets": sorted(names), "filter": [*elements, shard_filter(())]})
        target = f"/indexes/{quote(index.physical_uid)}/search"
        request = Request(
            physical_uid=index.physical_uid,
            shards=index.row.shards,
            call=lambda _: NodeCall("search", "POST", target, body),
            parse=_counted.decode,
        )
        kept = self._known.get(index.physical_uid, frozenset())
        try:
            plan = self._planner.plan_everywhere(index.physical_uid, index.row.shards)
            gathered = await self._scatter.gather(request, plan)
        except NodeRefused:
            return Known(kept.intersection(names), is_refused=True)
        found = kept.union(*[answer.facet_distribution for answer in gathered.answers])
        if found != kept:
            self._keep(index.physical_uid, found)
        return Known(found.intersection(names), is_complete=not gathered.unavailable)

    def _keep(self, physical_uid: str, known: frozenset[str]) -> None:
        if physical_uid not in self._known:
            self._known = {uid: names for uid, names in self._known.items() if self._is_there(uid)}
        self._known[physical_uid] = known | self._known.get(physical_uid, frozenset())
