"""The same app served by Hypercorn, for HTTP/2: another engine under the same contract.

Hypercorn parses and frames; what it leaves open is closed here. The parser under it (h11) takes a length beside a
chunked coding, any Host and target, and any number of headers, so what it made of a head is judged once more by the
rules of `request_parser`. What no rule can see any more by then has one meaning only: folded headers, lines that end
in a bare LF, trailers. Hypercorn limits neither bodies nor the time they take, and its streams do not hear of a
shutdown; `receive` sees to that. It runs a lifespan of its own, and there must be only one, so its connections are
served without its front door (`hypercorn.trio.serve`). And it shields its sends from cancellation, so that one client
which does not read could hold a shutdown for ever: after the grace the sockets are closed under it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote

import orjson
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from miroir.errors import ApiError
from miroir.http.asgi import ASGIApp, BodyLimit, Message, Receive, Scope, Send
from miroir.http.limits import ServerLimits
from miroir.http.refusals import payload_too_large
from miroir.http.request_parser import Refused, RequestHead, judge_head
from miroir.http.server import Listener

_log = logging.getLogger(__name__)

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]
_DISCARD_S: Final = 10.0


async def serve_with_hypercorn(
    app: ASGIApp,
    listeners: Sequence[Listener],
    *,
    limits: ServerLimits,
    shutdown_grace_s: float,
    stop: trio.Event,
    body_limit: BodyLimit | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """What `server.serve` does, by Hypercorn: HTTP/1.1, and HTTP/2 where a TLS client asks for it (or by prior
    knowledge without TLS).

    Of `limits`, the head's size, the number of headers, the body's size, `body_idle_timeout_s`, `idle_timeout_s` and,
    for TLS handshakes, `head_timeout_s` are kept; `min_body_rate`, `send_timeout_s` and `max_connections` are the
    native engine's.
    """
    served = _Served(_Bounded(app, limits, body_limit, stop), _config(limits))
    try:
        async with trio.open_nursery() as nursery:
            accepting = trio.CancelScope()
            nursery.start_soon(served.accept, listeners, nursery, accepting)
            task_status.started()
            await stop.wait()
            accepting.cancel()
            for listener in listeners:
                await trio.aclose_forcefully(listener)
            await served.drain(shutdown_grace_s)
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            for listener in listeners:
                await trio.aclose_forcefully(listener)


class _Served:
    """The connections."""

    def __init__(self, app: ASGIApp, config: Config) -> None:
        self._app = ASGIWrapper(app)  # type: ignore[arg-type]  # Hypercorn's typed dictionaries, our plain ones
        self._config = config
        self._context = WorkerContext(None)
        self._streams: set[Stream] = set()
        self._none_left = trio.Event()

    async def accept(self, listeners: Sequence[Listener], nursery: trio.Nursery, accepting: trio.CancelScope) -> None:
        with accepting:
            await trio.serve_listeners(self._serve, list(listeners), handler_nursery=nursery)

    async def _serve(self, stream: Stream) -> None:
        self._streams.add(stream)
        try:
            await TCPServer(self._app, self._config, self._context, ConnectionState({}), stream)  # type: ignore[arg-type]  # typed for TLS only, and asks which it is
        except Exception:  # noqa: BLE001 - one connection's trouble is not the others'
            _log.exception("a connection failed")
        finally:
            self._streams.discard(stream)
            if not self._streams:
                self._none_left.set()

    async def drain(self, grace_s: float) -> None:
        """Idle connections end now, the others after what they do; what has not ended in time is cut off."""
        await self._context.terminated.set()
        with trio.move_on_after(grace_s):
            while self._streams:
                self._none_left = trio.Event()
                await self._none_left.wait()
        if not self._streams:
            return
        _log.warning("%d connections did not finish within the grace", len(self._streams))
        for stream in list(self._streams):
            await trio.aclose_forcefully(stream)


class _Bounded:
    """The app with limits on what it is sent, and no lifespan: that is the caller's, and there is one."""

    def __init__(self, app: ASGIApp, limits: ServerLimits, body_limit: BodyLimit | None, stop: trio.Event) -> None:
        self._app = app
        self._limits = limits
        self._body_limit = body_limit
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        offers = scope["type"] == "websocket"
        if offers:
            scope, receive, send = _without_offer(scope, receive, send)
        elif scope["type"] != "http":
            return
        closable = scope["http_version"] != "2"
        head = _judge(scope, self._limits)
        has_rest = offers or not isinstance(head, RequestHead) or head.content_length != 0
        limit = self._limits.max_body_bytes if self._body_limit is None else self._body_limit(scope)
        cycle = _Cycle(
            receive, send, limit, self._limits.body_idle_timeout_s, self._stop, closable=closable, has_rest=has_rest
        )
        if isinstance(head, Refused):
            _log.debug("refused a request: %s", head.reason)
            await cycle.refuse(head.status)
            return
        try:
            await self._app(scope, cycle.receive, cycle.send)
        except ApiError as error:
            if cycle.answering:
                raise
            headers = [(b"content-type", b"application/json")]
            headers += ((name.encode("ascii"), value.encode("latin-1")) for name, value in error.headers.items())
            await cycle.send({"type": "http.response.start", "status": error.status, "headers": headers})
            await cycle.send({"type": "http.response.body", "body": orjson.dumps(error.body())})


def _judge(scope: Scope, limits: ServerLimits) -> RequestHead | Refused | None:
    """A refusal, or the scope is now what our own server would have made of the head. None in HTTP/2, which frames
    unambiguously, and of which the h2 library checks the rest.
    """
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if scope["http_version"] == "2":
        return Refused(431, "too many headers") if len(headers) > limits.max_headers else None
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    head = judge_head(
        scope["method"].encode("ascii"),
        scope["raw_path"] + query,
        b"HTTP/" + scope["http_version"].encode("ascii"),
        headers,
        max_head_bytes=limits.max_head_bytes,
        max_headers=limits.max_headers,
    )
    if isinstance(head, RequestHead):
        path = unquote(head.raw_path.decode("ascii"))
        scope.update(path=path, raw_path=head.raw_path, query_string=head.query_string, headers=head.headers)
    return head


def _without_offer(scope: Scope, receive: Receive, send: Send) -> tuple[Scope, Receive, Send]:
    """The request as which a WebSocket's offer is answered: as if nothing had been offered."""

    async def receive_http() -> Message:
        if (await receive())["type"] == "websocket.connect":
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.disconnect"}

    async def send_http(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    scheme = "https" if scope["scheme"] == "wss" else "http"
    return {**scope, "type": "http", "method": "GET", "scheme": scheme}, receive_http, send_http


class _Cycle:
    """`receive` and `send` around Hypercorn's."""

    def __init__(
        self,
        receive: Receive,
        send: Send,
        limit: int | None,
        idle_timeout_s: float,
        stop: trio.Event,
        *,
        closable: bool,
        has_rest: bool,
    ) -> None:
        """`has_rest`: something may follow the head, which is not worth a connection if the app does not want it."""
        self._receive = receive
        self._send = send
        self._limit = limit
        self._idle_timeout_s = idle_timeout_s
        self._stop = stop
        self._closable = closable
        self._has_rest = has_rest
        self._received = 0
        self._body_ended = False
        self._is_stream = False
        self.answering = False

    async def receive(self) -> Message:
        """Refuses a body over its limit, gives up one that does not come, ends streams when the server stops."""
        if self._body_ended:
            return await self._disconnect()
        with trio.move_on_after(self._idle_timeout_s):
            message = await self._receive()
            self._received += len(message.get("body", b""))
            if self._limit is not None and self._received > self._limit:
                raise payload_too_large(self._limit)
            self._body_ended = not message.get("more_body")
            return message
        self._body_ended = True
        return {"type": "http.disconnect"}

    async def _disconnect(self) -> Message:
        async def stopping() -> None:
            await self._stop.wait()
            if self._is_stream:
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stopping)
            await self._receive()  # only the end is still to come
            nursery.cancel_scope.cancel()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Hypercorn hands the body over in a short queue, and a full one would hold up the answer's end as well."""
        if self._has_rest and not (self.answering or self._body_ended) and self._closable:
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        self.answering = True
        more = message.get("more_body", False)
        self._is_stream |= more
        if self._body_ended or more or message["type"] != "http.response.body":
            await self._send(message)
        else:
            await self._send_over_unread_body(message)

    async def _send_over_unread_body(self, end: Message) -> None:
        # A client that still sends might not see an answer before a reset. In HTTP/2, data for a stream that has ended
        # would take Hypercorn's whole connection down.
        with trio.move_on_after(_DISCARD_S if self._closable else self._idle_timeout_s):
            await self._discard()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._discard)
            await self._send(end)
            nursery.cancel_scope.cancel()

    async def refuse(self, status: int) -> None:
        """Answer without a body. In HTTP/1 that parts from the client at once, whatever it still sends."""
        headers = [(b"content-length", b"0"), *([(b"connection", b"close")] if self._closable else [])]
        start: Message = {"type": "http.response.start", "status": status, "headers": headers}
        end: Message = {"type": "http.response.body", "body": b""}
        if not self._closable:
            await self.send(start)
            await self.send(end)
            return
        await self._send(start)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._discard)
            await self._send(end)
            nursery.cancel_scope.cancel()

    async def _discard(self) -> None:
        while not self._body_ended:
            message = await self._receive()
            self._body_ended = not message.get("more_body")


def _config(limits: ServerLimits) -> Config:
    config = Config()
    settings: dict[str, Any] = {
        "accesslog": None,
        "errorlog": logging.getLogger("hypercorn.error"),
        "include_server_header": False,
        "h11_max_incomplete_size": limits.max_head_bytes,
        "h2_max_header_list_size": limits.max_head_bytes,
        "keep_alive_timeout": limits.idle_timeout_s,
        "keep_alive_max_requests": sys.maxsize,
        "ssl_handshake_timeout": limits.head_timeout_s,
    }
    for name, value in settings.items():
        setattr(config, name, value)
    return config
