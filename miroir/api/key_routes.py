"""`/keys`: API keys, the same on every node."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import orjson

from miroir.api.messages import Request, Response, json_response
from miroir.api.reading import Query, json_object, refuse_body, unpacked_body
from miroir.api.routing import Router
from miroir.cluster import Verdicts
from miroir.security import KeyService, parse_uid
from miroir.store import KeyRow

_CODES = {"offset": "invalid_api_key_offset", "limit": "invalid_api_key_limit"}


class KeyResource:
    """API keys: create, list, get, rename, delete."""

    def __init__(self, keys: KeyService, verdicts: Verdicts) -> None:
        self._keys = keys
        self._verdicts = verdicts

    def register(self, router: Router) -> None:
        """Put the routes up."""
        router.add("GET", "/keys", self.list, action="keys.get")
        router.add("POST", "/keys", self.create, action="keys.create")
        router.add("GET", "/keys/{key}", self.get, action="keys.get")
        router.add("PATCH", "/keys/{key}", self.change, action="keys.update")
        router.add("DELETE", "/keys/{key}", self.delete, action="keys.delete")

    async def list(self, request: Request) -> Response:
        """A page of keys, the newest first."""
        with Query(request, ("offset", "limit"), "api_key", _CODES) as query:
            offset, limit = query.number("offset", 0), query.number("limit", 20)
        rows = self._keys.all()
        results = [self._view(row) for row in rows[offset : offset + limit]]
        return json_response(200, {"results": results, "offset": offset, "limit": limit, "total": len(rows)})

    async def create(self, request: Request) -> Response:
        """Make a key on all nodes; 201."""
        body = await json_object(self._verdicts, request, "/keys")
        wanted = None
        if "uid" in body:
            wanted = parse_uid(body["uid"]) if isinstance(body["uid"], str) else None
            if wanted is None:
                await refuse_body(self._verdicts, request, "/keys")
        row = await self._keys.create(await request.plain_body(), wanted)
        return json_response(201, self._view(row))

    async def get(self, request: Request) -> Response:
        """One key, by its uid or its value."""
        return json_response(200, self._view(self._keys.get(request.params[0])))

    async def change(self, request: Request) -> Response:
        """Its name, or its description."""
        body = await unpacked_body(self._verdicts, request, f"/keys/{uuid4()}")
        await self._keys.check_change(body, request.headers.get(b"content-type", b""))
        row = await self._keys.change(request.params[0], orjson.loads(body))
        return json_response(200, self._view(row))

    async def delete(self, request: Request) -> Response:
        """It opens nothing any more; 204."""
        await self._keys.delete(request.params[0])
        return Response(204, content_type=b"")

    def _view(self, row: KeyRow) -> dict[str, Any]:
        """As a node shows it."""
        return {
            "name": row.name,
            "description": row.description,
            "key": self._keys.value(row),
            "uid": row.uid,
            "actions": row.actions,
            "indexes": row.indexes,
            "expiresAt": row.expires_at,
            "createdAt": row.created_at,
            "updatedAt": row.updated_at,
        }
