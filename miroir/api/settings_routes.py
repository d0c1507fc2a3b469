"""`/indexes/{uid}/settings`, as a whole and setting by setting."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from miroir.api.document_routes import degraded_groups
from miroir.api.messages import Request, Response, json_response
from miroir.api.reading import json_value, known_index
from miroir.api.routing import Endpoint, Router
from miroir.cluster import Features, Verdicts
from miroir.indexes import Registry, SettingsChanges, check_uid, wish_of
from miroir.indexes.defaults import FEATURE_OF
from miroir.indexes.settings import EXPERIMENTAL, SETTINGS, shown
from miroir.nodes import NodeCall
from miroir.store import TaskRow
from miroir.tasks import enqueued_view

_MERGED: Final = frozenset({"typoTolerance", "faceting", "pagination", "embedders", "chat", "vectorStore"})
"""Settings that a node takes by PATCH; the others by PUT."""

_JUDGED_LATE: Final = frozenset({"embedders", "chat", "vectorStore"})
"""Settings of which a node refuses more than their shape."""

_WHOLE: Final = "/indexes/{index}/settings"


class SettingsResource:
    """Settings: get, change, reset."""

    def __init__(self, registry: Registry, changes: SettingsChanges, verdicts: Verdicts, features: Features) -> None:
        self._registry = registry
        self._features = features
        self._changes = changes
        self._verdicts = verdicts

    def register(self, router: Router) -> None:
        """Put the routes up: one for everything, and one for each setting that a node has."""
        template = "/indexes/{uid}/settings"
        router.add("GET", template, self.settings, action="settings.get")
        router.add("PATCH", template, self.change, action="settings.update")
        router.add("DELETE", template, self.reset, action="settings.update")
        for name in SETTINGS:
            one = f"{template}/{path_of(name)}"
            router.add("GET", one, self._getting(name), action="settings.get")
            router.add("PATCH" if name in _MERGED else "PUT", one, self._changing(name), action="settings.update")
            router.add("DELETE", one, self._resetting(name), action="settings.update")

    async def settings(self, request: Request) -> Response:
        """All settings, as the client made them; those behind an experimental feature while that is on."""
        index = known_index(self._registry, request.params[0])
        experimental = [name for name in EXPERIMENTAL if await self._features.is_on(FEATURE_OF[name])]
        return json_response(200, shown(wish_of(index.row), experimental=tuple(experimental)), index.headers)

    async def change(self, request: Request) -> Response:
        """Change some settings on all nodes; a task."""
        change = await self._judged(request, _WHOLE)
        return await self._change(request, change)

    async def reset(self, request: Request) -> Response:
        """Back to the defaults; a task."""
        return await self._reset(request, SETTINGS)

    def _getting(self, name: str) -> Endpoint:
        async def get(request: Request) -> Response:
            index = known_index(self._registry, request.params[0])
            return json_response(200, shown(wish_of(index.row), experimental=EXPERIMENTAL)[name], index.headers)

        return get

    def _changing(self, name: str) -> Endpoint:
        async def change(request: Request) -> Response:
            return await self._change(request, {name: await self._judged(request, f"{_WHOLE}/{path_of(name)}")})

        return change

    def _resetting(self, name: str) -> Endpoint:
        async def reset(request: Request) -> Response:
            return await self._reset(request, (name,))

        return reset

    async def _judged(self, request: Request, template: str) -> Any:
        """The body, which a node finds well formed; what it refuses is refused in its words, and changes nothing."""
        value = await json_value(self._verdicts, request, template)
        content = request.headers.get(b"content-type", b""), request.headers.get(b"content-encoding", b"")
        await self._verdicts.check_body(NodeCall("verdict", request.method, template, request.body, *content))
        return value

    async def _change(self, request: Request, change: Mapping[str, Any]) -> Response:
        uid = request.params[0]
        check_uid(uid)
        late = {name: value for name, value in change.items() if name in _JUDGED_LATE and value is not None}
        if late and self._registry.find(uid) is None:
            # An index that is there refuses it by itself; a new one must not be made for what is refused.
            await self._verdicts.try_out("PATCH", _WHOLE, late, uid)
        task = await self._changes.change(uid, change, creates=request.access.creates)
        return self._changed(task)

    async def _reset(self, request: Request, names: tuple[str, ...]) -> Response:
        uid = request.params[0]
        check_uid(uid)
        return self._changed(await self._changes.reset(uid, names))

    def _changed(self, task: TaskRow) -> Response:
        return json_response(202, enqueued_view(task), degraded_groups(self._changes.short_groups(task)))


def path_of(name: str) -> str:
    """A setting's place in a path: `stop-words` for `stopWords`."""
    return re.sub("[A-Z]", lambda letter: f"-{letter[0].lower()}", name)
