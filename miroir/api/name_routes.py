"""Names of indexes: `PATCH /indexes/{uid}` and `POST /swap-indexes`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, cast

import orjson

from miroir.api.messages import Request, Response, json_response
from miroir.api.reading import json_object, read_json, refuse_body, unknown_field, unpacked_body
from miroir.api.routing import Router
from miroir.cluster import Verdicts
from miroir.errors import ApiError, node_error
from miroir.indexes import Naming, Swap, check_uid
from miroir.security import Access
from miroir.tasks import enqueued_view

_UPDATE: Final = ("primaryKey", "uid")
_SWAP: Final = ("indexes", "rename")
_KINDS: Final = (
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a number"),
    (str, "a string"),
    (list, "an array"),
    (dict, "an object"),
)


class NameResource:
    """Updates of indexes, and swaps."""

    def __init__(self, naming: Naming, verdicts: Verdicts) -> None:
        self._naming = naming
        self._verdicts = verdicts

    def register(self, router: Router) -> None:
        """Put the routes up."""
        router.add("PATCH", "/indexes/{uid}", self.update, action="indexes.update")
        router.add("POST", "/swap-indexes", self.swap, action="indexes.swap")

    async def update(self, request: Request) -> Response:
        """Another name, another primary key; a task."""
        template = "/indexes/{index}"
        body = await json_object(self._verdicts, request, template)
        if not body.keys() <= set(_UPDATE) or not all(isinstance(value, str | None) for value in body.values()):
            await refuse_body(self._verdicts, request, template)
        uid, new_uid = request.params[0], body.get("uid")
        check_uid(uid)
        if new_uid is not None:
            check_uid(new_uid)
        return json_response(202, enqueued_view(await self._naming.update(uid, body.get("primaryKey"), new_uid)))

    async def swap(self, request: Request) -> Response:
        """Indexes change their names for each other's; a task."""
        value = await self._json(request)
        return json_response(202, enqueued_view(await self._naming.swap(read_swaps(value, request.access))))

    async def _json(self, request: Request) -> Any:
        """The body, or a node's refusal of it.

        A node is asked at another route. Should it read what we cannot, it must not carry it out.
        """
        content_type = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        elsewhere, template = replace(request, method="PATCH"), "/indexes/{index}"
        if content_type == b"application/json":
            with suppress(ValueError):
                return read_json(await unpacked_body(self._verdicts, elsewhere, template))
        return await refuse_body(self._verdicts, elsewhere, template)


def read_swaps(value: object, access: Access) -> list[Swap]:
    """The swaps of a body, or a refusal in a node's words: of its shape, then of each swap in turn."""
    if not isinstance(value, list):
        raise _wrong_type("", "an array", value, "bad_request")
    swaps = []
    for names, rename in [_read_swap(f"[{place}]", each) for place, each in enumerate(value)]:
        if len(names) != 2:
            listed = ", ".join(f'"{name}"' for name in names)
            message = f"Two indexes must be given for each swap. The list `[{listed}]` contains {len(names)} indexes."
            raise node_error(400, "invalid_swap_indexes", message)
        for name in names:
            access.check(name)
        swaps.append(Swap(names[0], names[1], rename))
    return swaps


def _read_swap(place: str, value: object) -> tuple[list[str], bool]:
    if not isinstance(value, dict):
        raise _wrong_type(place, "an object", value, "bad_request")
    names: list[str] | None = None
    rename = False
    for member, given in value.items():
        if member == "indexes":
            names = _read_names(f"{place}.indexes", given)
        elif member == "rename":
            if not isinstance(given, bool):
                raise _wrong_type(f"{place}.rename", "a boolean", given, "invalid_swap_rename")
            rename = given
        else:
            raise unknown_field(member, _SWAP, f" inside `{place}`")
    if names is None:
        raise node_error(400, "missing_swap_indexes", f"Missing field `indexes` inside `{place}`")
    return names, rename


def _read_names(place: str, value: object) -> list[str]:
    if not isinstance(value, list):
        raise _wrong_type(place, "an array", value, "invalid_swap_indexes")
    for number, name in enumerate(value):
        if not isinstance(name, str):
            raise _wrong_type(f"{place}[{number}]", "a string", name, "invalid_swap_indexes")
        try:
            check_uid(name)
        except ApiError as failure:
            message = f"Invalid value at `{place}[{number}]`: {failure.message}"
            raise node_error(400, "invalid_swap_indexes", message) from None
    return value


def _wrong_type(place: str, wanted: str, found: object, code: str) -> ApiError:
    at = f" at `{place}`" if place else ""
    return node_error(400, code, f"Invalid value type{at}: expected {wanted}, but found {_described(found)}")


def _described(value: object) -> str:
    """A JSON value as a node's refusals describe it."""
    if value is None:
        return "null"
    kind = next(name for types, name in _KINDS if isinstance(value, types))
    if kind == "an integer":
        kind = "a negative integer" if cast(int, value) < 0 else "a positive integer"
    return f"{kind}: `{orjson.dumps(value).decode()}`"
