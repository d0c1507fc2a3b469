"""One client connection: requests in order, each handled in the connection's own task.

Three things keep a request cheap. There is no task per request: the app runs where its request was read. There is no
cancel scope: each connection carries two deadlines, the server sweeps over all of them now and then, and an expired one
wakes whoever waits on the wire. And nobody watches the socket while the app works: a client that leaves is noticed
inside `receive`, if the app cares to wait there (concurrently, if it also has something else to do).

Bytes are read only when they are asked for, so a slow app holds back its client, and a slow client its app.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import math
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote

import orjson
import trio

from miroir.errors import ApiError
from miroir.http.asgi import ASGIApp, BodyLimit, ClientDisconnected, Message, Scope
from miroir.http.limits import ServerLimits
from miroir.http.refusals import broken_payload, internal_error, payload_too_large
from miroir.http.request_parser import END, NEED_DATA, Refused, RequestHead, RequestParser
from miroir.http.response_writer import CONTINUE, ResponseMisuseError, ResponseWriter, plain_answer
from miroir.http.wire import Wire

_log = logging.getLogger(__name__)

_NEVER: Final = math.inf
_MAX_STASH: Final = 65536  # pipelined bytes taken off the socket while watching for a client that leaves
_MAX_DISCARD: Final = 65536  # unread body worth reading to keep a connection
_SEND_SLICE: Final = 262_144
_LINGER_S: Final = 2.0
_BROKEN: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


class Phase(enum.Enum):
    """What a connection is doing, as far as the server must know to end it politely."""

    NEW = "accepted, nothing received"
    IDLE = "between requests"
    HEAD = "receiving a head"
    BUSY = "a request runs"


_BUSY: Final = Phase.BUSY
_IDLE: Final = Phase.IDLE


class Connection:
    """Serves one wire until it ends. `run` raises nothing but cancellation."""

    __slots__ = (
        "_app",
        "_base_scope",
        "_body_limit",
        "_parser",
        "_state",
        "_woken",
        "draining",
        "eof",
        "expired",
        "limits",
        "phase",
        "read_deadline",
        "waiting_since",
        "watching",
        "wire",
        "write_deadline",
    )

    def __init__(
        self,
        app: ASGIApp,
        wire: Wire,
        *,
        limits: ServerLimits,
        base_scope: Scope,
        state: dict[str, Any] | None,
        body_limit: BodyLimit | None,
    ) -> None:
        self._app = app
        self.wire = wire
        self._base_scope = base_scope
        self._state = state
        self._body_limit = body_limit
        self._parser = RequestParser(
            max_head_bytes=limits.max_head_bytes, max_headers=limits.max_headers, max_body_bytes=limits.max_body_bytes
        )
        self._woken: trio.Event | None = None
        self.limits = limits
        self.phase = Phase.NEW
        self.waiting_since = trio.current_time()
        """When the last request ended, or the connection was accepted."""
        self.read_deadline = self.waiting_since + limits.head_timeout_s
        self.write_deadline = _NEVER
        self.expired = False
        self.draining = False
        self.watching = False
        """Whether an app waits in `receive` for its client to leave."""
        self.eof = False

    # Called by the server, from its own tasks.

    def expire(self) -> None:
        """A deadline has passed, or room is needed: wake the task that waits on the wire.

        Should that task be on its way already, the next wait clears the flag and the next sweep looks again.
        """
        self.expired = True
        self.wire.interrupt()

    def drain(self) -> None:
        """Take no further request: end now if none runs, else after the one that does; end streams at once."""
        self.draining = True
        if self.phase in (Phase.NEW, Phase.IDLE) or self.watching:
            self.wake()

    def wake(self) -> None:
        """Make whoever waits for bytes look at the flags again."""
        self.wire.interrupt()
        if self._woken is not None:
            self._woken.set()

    # The connection's task.

    async def run(self) -> None:
        """Serve requests until the connection ends."""
        try:
            while True:
                head = await self._next_head()
                if head is None or not await self._handle(head):
                    return
        except _BROKEN:
            pass  # the client is gone, or its time is up
        finally:
            self.wire.close()

    async def _next_head(self) -> RequestHead | None:
        parser, wire, limits = self._parser, self.wire, self.limits
        event = parser.next_event() if parser.buffered else NEED_DATA
        if event is NEED_DATA:
            if self.phase is _BUSY:
                self.phase = _IDLE
                self.expired = False
                self.waiting_since = trio.current_time()
                self.read_deadline = self.waiting_since + limits.idle_timeout_s
            while event is NEED_DATA:
                if parser.buffered and self.phase is not Phase.HEAD:
                    if self.phase is _IDLE:
                        self.read_deadline = trio.current_time() + limits.head_timeout_s
                    self.phase = Phase.HEAD
                if self.draining and self.phase is not Phase.HEAD:
                    return None
                try:
                    data = await wire.receive()
                except trio.ClosedResourceError:
                    if not self.expired:
                        continue
                    if self.phase is Phase.HEAD:
                        await self._refuse(408)
                    return None
                if not data:
                    return None
                parser.feed(data)
                event = parser.next_event()
        else:
            # A pipelined request: nothing was waited for, so let others have their turn.
            await trio.lowlevel.checkpoint()
        self.phase = _BUSY
        self.read_deadline = _NEVER
        if type(event) is RequestHead:
            return event
        assert isinstance(event, Refused)
        _log.debug("refused a request: %s", event.reason)
        await self._refuse(event.status)
        return None

    async def _handle(self, head: RequestHead) -> bool:
        """Run the app on one request; whether the connection can carry another."""
        scope = self._scope(head)
        limit = self.limits.max_body_bytes if self._body_limit is None else self._body_limit(scope)
        self._parser.max_body_bytes = limit
        cycle = Cycle(self, self._parser, head, limit)
        try:
            await self._app(scope, cycle.receive, cycle.send)
        except Exception as exc:  # noqa: BLE001 - the boundary to code that is not ours; cancellation passes
            await cycle.failed(exc)
        else:
            if cycle.ended_well():
                return True
            await cycle.returned()
        return await cycle.settle()

    def _scope(self, head: RequestHead) -> Scope:
        raw_path = head.raw_path
        path = raw_path.decode("ascii")
        scope = {
            **self._base_scope,
            "http_version": head.http_version,
            "method": head.method,
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": head.query_string,
            "headers": head.headers,
        }
        if self._state is not None:
            scope["state"] = self._state.copy()
        return scope

    async def _refuse(self, status: int) -> None:
        """Answer what could not be read as a request, and part from the client."""
        self.expired = False
        await self.write_on((plain_answer(status),))
        await self.linger()

    # For the cycle.

    async def read(self, allowance_s: float) -> bool:
        """Feed the parser from the wire; False at the end of the stream.

        `TimeoutError` when nothing came within `allowance_s`.
        """
        self.expired = False
        self.read_deadline = trio.current_time() + allowance_s
        try:
            while True:
                try:
                    data = await self.wire.receive(self._parser.remaining or 0)
                except trio.ClosedResourceError:
                    if self.expired:
                        raise TimeoutError from None
                    continue
                if not data:
                    self.eof = True
                    return False
                self._parser.feed(data)
                return True
        finally:
            self.read_deadline = _NEVER

    async def watch(self) -> bool:
        """Wait for the client to leave or for a `wake`; False when it left.

        What arrives meanwhile is a pipelined request and waits in the parser; when too much of it is there nothing more
        is read, and only a `wake` ends the wait.
        """
        self.watching = True
        try:
            if self.eof:
                return False
            if self._parser.buffered >= _MAX_STASH:
                self._woken = trio.Event()
                await self._woken.wait()
                return True
            data = await self.wire.receive()
        except trio.ClosedResourceError:
            return not self.expired
        except trio.BrokenResourceError:
            data = b""
        finally:
            self.watching = False
            self._woken = None
        if not data:
            self.eof = True
            return False
        self._parser.feed(data)
        return True

    async def write_on(self, pieces: Sequence[bytes], sent: int = 0) -> None:
        """Write what comes behind the first `sent` bytes of `pieces`, with `send_timeout_s` for each 256 KiB."""
        for piece in pieces:
            if sent >= len(piece):
                sent -= len(piece)
                continue
            with memoryview(piece) as view:
                for start in range(sent, len(piece), _SEND_SLICE):
                    await self._write_slice(view[start : start + _SEND_SLICE])
            sent = 0

    async def _write_slice(self, data: memoryview) -> None:
        self.expired = False
        self.write_deadline = trio.current_time() + self.limits.send_timeout_s
        try:
            await self.wire.send(data, lambda: not self.expired)
        finally:
            self.write_deadline = _NEVER

    async def linger(self) -> None:
        """Let the client read the last answer: closing while its bytes are unread would reset the connection."""
        self.wire.shutdown_write()
        with trio.move_on_after(_LINGER_S):
            while await self.wire.receive():
                pass


class Cycle:
    """One request and its answer: the `receive` and `send` that the app gets."""

    __slots__ = (
        "_body_ended",
        "_conn",
        "_continue_due",
        "_gone",
        "_limit",
        "_parser",
        "_received",
        "_refusal",
        "_told",
        "_waited",
        "_writer",
    )

    def __init__(self, conn: Connection, parser: RequestParser, head: RequestHead, limit: int | None) -> None:
        self._conn = conn
        self._parser = parser
        self._limit = limit
        self._writer = ResponseWriter(method=head.method, http_version=head.http_version, keep_alive=head.keep_alive)
        self._continue_due = head.expects_continue
        self._body_ended = False
        self._gone = False  # nothing more can or should be written
        self._told = False  # the app knows that it should end
        self._refusal: ApiError | None = None
        self._received = 0
        self._waited = 0.0

    async def receive(self) -> Message:
        """ASGI `receive`: body events, then `http.disconnect` once the client has left or the answer is complete.

        Raises `ApiError` when the body is too large (413) or its framing breaks (400): an app that lets it pass gets
        that answer sent by the server.
        """
        if self._refusal is not None:
            raise self._refusal
        if not self._body_ended and not self._gone and not self._writer.complete:
            return await self._receive_body()
        return await self._disconnect()

    async def _receive_body(self) -> Message:
        parser = self._parser
        pieces: list[bytes] = []
        while True:
            event = parser.next_event()
            if type(event) is bytes:
                pieces.append(event)
                self._received += len(event)
                continue
            if event is END:
                self._body_ended = True
                body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                return {"type": "http.request", "body": body, "more_body": False}
            if pieces:
                return {"type": "http.request", "body": b"".join(pieces), "more_body": True}
            if isinstance(event, Refused):
                self._refusal = (
                    payload_too_large(self._limit or 0) if event.status == 413 else broken_payload(event.reason)
                )
                raise self._refusal
            if not await self._read_more():
                return {"type": "http.disconnect"}

    async def _read_more(self) -> bool:
        """Wait for body bytes; False when none will come."""
        conn = self._conn
        try:
            if self._continue_due:
                self._continue_due = False
                if not self._writer.head_sent:
                    await conn.write_on((CONTINUE,))
            # Silence is bounded by one allowance, and all the waiting together by what arrived for it.
            allowance = conn.limits.body_idle_timeout_s
            earned = allowance + self._received / conn.limits.min_body_rate - self._waited
            asked_at = trio.current_time()
            try:
                arrived = await conn.read(min(allowance, max(earned, 0.0)))
            except TimeoutError:
                self._gone = True
                if not self._writer.head_sent:
                    conn.expired = False
                    await conn.write_on((plain_answer(408),))
                    await conn.linger()
                return False
            self._waited += trio.current_time() - asked_at
        except _BROKEN:
            arrived = False
            self._gone = True
        if not arrived:
            self._gone = True
        return arrived

    async def _disconnect(self) -> Message:
        conn, writer = self._conn, self._writer
        while not self._gone and not writer.complete:
            is_stream = writer.head_sent and not writer.sized
            if (conn.draining and is_stream) or not await conn.watch():
                break
        self._told = True
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """ASGI `send`. Raises `ClientDisconnected` once the client has gone, and waits while it is slow to read."""
        kind = message["type"]
        if kind == "http.response.start":
            self._writer.start(message["status"], message.get("headers", ()))
            return
        if kind != "http.response.body":
            raise ResponseMisuseError(f"unknown message {kind!r}")
        if self._gone:
            raise ClientDisconnected("the client has gone")
        await self._write(message.get("body", b""), message.get("more_body", False))

    async def _write(self, data: bytes, more: bool) -> None:
        conn, writer = self._conn, self._writer
        if not writer.head_sent and writer.keep_alive and not self._may_keep_alive():
            writer.keep_alive = False
        pieces = writer.body(data, more)
        if not pieces:
            return
        try:
            sent = conn.wire.send_now(pieces)
            if sent != sum(map(len, pieces)):
                await conn.write_on(pieces, sent)
        except _BROKEN:
            self._gone = True
            raise ClientDisconnected("the client has gone") from None
        except trio.Cancelled:
            self._gone = True  # an unknown part of it has left; the framing is lost
            raise
        if writer.complete and conn.watching:
            conn.wake()

    def _may_keep_alive(self) -> bool:
        """Whether the rest of this request can be disposed of, so that another may follow."""
        conn = self._conn
        if conn.draining or conn.eof or self._refusal is not None:
            return False
        if self._body_ended:
            return True
        remaining = self._parser.remaining
        return not self._continue_due and remaining is not None and remaining <= _MAX_DISCARD

    async def failed(self, exc: Exception) -> None:
        """The app raised: answer in its place if nothing has left yet."""
        if self._gone or self._writer.head_sent:
            if not self._gone or not _only_disconnects(exc):
                _log.error("the app failed while answering", exc_info=exc)
            self._gone = True
            return
        error = self._refusal or (exc if isinstance(exc, ApiError) else None)
        if error is None:
            _log.error("the app failed", exc_info=exc)
            error = internal_error()
        await self._answer_error(error)

    async def returned(self) -> None:
        """The app returned: an answer it never gave is an error, one it left half-done cannot be mended."""
        if self._writer.complete or self._gone:
            return
        if self._writer.head_sent:
            if not self._told:
                _log.error("the app returned in the middle of its answer")
            self._gone = True
        else:
            _log.error("the app returned without an answer")
            await self._answer_error(self._refusal or internal_error())

    async def _answer_error(self, error: ApiError) -> None:
        body = orjson.dumps(error.body())
        headers = [(b"content-type", b"application/json")]
        headers += ((name.encode("ascii"), value.encode("latin-1")) for name, value in error.headers.items())
        self._writer.restart()
        self._writer.start(error.status, headers)
        with contextlib.suppress(ClientDisconnected):
            await self._write(body, False)

    def ended_well(self) -> bool:
        """Whether all is said and read, so that the next request may follow without further ado."""
        if self._gone or not self._writer.complete or not self._writer.keep_alive or self._conn.eof:
            return False
        if not self._body_ended and self._parser.remaining == 0:
            self._body_ended = self._parser.next_event() is END
        return self._body_ended

    async def settle(self) -> bool:
        """Dispose of what is left of the request; whether the connection can carry another."""
        conn = self._conn
        if self._gone or conn.eof:
            return False
        if self._writer.keep_alive and await self._discard_body():
            return True
        if not self._body_ended:
            await conn.linger()
        return False

    async def _discard_body(self) -> bool:
        parser = self._parser
        while not self._body_ended:
            event = parser.next_event()
            if event is END:
                self._body_ended = True
            elif isinstance(event, Refused) or (event is NEED_DATA and not await self._discard_more()):
                return False
        return True

    async def _discard_more(self) -> bool:
        try:
            return await self._conn.read(self._conn.limits.body_idle_timeout_s)
        except TimeoutError:
            self._gone = True
            return False


def _only_disconnects(exc: Exception) -> bool:
    if isinstance(exc, ExceptionGroup):
        return all(_only_disconnects(inner) for inner in exc.exceptions)
    return isinstance(exc, ClientDisconnected)
