"""A request and a response of the data plane: the small callable's two ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson

from miroir.api.bodies import HeldBody
from miroir.security import EVERYTHING, Access

JSON = b"application/json"


@dataclass(slots=True)
class Request:
    """One request, its body read. `params` are the path's variable parts, percent-decoded."""

    method: str
    path: str
    query_string: bytes
    headers: Mapping[bytes, bytes]
    body: bytes
    params: Sequence[str] = ()
    request_id: str = ""
    access: Access = EVERYTHING
    """What its credential lets it touch."""
    held: HeldBody | None = None
    """The room its body takes."""
    _plain: bytes | None = None

    def query(self) -> list[tuple[str, str]]:
        """The query's members in their order, decoded; empty values are kept."""
        return parse_qsl(self.query_string.decode("latin-1"), keep_blank_values=True)

    async def plain_body(self) -> bytes:
        """The body out of its `Content-Encoding`. `ApiError` 400 for what is not in it, 413 past what a body may be."""
        encoding = self.headers.get(b"content-encoding")
        if encoding is None or self.held is None:
            return self.body
        if self._plain is None:
            self._plain = await self.held.unpacked(self.body, encoding)
        return self._plain


@dataclass(slots=True)
class Response:
    """A status, a body, and headers beyond `content-type` and `content-length`."""

    status: int
    body: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    content_type: bytes = JSON
    context: dict[str, Any] = field(default_factory=dict)
    """What the request's log line says beyond the usual: `index`, `node_count`, `degraded`."""


def json_response(status: int, content: Any, headers: Sequence[tuple[bytes, bytes]] = ()) -> Response:
    """A response with this value as JSON."""
    return Response(status, orjson.dumps(content), list(headers))


def error_response(error: Any) -> Response:
    """An `ApiError` as a response."""
    headers = [(name.encode(), value.encode()) for name, value in error.headers.items()]
    return json_response(error.status, error.body(), headers)
