"""`/_miroir/aliases`: names that stand for indexes, as operators make and flip them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from quart import Blueprint, jsonify, request
from quart.typing import ResponseReturnValue

from miroir.errors import ApiError, node_error
from miroir.indexes import AliasService, stands_for
from miroir.store import AliasKind, AliasRow


def alias_routes(aliases: AliasService) -> Blueprint:
    """The routes over a service that exists already."""
    routes = Blueprint("aliases", __name__, url_prefix="/_miroir/aliases")

    @routes.get("")
    async def every() -> ResponseReturnValue:
        return jsonify({"results": [alias_view(row) for row in aliases.every()]})

    @routes.post("")
    async def create() -> ResponseReturnValue:
        body = await _body({"name": str}, optional={})
        return jsonify(alias_view(await aliases.create(body["name"], *_targets(body)))), 201

    @routes.get("/<name>")
    async def get(name: str) -> ResponseReturnValue:
        return jsonify({**alias_view(aliases.get(name)), "history": await aliases.history(name)})

    @routes.put("/<name>")
    async def flip(name: str) -> ResponseReturnValue:
        body = await _body({}, optional={"version": int})
        return jsonify(alias_view(await aliases.flip(name, *_targets(body), body.get("version"))))

    @routes.delete("/<name>")
    async def delete(name: str) -> ResponseReturnValue:
        return jsonify(alias_view(await aliases.delete(name)))

    return routes


def alias_view(row: AliasRow) -> dict[str, Any]:
    """An alias as operators see it."""
    return {
        "name": row.name,
        "kind": row.kind,
        **stands_for(row.kind, row.targets),
        "version": row.version,
        "managed_by": row.managed_by,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


async def _body(wanted: dict[str, type], *, optional: dict[str, type]) -> dict[str, Any]:
    """The JSON object of the request; 400 for any other, for a member of another type, and for one too many or few."""
    try:
        body = orjson.loads(await request.get_data())
    except orjson.JSONDecodeError as failure:
        message = f"The json payload provided is malformed. `{failure}`."
        raise node_error(400, "malformed_payload", message) from None
    if not isinstance(body, dict):
        raise _bad("The body must be a JSON object.")
    known = {**wanted, "current_uid": str, "target_uids": list, **optional}
    for name, value in body.items():
        if name not in known:
            raise _bad(f"Unknown field `{name}`: expected one of {', '.join(f'`{each}`' for each in known)}")
        if type(value) is not known[name]:
            kind = {str: "a string", int: "an integer", list: "an array of strings"}[known[name]]
            raise _bad(f"Invalid value type at `.{name}`: expected {kind}.")
    for name in wanted:
        if name not in body:
            raise _bad(f"Missing field `{name}`")
    return body


def _targets(body: Mapping[str, Any]) -> tuple[AliasKind, Sequence[str]]:
    """The one index that an alias is to stand for, or the several."""
    if ("current_uid" in body) == ("target_uids" in body):
        raise _bad("Name either one index as `current_uid` or several as `target_uids`.")
    if "current_uid" in body:
        return "single", [body["current_uid"]]
    targets = body["target_uids"]
    if not targets or not all(isinstance(uid, str) for uid in targets):
        raise _bad("Invalid value type at `.target_uids`: expected an array of strings, of one at least.")
    return "multi", targets


def _bad(message: str) -> ApiError:
    return node_error(400, "bad_request", message)
