"""Searches over shards: prepare, scatter, merge."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from miroir.errors import ApiError, node_error
from miroir.indexes import Index
from miroir.indexes.filterable import injected_filter, not_facet_searchable
from miroir.indexes.inequality import has_inequality
from miroir.search.asking import Found, UnavailablePolicy, ask_shards
from miroir.search.facet_search import merge_facet_search, parse_facet_answer, prepare_facet_search, winners_search
from miroir.search.hybrid import Kind, kind_of
from miroir.search.known_attributes import KnownAttributes
from miroir.search.members import check_comparable
from miroir.search.merge import counted_texts, merge, parse_answer
from miroir.search.request import prepare
from miroir.search.scatter import Scatter
from miroir.search.vectors import VectorSearch


class SearchService:
    """Answers searches of one index."""

    def __init__(
        self, scatter: Scatter, policy: UnavailablePolicy, vectors: VectorSearch, attributes: KnownAttributes
    ) -> None:
        self._scatter = scatter
        self._policy = policy
        self._vectors = vectors
        self._attributes = attributes

    async def search(self, index: Index, body: Mapping[str, Any], over_fetch: int | None = None) -> Found:
        """`POST /indexes/{uid}/search` with this body. `over_fetch`: for vectors, in place of the configured factor."""
        if has_inequality(body.get("filter")):
            return await self._attributes.asked(index, body, lambda told: self._search(index, told, over_fetch))
        return await self._search(index, body, over_fetch)

    async def facet_search(self, index: Index, body: Mapping[str, Any]) -> Found:
        """`POST /indexes/{uid}/facet-search` with this body."""
        return await self._attributes.asked(index, body, partial(self._facet_search, index))

    async def _search(self, index: Index, body: Mapping[str, Any], over_fetch: int | None) -> Found:
        if index.members:
            check_comparable(index, body)
        if "hybrid" in body:
            found = await self._vectors.search(index, body, over_fetch)
            if found is not None:
                return found
        prepared = prepare(body, index.view)
        answers, gathered = await ask_shards(
            self._scatter, self._policy, index, "search", prepared.node_body, parse_answer
        )
        return Found(merge(answers, prepared), gathered.unavailable, gathered.nodes_asked)

    async def _facet_search(self, index: Index, body: Mapping[str, Any]) -> Found:
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
        counts = await self._winners(index, body) if index.view.distinct is not None else None
        return Found(merge_facet_search(answers, asked, counts), gathered.unavailable, gathered.nodes_asked)

    async def _winners(self, index: Index, body: Mapping[str, Any]) -> dict[str, int] | None:
        """How many hits have each value, of those that the distinct attribute leaves over all nodes.

        A node counts its own, so the same document's likes would be counted once per node. None where that cannot be
        told, and where a node looks at vectors, for then it counts everything.
        """
        name = str(body.get("facetName"))
        if kind_of(body) is not Kind.KEYWORD:
            return None
        prepared = prepare(winners_search(body, name), index.view)
        try:
            answers, _ = await ask_shards(
                self._scatter, self._policy, index, "search", prepared.node_body, parse_answer
            )
        except ApiError as refusal:
            if refusal.code == "invalid_search_facets":  # it can be searched for values, but not filtered by
                return None
            raise
        return counted_texts(answers, prepared, name)


def _of_the_clients_rules(refusal: ApiError, name: Any, index: Index) -> ApiError:
    """A refusal of a facet's name as it reads without our rules among the client's."""
    if refusal.code == "invalid_facet_search_facet_name" and isinstance(name, str):
        text = not_facet_searchable(name, index.view)
        if text is not None:
            return node_error(400, refusal.code, text)
    return refusal
