"""`/indexes` and `/indexes/{uid}`."""

from __future__ import annotations

from typing import Any

from miroir.api.document_routes import degraded_groups
from miroir.api.messages import Request, Response, json_response
from miroir.api.reading import Query, json_object, known_index, refuse_body
from miroir.api.routing import Router
from miroir.cluster import Verdicts
from miroir.errors import ApiError, node_error
from miroir.indexes import Index, IndexService, Registry, check_uid
from miroir.tasks import enqueued_view


class IndexResource:
    """Indexes: create, list, get, delete."""

    def __init__(self, registry: Registry, indexes: IndexService, verdicts: Verdicts) -> None:
        self._registry = registry
        self._indexes = indexes
        self._verdicts = verdicts

    def register(self, router: Router) -> None:
        """Put the routes up."""
        router.add("GET", "/indexes", self.list, action="indexes.get")
        router.add("POST", "/indexes", self.create, action="indexes.create")
        router.add("GET", "/indexes/{uid}", self.get, action="indexes.get")
        router.add("DELETE", "/indexes/{uid}", self.delete, action="indexes.delete")

    async def list(self, request: Request) -> Response:
        """A page of indexes, by uid."""
        with Query(request, ("offset", "limit"), "index") as query:
            offset, limit = query.number("offset", 0), query.number("limit", 20)
        found = [index for index in self._registry.all_for_reads() if request.access.covers(index.uid)]
        return json_response(
            200,
            {
                "results": [index_view(index) for index in found[offset : offset + limit]],
                "offset": offset,
                "limit": limit,
                "total": len(found),
            },
        )

    async def create(self, request: Request) -> Response:
        """Create on all nodes; a task."""
        body = await json_object(self._verdicts, request, "/indexes")
        uid, primary_key = body.get("uid"), body.get("primaryKey")
        sound = (isinstance(uid, str) or _is_whole(uid)) and (primary_key is None or isinstance(primary_key, str))
        if not sound or not body.keys() <= {"uid", "primaryKey"}:
            await refuse_body(self._verdicts, request, "/indexes")
        name = str(uid)
        try:
            check_uid(name)
        except ApiError as failure:
            raise node_error(400, failure.code, f"Invalid value at `.uid`: {failure.message}") from None
        request.access.check(name)
        task = await self._indexes.create(name, primary_key)
        return json_response(202, enqueued_view(task), degraded_groups(self._indexes.short_groups(task)))

    async def get(self, request: Request) -> Response:
        """One index."""
        return json_response(200, index_view(known_index(self._registry, request.params[0])))

    async def delete(self, request: Request) -> Response:
        """Delete everywhere; a task."""
        uid = request.params[0]
        check_uid(uid)
        return json_response(202, enqueued_view(await self._indexes.delete(uid)))


def index_view(index: Index) -> dict[str, Any]:
    """An index as a node shows it."""
    row = index.row
    return {"uid": row.uid, "createdAt": row.created_at, "updatedAt": row.updated_at, "primaryKey": row.primary_key}


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
