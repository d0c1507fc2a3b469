"""`/webhooks`: who is told of tasks that end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from miroir.api.messages import Request, Response, json_response
from miroir.api.reading import json_object, refuse_body
from miroir.api.routing import Router
from miroir.cluster import Verdicts
from miroir.errors import node_error
from miroir.tasks import Webhooks, webhook_view

_COMMAND_LINE: Final = "00000000-0000-0000-0000-000000000000"
"""The webhook on a node's command line: no change of it is ever taken, but its body is looked at first."""
_CHANGE: Final = f"/webhooks/{_COMMAND_LINE}"
_MEMBERS: Final = frozenset({"url", "headers"})


class WebhookResource:
    """Webhooks: list, get, create, change, delete."""

    def __init__(self, webhooks: Webhooks, verdicts: Verdicts) -> None:
        self._webhooks = webhooks
        self._verdicts = verdicts

    def register(self, router: Router) -> None:
        """Put the routes up."""
        router.add("GET", "/webhooks", self.list, action="webhooks.get")
        router.add("POST", "/webhooks", self.create, action="webhooks.create")
        router.add("GET", "/webhooks/{uuid}", self.get, action="webhooks.get")
        router.add("PATCH", "/webhooks/{uuid}", self.change, action="webhooks.update")
        router.add("DELETE", "/webhooks/{uuid}", self.delete, action="webhooks.delete")

    async def list(self, _: Request) -> Response:
        """All of them."""
        return json_response(200, {"results": [webhook_view(hook) for hook in self._webhooks.all()]})

    async def get(self, request: Request) -> Response:
        """One."""
        return json_response(200, webhook_view(self._webhooks.get(_uuid(request.params[0]))))

    async def create(self, request: Request) -> Response:
        """Another one; 201."""
        body = await self._body(request, "/webhooks")
        hook = await self._webhooks.create(body.get("url"), body.get("headers") or {})
        return json_response(201, webhook_view(hook))

    async def change(self, request: Request) -> Response:
        """Its URL, or some of its headers."""
        body = await self._body(request, _CHANGE)
        uuid = _editable(request.params[0])
        return json_response(200, webhook_view(await self._webhooks.change(uuid, body)))

    async def delete(self, request: Request) -> Response:
        """No more of it."""
        await self._webhooks.delete(_editable(request.params[0]))
        return Response(204)

    async def _body(self, request: Request, template: str) -> dict[str, Any]:
        body = await json_object(self._verdicts, request, template)
        if not _is_sound(body):
            await refuse_body(self._verdicts, request, template)
        return body


def _is_sound(body: Mapping[str, Any]) -> bool:
    url, headers = body.get("url"), body.get("headers")
    if not body.keys() <= _MEMBERS or not (url is None or isinstance(url, str)):
        return False
    if headers is None:
        return True
    return isinstance(headers, dict) and all(value is None or isinstance(value, str) for value in headers.values())


def _editable(text: str) -> str:
    uuid = _uuid(text)
    if uuid == _COMMAND_LINE:
        message = "The webhook defined from the command line cannot be modified using the API."
        raise node_error(400, "immutable_webhook", f"Webhook `{uuid}` is immutable. {message}")
    return uuid


def _uuid(text: str) -> str:
    """A uuid in its usual spelling; 400 in a node's words."""
    try:
        return str(UUID(text))
    except ValueError:
        raise node_error(400, "invalid_webhook_uuid", f"Invalid UUID: {_fault(text)}") from None


def _fault(text: str) -> str:
    for place, letter in enumerate(text, 1):
        if letter not in "0123456789abcdefABCDEF-":
            return (
                "invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], "
                f"found `{letter}` at {place}"
            )
    if "-" not in text:
        return f"invalid length: expected length 32 for simple format, found {len(text)}"
    groups = text.split("-")
    if len(groups) != 5:
        return f"invalid group count: expected 5, found {len(groups)}"
    for number, (group, length) in enumerate(zip(groups, (8, 4, 4, 4, 12), strict=True)):
        if len(group) != length:
            return f"invalid group length in group {number}: expected {length}, found {len(group)}"
    return f"invalid length: expected length 32 for simple format, found {len(text)}"
