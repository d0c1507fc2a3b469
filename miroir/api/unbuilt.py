"""Routes of a node that Miroir does not serve yet: 501, so that nobody takes their absence for a fault of his own."""

from __future__ import annotations

from typing import Final

from miroir.api.messages import Request, Response
from miroir.api.routing import Router
from miroir.errors import miroir_error
from miroir.security import Action

UNBUILT: Final[tuple[tuple[str, str, Action], ...]] = (
    ("POST", "/dumps", "dumps.create"),
    ("GET", "/metrics", "metrics.get"),
    ("GET", "/network", "network.get"),
    ("PATCH", "/network", "network.update"),
    ("POST", "/export", "export"),
    ("POST", "/logs/stream", "metrics.get"),
    ("DELETE", "/logs/stream", "metrics.get"),
    ("POST", "/logs/stderr", "metrics.get"),
    ("GET", "/chats", "chats.get"),
)


def register_unbuilt(router: Router) -> None:
    """Put the routes up, behind the same door as the others."""
    for method, template, action in UNBUILT:
        router.add(method, template, _refuse, action=action)


async def _refuse(request: Request) -> Response:
    message = f"`{request.method} {request.path}` is not built yet; the README says under Limits what else is missing."
    raise miroir_error("miroir_not_supported", message)
