"""`POST /indexes/{uid}/search`."""

from __future__ import annotations

from miroir.api.document_routes import degraded_shards
from miroir.api.messages import Request, Response
from miroir.api.reading import json_object
from miroir.api.routing import Router
from miroir.cluster import Verdicts
from miroir.indexes import Registry, check_uid
from miroir.search import SearchService


class SearchResource:
    """Searches."""

    def __init__(self, registry: Registry, searches: SearchService, verdicts: Verdicts) -> None:
        self._registry = registry
        self._searches = searches
        self._verdicts = verdicts

    def register(self, router: Router) -> None:
        """Put the routes up."""
        router.add("POST", "/indexes/{uid}/search", self.search, reads=True)

    async def search(self, request: Request) -> Response:
        """A search over all shards."""
        uid = request.params[0]
        index = self._registry.find(uid)
        if index is None:
            check_uid(uid)
        body = await json_object(self._verdicts, request, "/indexes/{index}/search")
        found = await self._searches.search(index or self._registry.get(uid), body)
        headers = degraded_shards(found.unavailable)
        context = {"index": uid, "node_count": found.nodes_asked}
        if headers:
            context["degraded"] = headers[0][1].decode()
        return Response(200, found.body, headers, context=context)
