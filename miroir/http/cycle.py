"""One request and its answer as the app sees them, `receive` and `send`, and what becomes of a request half-read."""

from __future__ import annotations

import contextlib
import logging
from typing import Final

import orjson
import trio

from miroir.errors import ApiError
from miroir.http.asgi import ClientDisconnected, Message
from miroir.http.line import BROKEN, Line
from miroir.http.refusals import broken_payload, internal_error, payload_too_large
from miroir.http.request_parser import END, NEED_DATA, Refused, RequestHead
from miroir.http.response_writer import CONTINUE, ResponseMisuseError, ResponseWriter, plain_answer

_log = logging.getLogger(__name__)

_MAX_DISCARD: Final = 65536  # unread body worth reading to keep a connection


class Cycle:
    """One request and its answer: the `receive` and `send` that the app gets."""

    __slots__ = (
        "_body_ended",
        "_continue_due",
        "_gone",
        "_limit",
        "_line",
        "_parser",
        "_received",
        "_refusal",
        "_told",
        "_waited",
        "_writer",
    )

    def __init__(self, line: Line, head: RequestHead, limit: int | None) -> None:
        self._line = line
        self._parser = line.parser
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
        line = self._line
        try:
            if self._continue_due:
                self._continue_due = False
                if not self._writer.head_sent:
                    await line.write_on((CONTINUE,))
            # Silence is bounded by one allowance, and all the waiting together by what arrived for it.
            allowance = line.limits.body_idle_timeout_s
            earned = allowance + self._received / line.limits.min_body_rate - self._waited
            asked_at = trio.current_time()
            try:
                arrived = await line.read(min(allowance, max(earned, 0.0)))
            except TimeoutError:
                self._gone = True
                if not self._writer.head_sent:
                    line.expired = False
                    await line.write_on((plain_answer(408),))
                    await line.linger()
                return False
            self._waited += trio.current_time() - asked_at
        except BROKEN:
            arrived = False
            self._gone = True
        if not arrived:
            self._gone = True
        return arrived

    async def _disconnect(self) -> Message:
        line, writer = self._line, self._writer
        while not self._gone and not writer.complete:
            is_stream = writer.head_sent and not writer.sized
            if (line.draining and is_stream) or not await line.watch():
                break
            if writer.complete:
                line.wake()  # the answer was given meanwhile, and what was read here may be the next request
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
        line, writer = self._line, self._writer
        if not writer.head_sent and writer.keep_alive and not self._may_keep_alive():
            writer.keep_alive = False
        pieces = writer.body(data, more)
        if not pieces:
            return
        try:
            sent = line.wire.send_now(pieces)
            if sent != sum(map(len, pieces)):
                await line.write_on(pieces, sent)
        except BROKEN:
            self._gone = True
            raise ClientDisconnected("the client has gone") from None
        except trio.Cancelled:
            self._gone = True  # an unknown part of it has left; the framing is lost
            raise
        if writer.complete and line.watching:
            line.wake()

    def _may_keep_alive(self) -> bool:
        """Whether the rest of this request can be disposed of, so that another may follow."""
        line = self._line
        if line.draining or line.eof or self._refusal is not None:
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
        if self._gone or not self._writer.complete or not self._writer.keep_alive or self._line.eof:
            return False
        if not self._body_ended and self._parser.remaining == 0:
            self._body_ended = self._parser.next_event() is END
        return self._body_ended

    async def settle(self) -> bool:
        """Dispose of what is left of the request; whether the connection can carry another."""
        line = self._line
        if self._gone or line.eof:
            return False
        if self._writer.keep_alive and await self._discard_body():
            return True
        if not self._body_ended:
            await line.linger()
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
            return await self._line.read(self._line.limits.body_idle_timeout_s)
        except TimeoutError:
            self._gone = True
            return False


def _only_disconnects(exc: Exception) -> bool:
    if isinstance(exc, ExceptionGroup):
        return all(_only_disconnects(inner) for inner in exc.exceptions)
    return isinstance(exc, ClientDisconnected)
