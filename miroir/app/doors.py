"""The doors: listeners, TLS, who serves what comes in, and which plane a path belongs to."""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio

from miroir.admin import is_upload
from miroir.app.building import Services
from miroir.config import Config
from miroir.errors import ERRORS_PATH
from miroir.http import (
    HTTP_1,
    HTTP_2,
    ASGIApp,
    BadCertificate,
    Listener,
    Message,
    Receive,
    Scope,
    Send,
    ServerLimits,
    inherited_sockets,
    listeners_from,
    open_listeners,
    server_tls,
)
from miroir.http import serve as serve_http

_OF_THE_DATA_PLANE = frozenset({"/_miroir/ready", ERRORS_PATH})
"""What is below `/_miroir` and asks for no key."""


class StartupError(Exception):
    """The server cannot start; the message says what to do."""


async def listen(stack: AsyncExitStack, config: Config) -> tuple[list[trio.SocketListener], list[trio.SocketListener]]:
    """The listeners of the data plane and of the metrics: inherited under the names `data` and `metrics`, or opened.

    Raises `StartupError` for one that cannot be had.
    """
    try:
        inherited = inherited_sockets(os.environ)
        strangers = sorted(set(inherited) - {"data", "metrics"})
        if strangers:
            raise ValueError(f"LISTEN_FDNAMES: {', '.join(strangers)}; the names are data and metrics")
        found = {name: listeners_from(sockets) for name, sockets in inherited.items()}
    except ValueError as failure:
        raise StartupError(f"Inherited sockets: {failure}.") from None
    ports = {"data": ("port", config.server.port), "metrics": ("metrics_port", config.server.metrics_port)}
    for name, (knob, port) in ports.items():
        if name not in found:
            try:
                found[name] = await open_listeners(config.server.bind, port)
            except OSError as failure:
                raise StartupError(_cannot_listen(config.server.bind, port, knob, failure)) from None
        for listener in found[name]:
            stack.push_async_callback(trio.aclose_forcefully, listener)
    return found["data"], found["metrics"]


def _cannot_listen(host: str, port: int, knob: str, failure: OSError) -> str:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if failure.errno == errno.EADDRINUSE:
        instead = f"Stop what listens there, or set another server.{knob}"
    elif failure.errno in (errno.EACCES, errno.EPERM):
        instead = f"Set server.{knob} to a port that this user may have, 1024 or higher"
    else:
        instead = "Set server.bind to an address of this machine, or to 0.0.0.0 for all of them"
    return f"Cannot listen on {address} (server.{knob}): {failure.strerror or failure}. {instead}."


def data_tls(config: Config) -> ssl.SSLContext | None:
    """The data plane's TLS. Raises `StartupError` for files that cannot be used."""
    files = config.server.tls
    if not files.cert:
        return None
    protocols = HTTP_2 if config.server.engine == "hypercorn" else HTTP_1
    try:
        return server_tls(Path(files.cert), Path(files.key), protocols=protocols)
    except BadCertificate as failure:
        raise StartupError(str(failure)) from None


def secured(listeners: list[trio.SocketListener], tls: ssl.SSLContext | None) -> Sequence[Listener]:
    """The listeners with TLS before them, if there is any."""
    if tls is None:
        return listeners
    return [trio.SSLListener(listener, tls, https_compatible=True) for listener in listeners]


def engine(config: Config) -> Callable[..., Awaitable[None]]:
    """Who serves the data plane."""
    if config.server.engine == "native":
        return serve_http
    from miroir.http.hypercorn_server import serve_with_hypercorn

    return serve_with_hypercorn


def dispatcher(services: Services, admin_enabled: bool) -> ASGIApp:
    """`/_miroir` goes to the control plane, except what needs no key and what is too large for it; all else to the data
    plane.

    With `admin.enabled: false` there is no control plane: its paths are as unknown as any other.
    """
    data_plane, admin_app, dump_upload = services.data_plane, services.admin_app, services.dump_upload

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if not (admin_enabled and path.startswith("/_miroir") and path not in _OF_THE_DATA_PLANE):
            await data_plane(scope, receive, send)
        elif is_upload(scope):
            await dump_upload(scope, receive, send)
        else:
            await admin_app(scope, receive, send)

    return dispatch


def body_limit(limits: ServerLimits, scope: Scope) -> int | None:
    """A dump is written to the disk as it comes, and may be of any size; everything else is held in memory."""
    return None if is_upload(scope) else limits.max_body_bytes


def metrics_app(services: Services) -> ASGIApp:
    """The metrics port: `GET /metrics`, nothing else, no key."""

    async def metrics(scope: Scope, _: Receive, send: Send) -> None:
        status, body, content_type = 404, b"", "text/plain"
        if scope["path"] == "/metrics" and scope["method"] == "GET":
            await services.refresh_metrics()
            status = 200
            body, content_type = services.metrics.render()
        headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return metrics


@asynccontextmanager
async def lifespan(app: ASGIApp) -> AsyncIterator[None]:
    """Run an ASGI app's lifespan around the block: exactly one start-up, exactly one shutdown."""
    to_app, app_receives = trio.open_memory_channel[Message](1)
    app_sends, from_app = trio.open_memory_channel[Message](1)

    async def run() -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        await app(scope, app_receives.receive, app_sends.send)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await to_app.send({"type": "lifespan.startup"})
        answer = await from_app.receive()
        if answer["type"] != "lifespan.startup.complete":
            raise StartupError(f"The control plane did not start: {answer.get('message', '')}")
        try:
            yield
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 5.0):
                await to_app.send({"type": "lifespan.shutdown"})
                await from_app.receive()
            nursery.cancel_scope.cancel()
