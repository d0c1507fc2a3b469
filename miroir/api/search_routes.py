"""`/indexes/{uid}`: `search` and `similar`, by a body or by a query string, and `facet-search`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from miroir.api.document_routes import degraded_shards, to_scratch
from miroir.api.messages import Request, Response
from miroir.api.over_fetch import over_fetch
from miroir.api.query_body import SEARCH_PARAMETERS, SIMILAR_PARAMETERS, Reader, query_body
from miroir.api.reading import NULL_FILTER, json_object
from miroir.api.routing import Router
from miroir.api.settings_version import check_version
from miroir.cluster import Verdicts
from miroir.errors import ApiError, miroir_error, node_error
from miroir.indexes import Index, Registry, check_uid
from miroir.search import Found, SearchService, SimilarDocuments


class SearchResource:
    """Searches."""

    def __init__(
        self, registry: Registry, searches: SearchService, similar: SimilarDocuments, verdicts: Verdicts
    ) -> None:
        self._registry = registry
        self._searches = searches
        self._similar = similar
        self._verdicts = verdicts

    def register(self, router: Router) -> None:
        """Put the routes up."""
        router.add("POST", "/indexes/{uid}/search", self.search, action="search", reads=True)
        router.add("GET", "/indexes/{uid}/search", self.search_by_query, action="search")
        router.add("POST", "/indexes/{uid}/facet-search", self.facet_search, action="search", reads=True)
        router.add("POST", "/indexes/{uid}/similar", self.similar, action="search", reads=True)
        router.add("GET", "/indexes/{uid}/similar", self.similar_by_query, action="search")

    async def search(self, request: Request) -> Response:
        """A search over all shards."""
        body = await json_object(self._verdicts, request, "/indexes/{index}/search")
        index = await self._index(request, "/search")
        return _answer(index, await self._search(request, index, body))

    async def search_by_query(self, request: Request) -> Response:
        """The same by query parameters. What is wrong with them a node says in other words than of a body."""
        body = await self._query_body(request, "/search", SEARCH_PARAMETERS)
        index = await self._index(request, "/search")
        if body.get("filter", "") is None:
            raise node_error(400, "invalid_search_filter", NULL_FILTER)
        try:
            return _answer(index, await self._search(request, index, body))
        except ApiError as refusal:
            if refusal.status == 400:
                await self._check(request, "/search")
            raise

    async def facet_search(self, request: Request) -> Response:
        """The values of one facet."""
        body = await json_object(self._verdicts, request, "/indexes/{index}/facet-search")
        index = await self._index(request, "/facet-search")
        return _answer(index, await self._searches.facet_search(index, request.access.narrowed(index.uid, body)))

    async def similar(self, request: Request) -> Response:
        """Documents like one."""
        body = await json_object(self._verdicts, request, "/indexes/{index}/similar")
        return await self._find_similar(request, await self._index(request, "/similar"), body)

    async def similar_by_query(self, request: Request) -> Response:
        """The same by query parameters."""
        body = await self._query_body(request, "/similar", SIMILAR_PARAMETERS)
        index = await self._index(request, "/similar")
        try:
            found = await self._find_similar(request, index, body)
        except ApiError as refusal:
            if refusal.status == 400:
                await self._check(request, "/similar")
            raise
        if body.get("filter", "") is None:
            raise node_error(400, "invalid_similar_filter", NULL_FILTER)
        return found

    async def _search(self, request: Request, index: Index, body: Mapping[str, Any]) -> Found:
        return await self._searches.search(index, request.access.narrowed(index.uid, body), over_fetch(request))

    async def _find_similar(self, request: Request, index: Index, body: Mapping[str, Any]) -> Response:
        body = request.access.narrowed(index.uid, body)
        return _answer(index, await self._similar.find(index, body, over_fetch(request)))

    async def _query_body(self, request: Request, route: str, parameters: Mapping[str, Reader]) -> dict[str, Any]:
        """The query string as a body; a node's refusal of it, or ours of what only a node understands."""
        try:
            return query_body(request.query(), parameters)
        except ValueError as failure:
            await self._check(request, route)
            check_uid(request.params[0])
            self._registry.get_for_reads(request.params[0])
            raise miroir_error("miroir_not_supported", f"This query cannot be asked of shards: {failure}.") from None

    async def _index(self, request: Request, route: str) -> Index:
        """The index of the path; without one, a node first says what else is wrong with the request."""
        uid = request.params[0]
        index = self._registry.find_for_reads(uid)
        if index is not None:
            check_version(request, index)
            return index
        await self._check(request, route)
        check_uid(uid)
        return self._registry.get_for_reads(uid)

    async def _check(self, request: Request, route: str) -> None:
        """Raise a node's refusal of the request itself, whatever index it is about."""
        try:
            await self._verdicts.check(to_scratch(request, route), request.params[0])
        except ApiError as refusal:
            if refusal.code != "index_not_found":
                raise


def _answer(index: Index, found: Found) -> Response:
    degraded = degraded_shards(found.unavailable)
    context = {"index": index.uid, "node_count": found.nodes_asked}
    if degraded:
        context["degraded"] = degraded[0][1].decode()
    return Response(200, found.body, [*index.headers, *degraded], context=context)
