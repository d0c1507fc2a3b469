"""Federated searches: several queries, over several indexes, whose hits become one list.

Every node is asked for its shards as a part of a network (`Meili-Proxy-Search`): then each hit says what one node would
compare it by with the hits of the other queries.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from miroir.errors import ApiError, miroir_error
from miroir.indexes import Index
from miroir.search.asking import Found, UnavailablePolicy, ask_shards
from miroir.search.federated import FederatedQuery, Federation
from miroir.search.federated_merge import IndexFound, merge_federated, parse_federated
from miroir.search.federated_parts import Asked, Part, Query, alike, count_body, facets_body, part_of, query_body
from miroir.search.federated_refusals import Indexes, Judge
from miroir.search.hybrid import Kind, kind_of, with_ratio
from miroir.search.known_attributes import KnownAttributes
from miroir.search.multi_search import Bounds, side_by_side
from miroir.search.scatter import Scatter
from miroir.search.vectors import VectorKnobs, refuse_if_off

_PROXIED: Final = ((b"meili-proxy-search", b"true"),)
_NETWORK_IS_OFF: Final = "requires enabling the `network` experimental feature"


class FederatedSearch:
    """Answers `POST /multi-search` with `federation`.

    `switch_on` gives the nodes the feature that they must have to say what a hit is compared by.
    """

    def __init__(
        self,
        scatter: Scatter,
        policy: UnavailablePolicy,
        knobs: VectorKnobs,
        bounds: Bounds,
        attributes: KnownAttributes,
        switch_on: Callable[[], Awaitable[None]],
    ) -> None:
        self._scatter = scatter
        self._policy = policy
        self._knobs = knobs
        self._bounds = bounds
        self._attributes = attributes
        self._switch_on = switch_on

    async def search(
        self,
        queries: Sequence[FederatedQuery],
        federation: Federation,
        indexes: Indexes,
        over_fetch: int | None = None,
    ) -> Found:
        """The answer. Raises the `ApiError` that one node would stumble over first, its place said.

        `over_fetch`: for vectors, in place of the configured factor.
        """
        queries = [replace(query, body=with_ratio(query.body, self._knobs.default_ratio)) for query in queries]
        if any(kind_of(query.body) is not Kind.KEYWORD for query in queries):
            refuse_if_off(self._knobs)
        told = [await self._told(query, indexes) for query in queries]
        if told != queries:
            try:
                return await self._search(told, federation, indexes, over_fetch)
            except ApiError as refusal:
                if refusal.status != 400:  # of what is refused a node's texts show the filter as it came
                    raise
        return await self._search(queries, federation, indexes, over_fetch)

    async def _told(self, query: FederatedQuery, indexes: Indexes) -> FederatedQuery:
        body = await self._attributes.told(indexes[query.uid], query.body)
        return query if body is query.body else replace(query, body=body)

    async def _search(
        self, queries: Sequence[FederatedQuery], federation: Federation, indexes: Indexes, over_fetch: int | None
    ) -> Found:
        times = over_fetch or self._knobs.over_fetch
        of_name: dict[str, list[FederatedQuery]] = {}
        for query in sorted(queries, key=lambda query: query.uid):
            of_name.setdefault(query.uid, []).append(query)
        parts = {
            uid: [part_of(index, asked, federation, times) for index in indexes[uid]] for uid, asked in of_name.items()
        }
        await self._ask([part for each in parts.values() for part in each], federation)
        judge = Judge(federation, indexes)
        for uid, asked in of_name.items():
            judge.used(uid, asked[0].position, parts[uid])
        for uid in sorted(federation.facets_by_index.keys() - of_name.keys()):
            index = judge.unused(uid)
            if index is not None:
                await self._scattered(index, facets_body(index, federation.facets_by_index[uid]))
        found: dict[str, list[IndexFound]] = {uid: [part.found() for part in each] for uid, each in parts.items()}
        body = merge_federated(
            found, federation, wants_vectors=any(query.body.get("retrieveVectors") is True for query in queries)
        )
        gathered = [each for of_uid in parts.values() for part in of_uid for _, each in part.asked()]
        unavailable = {shard for each in gathered for shard in each.unavailable}
        return Found(body, tuple(sorted(unavailable)), sum(each.nodes_asked for each in gathered))

    async def _ask(self, parts: Sequence[Part], federation: Federation) -> None:
        """Every query, and what must be counted beside them, side by side."""
        searches: list[Callable[[], Awaitable[Asked]]] = []
        places: list[tuple[Part, Query | None]] = []
        for part in parts:
            alone = len(part.queries) == 1
            ready = [query for query in part.queries if query.prepared is not None]
            for each in ready:
                body = query_body(each, part.facets if alone else None)
                searches.append(partial(self._scattered, part.index, body))
                places.append((part, each))
            if not alone and len(ready) == len(part.queries):
                for group in alike(part.queries):
                    searches.append(partial(self._scattered, part.index, count_body(group, federation, part.facets)))
                    places.append((part, None))
        for (part, query), outcome in zip(places, await side_by_side(searches, self._bounds), strict=True):
            if query is None:
                part.counts.append(outcome)
            else:
                query.outcome = outcome

    async def _scattered(self, index: Index, body: Callable[[tuple[int, ...]], bytes]) -> Asked:
        try:
            return await self._once(index, body)
        except ApiError as refusal:
            if not _wants_network(refusal):
                raise
        await self._switch_on()
        try:
            return await self._once(index, body)
        except ApiError as refusal:
            if not _wants_network(refusal):
                raise
        raise miroir_error("miroir_shard_unavailable", "The nodes are not ready for federated searches. Try again.")

    async def _once(self, index: Index, body: Callable[[tuple[int, ...]], bytes]) -> Asked:
        try:
            return await ask_shards(
                self._scatter,
                self._policy,
                index,
                "federated-search",
                body,
                parse_federated,
                target="/multi-search",
                headers=_PROXIED,
            )
        except ApiError as refusal:
            named = refusal.message.replace(f"facetsByIndex.{index.physical_uid}`", f"facetsByIndex.{index.uid}`")
            raise ApiError(
                refusal.status,
                named,
                code=refusal.code,
                type=refusal.type,
                link=refusal.link,
                headers=refusal.headers,
            ) from None


def _wants_network(refusal: ApiError) -> bool:
    """Whether a node lacks the feature that we need. Others, that a query needs, are for the client to switch on."""
    return refusal.code == "feature_not_enabled" and _NETWORK_IS_OFF in refusal.message
