"""`/_miroir/dumps/import`: what has become of imports. The upload itself is `dump_upload`."""

from __future__ import annotations

from quart import Blueprint, jsonify
from quart.typing import ResponseReturnValue

from miroir.upkeep import DumpImports, import_view


def dump_routes(imports: DumpImports) -> Blueprint:
    """The routes over a service that exists already."""
    routes = Blueprint("dumps", __name__, url_prefix="/_miroir/dumps/import")

    @routes.get("")
    async def every() -> ResponseReturnValue:
        return jsonify({"results": [import_view(job) for job in imports.all()]})

    @routes.get("/<id>/status")
    async def status(id: str) -> ResponseReturnValue:
        return jsonify(import_view(imports.get(id)))

    @routes.post("/<id>/resume")
    async def resume(id: str) -> ResponseReturnValue:
        return jsonify(import_view(await imports.resume(id))), 202

    @routes.delete("/<id>")
    async def cancel(id: str) -> ResponseReturnValue:
        return jsonify(import_view(await imports.cancel(id)))

    return routes
