"""The QuartTrio app behind `/_miroir`. Every answer is JSON, errors in Meilisearch's shape, whatever went wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from time import perf_counter
from typing import Final

from quart import Response, g, jsonify, request
from quart.typing import ResponseReturnValue
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from miroir.admin.alias_routes import alias_routes
from miroir.admin.dump_routes import dump_routes
from miroir.admin.overview import shards_view, topology_view
from miroir.admin.settings_preview import SettingsPreview
from miroir.admin.shard_routes import shard_routes
from miroir.cluster import Cluster
from miroir.errors import ApiError, node_error
from miroir.indexes import AliasService, Registry
from miroir.rebalance import StaleAllocation
from miroir.security import AdminDoor
from miroir.telemetry import Metrics, get_logger, log_request, request_id
from miroir.upkeep import DumpImports

_log = get_logger(__name__)

_UNKNOWN: Final = "(unknown)"


def create_admin_app(
    cluster: Cluster,
    registry: Registry,
    door: AdminDoor,
    metrics: Metrics,
    refresh_metrics: Callable[[], Awaitable[None]],
    previews: SettingsPreview,
    allocation: StaleAllocation,
    *,
    default_shards: int,
    aliases: AliasService | None = None,
    imports: DumpImports | None = None,
) -> QuartTrio:
    """Build the app over services that exist already. `refresh_metrics` brings the gauges up to date.

    `aliases`, `imports`: None where they are switched off; then nothing is there.
    """
    app = QuartTrio("miroir.admin", static_folder=None)
    app.config["RESPONSE_TIMEOUT"] = None  # Quart would cut streams after a minute
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it, the base class does not

    rng = Random()

    @app.before_request
    async def admit() -> None:
        """Every route here asks for an admin key."""
        g.started = perf_counter()
        g.request_id = request_id(_header("x-request-id"), rng)
        door.admit(_header("authorization"), _header("x-admin-key"))

    @app.get("/_miroir/topology")
    async def topology() -> ResponseReturnValue:
        return jsonify(topology_view(cluster, registry, default_shards))

    @app.get("/_miroir/shards")
    async def shards() -> ResponseReturnValue:
        uid = request.args.get("index")
        if not uid:
            raise node_error(400, "bad_request", "Name an index: `/_miroir/shards?index=UID`.")
        return jsonify(shards_view(cluster, registry.get(uid)))

    @app.post("/_miroir/indexes/<uid>/settings/preview")
    async def preview_settings(uid: str) -> ResponseReturnValue:
        body: bytes = await request.get_data(as_text=False)  # type: ignore[assignment]  # bytes, as asked
        return jsonify(await previews.preview(uid, body, _header("content-type") or b""))

    @app.get("/_miroir/metrics")
    async def show_metrics() -> ResponseReturnValue:
        await refresh_metrics()
        body, content_type = metrics.render()
        return Response(body, content_type=content_type)

    app.register_blueprint(shard_routes(allocation))
    if aliases is not None:
        app.register_blueprint(alias_routes(aliases))
    if imports is not None:
        app.register_blueprint(dump_routes(imports))

    @app.after_request
    async def identify(response: Response) -> Response:
        """Give the answer its request's id, and write the request's line."""
        response.headers["x-request-id"] = g.request_id
        template = _UNKNOWN if request.url_rule is None else str(request.url_rule)
        milliseconds = (perf_counter() - g.started) * 1000.0
        log_request(g.request_id, request.method, template, response.status_code, milliseconds)
        return response

    @app.errorhandler(ApiError)
    async def api_error(error: ApiError) -> ResponseReturnValue:
        return jsonify(error.body()), error.status, dict(error.headers)

    @app.errorhandler(HTTPException)
    async def http_error(error: HTTPException) -> ResponseReturnValue:
        status = error.code or 500
        known = {404: ("not_found", "There is nothing here."), 405: ("method_not_allowed", "Not with this method.")}
        code, message = known.get(status, ("bad_request", error.description or "The request is not valid."))
        return jsonify(node_error(status, code, message).body()), status

    @app.errorhandler(Exception)
    async def unexpected(error: Exception) -> ResponseReturnValue:
        _log.exception("admin request failed", request_id=g.request_id, path=request.path, exc_info=error)
        message = f"An internal error has occurred (request {g.request_id})."
        body = node_error(500, "internal", message, type="internal").body()
        return jsonify(body), 500

    return app


def _header(name: str) -> bytes | None:
    value = request.headers.get(name)
    return None if value is None else value.encode("latin-1", "replace")
