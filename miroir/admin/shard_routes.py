"""`/_miroir/shards/allocate-stale`: an operator's word that the trusted copies of shards will not come back."""

from __future__ import annotations

from typing import Any

import orjson
from quart import Blueprint, jsonify, request
from quart.typing import ResponseReturnValue

from miroir.errors import ApiError, node_error
from miroir.rebalance import Allocated, StaleAllocation


def shard_routes(allocation: StaleAllocation) -> Blueprint:
    """The routes over a service that exists already."""
    routes = Blueprint("shards", __name__, url_prefix="/_miroir/shards")

    @routes.post("/allocate-stale")
    async def allocate_stale() -> ResponseReturnValue:
        body = await _body()
        return jsonify(allocated_view(await allocation.allocate(body["index"], body["node"], body.get("shards"))))

    return routes


def allocated_view(allocated: Allocated) -> dict[str, Any]:
    """What was done, as operators see it."""
    return {
        "index": allocated.index_uid,
        "node": allocated.node,
        "shards": list(allocated.shards),
        "documents": allocated.documents,
        "given_up": {str(shard): sorted(nodes) for shard, nodes in allocated.before.items()},
    }


async def _body() -> dict[str, Any]:
    try:
        body = orjson.loads(await request.get_data())
    except orjson.JSONDecodeError as failure:
        message = f"The json payload provided is malformed. `{failure}`."
        raise node_error(400, "malformed_payload", message) from None
    if not isinstance(body, dict) or not body.keys() <= {"index", "node", "shards", "accept_data_loss"}:
        raise _bad("The body must be a JSON object of `index`, `node`, `shards` (optional) and `accept_data_loss`.")
    for name in ("index", "node"):
        if not isinstance(body.get(name), str):
            raise _bad(f"`{name}` must be a string.")
    shards = body.get("shards")
    if shards is not None and not (shards and isinstance(shards, list) and all(type(each) is int for each in shards)):
        raise _bad("`shards` must be a list of numbers of shards.")
    if body.get("accept_data_loss") is not True:
        raise _bad(
            "What only the copies have that cannot be reached is lost by this, for good. "
            "Say `accept_data_loss: true` if that is meant."
        )
    return body


def _bad(message: str) -> ApiError:
    return node_error(400, "bad_request", message)
