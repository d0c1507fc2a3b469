"""Routes of a node that Miroir does not serve yet: 501, so that nobody takes their absence for a fault of his own."""

from __future__ import annotations

from typing import Final

from miroir.api.messages import Request, Response
from miroir.api.routing import Router
from miroir.errors import miroir_error

UNBUILT: Final = (
    ("POST", "/indexes/{uid}/facet-search"),
    ("GET", "/indexes/{uid}/similar"),
    ("POST", "/indexes/{uid}/similar"),
    ("PATCH", "/indexes/{uid}"),
    ("POST", "/multi-search"),
    ("POST", "/swap-indexes"),
    ("GET", "/keys"),
    ("POST", "/keys"),
    ("GET", "/keys/{key}"),
    ("PATCH", "/keys/{key}"),
    ("DELETE", "/keys/{key}"),
    ("POST", "/dumps"),
    ("POST", "/snapshots"),
    ("GET", "/experimental-features"),
    ("PATCH", "/experimental-features"),
    ("GET", "/metrics"),
    ("GET", "/network"),
    ("PATCH", "/network"),
    ("POST", "/export"),
    ("POST", "/logs/stream"),
    ("DELETE", "/logs/stream"),
    ("POST", "/logs/stderr"),
    ("GET", "/chats"),
)


def register_unbuilt(router: Router) -> None:
    """Put the routes up, behind the same door as the others."""
    for method, template in UNBUILT:
        router.add(method, template, _refuse)


async def _refuse(request: Request) -> Response:
    message = f"`{request.method} {request.path}` is not built yet. What there is stands in the README under Limits."
    raise miroir_error("miroir_not_supported", message)
