"""`/multi-search`: several searches in one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import orjson

from miroir.api.document_routes import degraded_shards
from miroir.api.messages import Request, Response
from miroir.api.reading import json_object
from miroir.api.routing import Router
from miroir.api.settings_version import check_version
from miroir.cluster import SCRATCH_PREFIX, Verdicts
from miroir.errors import ApiError, miroir_error, node_error
from miroir.indexes import Registry, check_uid, is_uid
from miroir.nodes import NodeCall
from miroir.search import Deadlines, Found, SearchService, side_by_side

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
        verdicts: Verdicts,
        deadlines: Deadlines,
        *,
        max_queries: int,
    ) -> None:
        self._registry = registry
        self._searches = searches
        self._verdicts = verdicts
        self._deadlines = deadlines
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
            await self._judge(body)
            raise miroir_error("miroir_not_supported", "Federated search is not built yet.")
        partly = request.headers.get(b"x-miroir-partial", b"").lower() == b"true"
        if not partly:
            await self._admit(request, body)
        searches = [partial(self._one, request, place, query) for place, query in enumerate(queries)]
        outcomes: list[Found | ApiError] = await side_by_side(searches, self._deadlines)
        if not partly:
            await self._refuse_first(body, outcomes)
        shown = [_shown(query["indexUid"], outcome) for query, outcome in zip(queries, outcomes, strict=True)]
        unavailable = {shard for found in outcomes if isinstance(found, Found) for shard in found.unavailable}
        context = {"node_count": sum(found.nodes_asked for found in outcomes if isinstance(found, Found))}
        headers = degraded_shards(tuple(sorted(unavailable)))
        return Response(200, b'{"results":[%s]}' % b",".join(shown), headers, context=context)

    async def _admit(self, request: Request, body: Mapping[str, Any]) -> None:
        """Raise the first refusal of an index to this key: a node looks at all of them before it searches any."""
        for place, query in enumerate(body["queries"]):
            try:
                request.access.check(query["indexUid"])
            except ApiError as refusal:
                await self._judge(body)
                raise inside(f".queries[{place}]", refusal) from None

    async def _one(self, request: Request, place: int, query: Mapping[str, Any]) -> Found:
        uid = query["indexUid"]
        request.access.check(uid)
        if query.get("federationOptions") is not None:
            raise node_error(400, "invalid_multi_search_federation_options", _NOT_FEDERATED.format(place))
        check_uid(uid)
        index = self._registry.get_for_reads(uid)
        check_version(request, index)
        body = {name: value for name, value in query.items() if name not in ("indexUid", "federationOptions")}
        return await self._searches.search(index, request.access.narrowed(uid, body))

    async def _refuse_first(self, body: Mapping[str, Any], outcomes: Sequence[Found | ApiError]) -> None:
        """Raise the first error, said of its place. A node reads the whole request before it searches for any of it."""
        for place, outcome in enumerate(outcomes):
            if isinstance(outcome, ApiError):
                if outcome.status < 500:
                    await self._judge(body)
                raise inside(f".queries[{place}]", outcome)

    def _check_number(self, queries: Sequence[Any]) -> None:
        if self._max_queries and len(queries) > self._max_queries:
            message = f"Too many queries: {len(queries)} in one request, where {self._max_queries} are allowed."
            raise node_error(400, "bad_request", message)

    async def _judge(self, body: Mapping[str, Any]) -> None:
        """Raise a node's refusal of the request as it is written, whatever indexes it is about."""
        names = _Names()
        call = NodeCall("verdict", "POST", _ROUTE, orjson.dumps(names.hide(body)))
        try:
            await self._verdicts.check(call, SCRATCH_PREFIX)
        except ApiError as refusal:
            if refusal.code != "index_not_found":
                message = names.show(refusal.message)
                raise ApiError(
                    refusal.status, message, code=refusal.code, type=refusal.type, link=refusal.link
                ) from None


def inside(place: str, error: ApiError) -> ApiError:
    """An error as a node says it of a part of a request: what is not found there is a bad request."""
    return ApiError(
        400 if error.status == 404 else error.status,
        f"Inside `{place}`: {error.message}",
        code=error.code,
        type=error.type,
        link=error.link,
        headers=error.headers,
    )


class _Names:
    """Index names in a request, for a node to judge the request without meeting an index of that name."""

    def __init__(self) -> None:
        self._scratch: dict[str, str] = {}

    def hide(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The request with names that no index has."""
        hidden = dict(body)
        if isinstance(body.get("queries"), list):
            hidden["queries"] = [self._query(query) for query in body["queries"]]
        federation = body.get("federation")
        if isinstance(federation, dict) and isinstance(federation.get("facetsByIndex"), dict):
            by_index = {self._name(name): facets for name, facets in federation["facetsByIndex"].items()}
            hidden["federation"] = {**federation, "facetsByIndex": by_index}
        return hidden

    def show(self, text: str) -> str:
        """A text about that request with the client's names."""
        for name, scratch in self._scratch.items():
            text = text.replace(scratch, name)
        return text

    def _query(self, query: Any) -> Any:
        if not isinstance(query, dict) or not isinstance(query.get("indexUid"), str):
            return query
        return {**query, "indexUid": self._name(query["indexUid"])}

    def _name(self, name: str) -> str:
        if not is_uid(name):
            return name
        return self._scratch.setdefault(name, f"{SCRATCH_PREFIX}_{len(self._scratch):04}")


def _is_sound(body: Mapping[str, Any], queries: Any) -> bool:
    """Whether we understand the frame of the request; what is in the queries is for the nodes to judge."""
    return (
        body.keys() <= _MEMBERS
        and isinstance(queries, list)
        and all(isinstance(query, dict) and isinstance(query.get("indexUid"), str) for query in queries)
    )


def _shown(uid: str, outcome: Found | ApiError) -> bytes:
    name = orjson.dumps(uid)
    if isinstance(outcome, ApiError):
        return b'{"indexUid":%s,"error":%s}' % (name, orjson.dumps(outcome.body()))
    return b'{"indexUid":%s,%s' % (name, outcome.body[1:])
