"""`/experimental-features`: of all nodes as one."""

from __future__ import annotations

from miroir.api.messages import Request, Response, json_response
from miroir.api.reading import json_object, refuse_body
from miroir.api.routing import Router
from miroir.cluster import Features, Verdicts

_TEMPLATE = "/experimental-features"


class FeatureResource:
    """Experimental features: which are on, and switching them."""

    def __init__(self, features: Features, verdicts: Verdicts) -> None:
        self._features = features
        self._verdicts = verdicts

    def register(self, router: Router) -> None:
        """Put the routes up."""
        router.add("GET", _TEMPLATE, self.get, action="experimental.get")
        router.add("PATCH", _TEMPLATE, self.change, action="experimental.update")

    async def get(self, _: Request) -> Response:
        """Every feature."""
        return json_response(200, dict(await self._features.shown()))

    async def change(self, request: Request) -> Response:
        """Some of them, on every node. A null leaves one as it is."""
        body = await json_object(self._verdicts, request, _TEMPLATE)
        known = await self._features.shown()
        if not body.keys() <= known.keys() or not all(isinstance(on, bool | None) for on in body.values()):
            await refuse_body(self._verdicts, request, _TEMPLATE)
        change = {name: on for name, on in body.items() if on is not None}
        shown = await self._features.change(change) if change else known
        return json_response(200, dict(shown))
