"""Reads of several indexes as one, behind an alias that stands for them: asked side by side, answers taken together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import trio

from miroir.errors import ApiError, node_error
from miroir.indexes import Index
from miroir.search.ranking_rules import CanonicalRules, canonical_rules, incompatibility
from miroir.search.scatter import Gathered

Answer = TypeVar("Answer")


async def gather_members(index: Index, ask: Callable[[Index], Awaitable[Gathered[Answer]]]) -> Gathered[Answer]:
    """What `ask` gathers of each index, in their order; the `ApiError` of the first that is refused is raised.

    A shard that nobody answered for is named once for each index.
    """
    found: list[Gathered[Answer] | ApiError] = [Gathered() for _ in index.members]

    async def one(place: int, member: Index) -> None:
        try:
            found[place] = await ask(member)
        except ApiError as refusal:
            found[place] = refusal

    async with trio.open_nursery() as nursery:
        for place, member in enumerate(index.members):
            nursery.start_soon(one, place, member)
    gathered: Gathered[Answer] = Gathered()
    for each in found:
        if isinstance(each, ApiError):
            raise each
        gathered.answers += each.answers
        gathered.targets += each.targets
        gathered.unavailable += each.unavailable
        gathered.nodes_asked += each.nodes_asked
    return gathered


def check_comparable(index: Index, body: Mapping[str, Any]) -> None:
    """Refuse a search over indexes whose ranking rules cannot be compared, as a federated one is refused."""
    first: CanonicalRules | None = None
    for place, member in enumerate(index.members):
        rules = canonical_rules(member.view.ranking_rules, body, uid=index.uid, position=place)
        if rules is None:
            return  # the nodes refuse its sort
        if first is None:
            first = rules
            continue
        problem = incompatibility(first, 0, rules, place)
        if problem is not None:
            message = f"The indexes behind `{index.uid}` rank differently. {problem}"
            raise node_error(400, "invalid_multi_search_query_ranking_rules", message)
