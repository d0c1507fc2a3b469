"""Cross-origin requests as a node answers them: from everywhere, with every header, so that a browser's SDK works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from miroir.api.messages import Response

_VARY: Final = (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
_FROM_EVERYWHERE: Final = (b"access-control-allow-origin", b"*")
_EXPOSED: Final = (
    b"access-control-expose-headers",
    b"X-Request-Id, X-Miroir-Degraded, X-Miroir-Settings-Version, X-Miroir-Settings-Inconsistent, Retry-After",
)
_METHODS: Final = (b"access-control-allow-methods", b"DELETE, HEAD, TRACE, GET, PUT, POST, PATCH, CONNECT, OPTIONS")
_KEPT_S: Final = (b"access-control-max-age", b"86400")


def preflight(method: str, headers: Mapping[bytes, bytes]) -> Response | None:
    """The answer to a browser that asks before it sends; None for any other request. It needs neither path nor key."""
    if method != "OPTIONS" or b"access-control-request-method" not in headers:
        return None
    if headers[b"access-control-request-method"] not in _METHODS[1].split(b", "):
        return Response(400, b"Requested method is not allowed", content_type=b"")
    answer = [_METHODS, _KEPT_S]
    asked = headers.get(b"access-control-request-headers")
    if asked is not None:
        answer.append((b"access-control-allow-headers", asked))
    return Response(200, headers=answer, content_type=b"")


def cors_headers(headers: Mapping[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """What every answer carries; more when the request says where it comes from."""
    crosses = b"origin" in headers or b"access-control-request-method" in headers
    return (_FROM_EVERYWHERE, _EXPOSED, _VARY) if crosses else (_VARY,)
