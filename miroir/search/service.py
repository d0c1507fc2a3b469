"""Searches over shards: prepare, scatter, merge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import msgspec

from miroir.errors import ApiError, miroir_error, node_error
from miroir.indexes import Index, refusal_of
from miroir.indexes.filterable import injected_filter, not_facet_searchable
from miroir.nodes import NodeCall
from miroir.search.facet_search import merge_facet_search, parse_facet_answer, prepare_facet_search
from miroir.search.merge import merge, parse_answer
from miroir.search.request import prepare
from miroir.search.scatter import Gathered, NodeRefused, Request, Scatter

UnavailablePolicy = Literal["partial", "error"]
Headers = tuple[tuple[bytes, bytes], ...]

Answer = TypeVar("Answer")


class Found(msgspec.Struct, frozen=True):
    """A response body, and the shards it says nothing about."""

    body: bytes
    unavailable: tuple[int, ...]
    nodes_asked: int


class SearchService:
    """Answers searches of one index."""

    def __init__(self, scatter: Scatter, policy: UnavailablePolicy) -> None:
        self._scatter = scatter
        self._policy = policy

    async def search(self, index: Index, body: Mapping[str, Any]) -> Found:
        """`POST /indexes/{uid}/search` with this body."""
        prepared = prepare(body, index.view)
        answers, gathered = await ask_shards(
            self._scatter, self._policy, index, "search", prepared.node_body, parse_answer
        )
        return Found(merge(answers, prepared), gathered.unavailable, gathered.nodes_asked)

    async def facet_search(self, index: Index, body: Mapping[str, Any]) -> Found:
        """`POST /indexes/{uid}/facet-search` with this body."""
        asked = prepare_facet_search(body, index.view)
        try:
            answers, gathered = await ask_shards(
                self._scatter, self._policy, index, "facet-search", asked.node_body, parse_facet_answer
            )
        except ApiError as refusal:
            raise _of_the_clients_rules(refusal, body.get("facetName"), index) from None
        problem = injected_filter(body.get("filter"), index.view)
        if problem is not None:  # what else is wrong with the request a node has said by now
            raise node_error(400, "invalid_search_filter", problem)
        return Found(merge_facet_search(answers, asked), gathered.unavailable, gathered.nodes_asked)


async def ask_shards(
    scatter: Scatter,
    policy: UnavailablePolicy,
    index: Index,
    route: str,
    body: Callable[[tuple[int, ...]], bytes],
    parse: Callable[[bytes], Answer],
    *,
    target: str = "",
    headers: Headers = (),
) -> tuple[list[Answer], Gathered[Answer]]:
    """The nodes' answers, by node. Raises `ApiError` for what a node refused, and for shards out of reach.

    `target`: the path, if it is not the route of the index.
    """
    target = target or f"/indexes/{quote(index.physical_uid)}/{route}"
    request = Request(
        physical_uid=index.physical_uid,
        shards=index.row.shards,
        call=lambda shards: NodeCall(route, "POST", target, body(shards), headers=headers),
        parse=parse,
    )
    try:
        gathered = await scatter.gather(request)
    except NodeRefused as refusal:
        raise refusal_of(index, refusal.status, refusal.body) from None
    judge_coverage(gathered, index.row.shards, policy)
    pairs = sorted(zip(gathered.targets, gathered.answers, strict=True), key=_by_node)
    return [answer for _, answer in pairs], gathered


def _of_the_clients_rules(refusal: ApiError, name: Any, index: Index) -> ApiError:
    """A refusal of a facet's name as it reads without our rules among the client's."""
    if refusal.code == "invalid_facet_search_facet_name" and isinstance(name, str):
        text = not_facet_searchable(name, index.view)
        if text is not None:
            return node_error(400, refusal.code, text)
    return refusal


def _by_node(pair: tuple[Any, Any]) -> str:
    node: str = pair[0].node
    return node


def judge_coverage(gathered: Gathered[Any], shards: int, policy: UnavailablePolicy) -> None:
    """503 `miroir_shard_unavailable` when the policy asks for it, or when there is nothing to answer with at all."""
    missing = gathered.unavailable
    if missing and (policy == "error" or len(missing) == shards):
        raise shard_unavailable(missing)


def shard_unavailable(shards: tuple[int, ...]) -> ApiError:
    """503, naming the shards."""
    listed = ", ".join(map(str, shards[:10])) + (", ..." if len(shards) > 10 else "")
    return miroir_error("miroir_shard_unavailable", f"No trusted copy of shard {listed} can be reached.")
