"""`/multi-search`: several searches in one request, each with its results or federated into one list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import orjson

from miroir.api.document_routes import degraded_shards
from miroir.api.messages import Request, Response
from miroir.api.multi_search_verdict import judge, whole
from miroir.api.over_fetch import over_fetch
from miroir.api.reading import json_object
from miroir.api.routing import Router
from miroir.api.settings_version import check_version
from miroir.cluster import Features, Verdicts
from miroir.errors import ApiError, miroir_error, node_error
from miroir.indexes import Index, Registry, check_uid
from miroir.search import (
    Bounds,
    FederatedSearch,
    Found,
    SearchService,
    read_federation,
    read_queries,
    readable_part,
    remote_refused,
    said_inside,
    side_by_side,
)

_ROUTE: Final = "/multi-search"
_NOT_FEDERATED: Final = (
    "Using `federationOptions` is not allowed in a non-federated search.\n"
    " - Hint: remove `federationOptions` from query #{} or add `federation` to the request."
)
_MEMBERS: Final = frozenset({"queries", "federation"})


class MultiSearchResource:
    """Several searches at once. `max_queries`: 0 for any number."""

    def __init__(
        self,
        registry: Registry,
        searches: SearchService,
        federation: FederatedSearch,
        features: Features,
        verdicts: Verdicts,
        bounds: Bounds,
        *,
        max_queries: int,
    ) -> None:
        self._registry = registry
        self._searches = searches
        self._federation = federation
        self._features = features
        self._verdicts = verdicts
        self._bounds = bounds
        self._max_queries = max_queries

    def register(self, router: Router) -> None:
        """Put the route up."""
        router.add("POST", _ROUTE, self.search, action="search", reads=True)

    async def search(self, request: Request) -> Response:
        """Every query's results in the queries' order, or the first error among them.

        With the header `X-Miroir-Partial: true` an error takes the place of the results it stands for.
        """
        body = await json_object(self._verdicts, request, _ROUTE)
        queries: Any = body.get("queries")
        if not _is_sound(body, queries):
            await self._judge(body)
            raise miroir_error("miroir_not_supported", "This request holds what Miroir does not know.")
        self._check_number(queries)
        if body.get("federation") is not None:
            return await self._federated(request, body)
        partly = request.headers.get(b"x-miroir-partial", b"").lower() == b"true"
        if not partly:
            await self._admit(request, body, whole)
        indexes: dict[str, Index] = {}
        searches = [partial(self._one, request, place, query, indexes) for place, query in enumerate(queries)]
        outcomes: list[Found | ApiError] = await side_by_side(searches, self._bounds)
        if not partly:
            await self._refuse_first(body, outcomes)
        shown = [_shown(query["indexUid"], outcome) for query, outcome in zip(queries, outcomes, strict=True)]
        unavailable = {shard for found in outcomes if isinstance(found, Found) for shard in found.unavailable}
        context = {"node_count": sum(found.nodes_asked for found in outcomes if isinstance(found, Found))}
        headers = [*_settings_headers(indexes.values()), *degraded_shards(tuple(sorted(unavailable)))]
        return Response(200, b'{"results":[%s]}' % b",".join(shown), headers, context=context)

    async def _federated(self, request: Request, body: Mapping[str, Any]) -> Response:
        """One list of hits. A node reads the whole request before it looks at any index."""
        proxied = request.headers.get(b"meili-proxy-search") == b"true"
        federation = read_federation(body["federation"], shows_values=proxied)
        if federation is None:
            await self._judge(body, readable_part)
            raise miroir_error("miroir_not_supported", "This request holds what Miroir does not know.")
        await self._admit(request, body, readable_part)
        network = self._features.wishes("network")
        try:
            if proxied and not network:
                raise remote_refused()
            queries = read_queries(body["queries"], network=network)
            if queries is None:
                raise miroir_error("miroir_not_supported", "This request holds what Miroir does not know.")
            for query in queries:
                check_uid(query.uid)
            names = {*federation.facets_by_index, *(query.uid for query in queries)}
            indexes = {uid: self._behind(request, uid) for uid in names}
            narrowed = [replace(query, body=request.access.narrowed(query.uid, query.body)) for query in queries]
            found = await self._federation.search(narrowed, federation, indexes, over_fetch(request))
        except ApiError as refusal:
            if refusal.status < 500 or refusal.code == "miroir_not_supported":
                await self._judge(body, readable_part)
            raise
        asked = [each for query in queries for each in indexes[query.uid]]
        headers = [*_settings_headers(asked), *degraded_shards(found.unavailable)]
        return Response(200, found.body, headers, context={"node_count": found.nodes_asked})

    def _behind(self, request: Request, uid: str) -> list[Index]:
        index = self._registry.find_for_reads(uid)
        if index is None:
            return []
        check_version(request, index)
        return list(index.members or [index])

    async def _admit(self, request: Request, body: Mapping[str, Any], shown: Callable[[Any], Any]) -> None:
        """Raise the first refusal of an index to this key: a node looks at all of them before it searches any."""
        for place, query in enumerate(body["queries"]):
            try:
                request.access.check(query["indexUid"])
            except ApiError as refusal:
                await self._judge(body, shown)
                raise said_inside(refusal, f".queries[{place}]") from None

    async def _one(self, request: Request, place: int, query: Mapping[str, Any], indexes: dict[str, Index]) -> Found:
        uid = query["indexUid"]
        request.access.check(uid)
        if query.get("federationOptions") is not None:
            raise node_error(400, "invalid_multi_search_federation_options", _NOT_FEDERATED.format(place))
        check_uid(uid)
        index = indexes[uid] = self._registry.get_for_reads(uid)
        check_version(request, index)
        body = {name: value for name, value in query.items() if name not in ("indexUid", "federationOptions")}
        return await self._searches.search(index, request.access.narrowed(uid, body), over_fetch(request))

    async def _refuse_first(self, body: Mapping[str, Any], outcomes: Sequence[Found | ApiError]) -> None:
        """Raise the first error, said of its place. A node reads the whole request before it searches for any of it."""
        for place, outcome in enumerate(outcomes):
            if isinstance(outcome, ApiError):
                if outcome.status < 500:
                    await self._judge(body)
                raise said_inside(outcome, f".queries[{place}]")

    def _check_number(self, queries: Sequence[Any]) -> None:
        if self._max_queries and len(queries) > self._max_queries:
            message = f"Too many queries: {len(queries)} in one request, where {self._max_queries} are allowed."
            raise node_error(400, "bad_request", message)

    async def _judge(self, body: Mapping[str, Any], shown: Callable[[Any], Any] = whole) -> None:
        """Raise a node's refusal of the request as it is written, whatever indexes it is about."""
        await judge(self._verdicts, _ROUTE, body, shown)


def _is_sound(body: Mapping[str, Any], queries: Any) -> bool:
    """Whether we understand the frame of the request; what is in the queries is for the nodes to judge."""
    return (
        body.keys() <= _MEMBERS
        and isinstance(queries, list)
        and all(isinstance(query, dict) and isinstance(query.get("indexUid"), str) for query in queries)
    )


def _settings_headers(indexes: Iterable[Index]) -> list[tuple[bytes, bytes]]:
    """What the answer says of the settings of what it was read from: the version only if all were of one index."""
    every = {index.uid: index for index in indexes}
    if len(every) == 1:
        (index,) = every.values()
        return list(index.headers)
    return sorted({header for index in every.values() for header in index.headers[1:]})


def _shown(uid: str, outcome: Found | ApiError) -> bytes:
    name = orjson.dumps(uid)
    if isinstance(outcome, ApiError):
        return b'{"indexUid":%s,"error":%s}' % (name, orjson.dumps(outcome.body()))
    return b'{"indexUid":%s,%s' % (name, outcome.body[1:])
