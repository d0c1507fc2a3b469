"""One connection to a node: a request out in one write, its answer in."""

from __future__ import annotations

import ssl

import trio

from miroir.http.response import ConnectFailed, ConnectionLost, Response
from miroir.http.response_parser import ResponseParser
from miroir.http.wire import Wire, wire_of

_BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)


class ClientConnection:
    """Carries one exchange at a time. Whoever uses it closes it unless `reusable` says otherwise afterwards."""

    __slots__ = ("_cut_short", "_parser", "_wire", "idle_since")

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._parser = ResponseParser(is_head=False, max_body_bytes=0)
        self._cut_short = False
        self.idle_since = 0.0

    @classmethod
    async def open(cls, host: str, port: int, tls: ssl.SSLContext | None) -> ClientConnection:
        """Connect. Raises `ConnectFailed`."""
        try:
            stream = await trio.open_tcp_stream(host, port)
        except OSError as exc:
            raise ConnectFailed(f"cannot connect to {host}:{port}: {exc}") from exc
        if tls is None:
            return cls(wire_of(stream))
        secure = trio.SSLStream(stream, tls, server_hostname=host, https_compatible=True)
        try:
            await secure.do_handshake()
        except BaseException as exc:
            stream.socket.close()
            if isinstance(exc, (trio.BrokenResourceError, ssl.CertificateError)):
                raise ConnectFailed(f"no TLS with {host}:{port}: {exc.__cause__ or exc}") from exc
            raise
        return cls(wire_of(secure))

    @property
    def is_stale(self) -> bool:
        """Whether an idle connection has something to read: the node closed it, or speaks out of turn."""
        return self._wire.readable()

    @property
    def stands(self) -> bool:
        """Whether the node has certainly not closed it, even if an answer is waiting to be read."""
        return self._wire.stands()

    @property
    def has_arrived(self) -> bool:
        """Whether something of the answer (or its end) can be read now."""
        return self._wire.readable()

    @property
    def answered(self) -> bool:
        """Whether a single byte of the answer has been read."""
        return self._parser.started

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow the one just completed."""
        return self._parser.reusable and not self._cut_short

    async def send(self, request: bytes, *, is_head: bool, max_body_bytes: int) -> None:
        """Write a whole request. Raises `ConnectionLost` when it cannot.

        A node may answer before it has read everything, and then stop reading or close. So when a request does not fit
        in one write, an early answer ends the writing, and a write that fails after its first bytes is not an error
        yet: the answer may be there. Either way the connection is not used again.
        """
        self._parser = ResponseParser(is_head=is_head, max_body_bytes=max_body_bytes)
        await trio.lowlevel.checkpoint_if_cancelled()
        sent = 0
        try:
            sent = self._wire.send_now((request,))
            if sent < len(request):
                with memoryview(request) as view:
                    self._cut_short = not await self._send_rest(view[sent:])
        except _BROKEN as exc:
            if sent == 0:
                raise ConnectionLost(f"the connection broke before the request was sent: {exc}", sent=False) from exc
            self._cut_short = True

    async def _send_rest(self, data: memoryview) -> bool:
        """Write on, unless an answer arrives first; whether everything was written."""
        if not self._wire.can_peek:
            await self._wire.send(data)
            return True
        finished = False

        async def stop_when_answered() -> None:
            await self._wire.wait_readable()
            nursery.cancel_scope.cancel()

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stop_when_answered)
                await self._wire.send(data)
                finished = True
                nursery.cancel_scope.cancel()
        except* _BROKEN:
            pass
        return finished

    async def receive(self) -> Response:
        """Read the answer. Raises `ConnectionLost` or `BadResponse`."""
        parser, wire = self._parser, self._wire
        try:
            data = wire.receive_now()
            while True:
                if data is None:
                    data = await wire.receive(parser.wanted)
                if not data:
                    if parser.feed_eof():
                        return parser.response()
                    raise ConnectionLost("the node closed the connection before its answer was complete", sent=True)
                if parser.feed(data):
                    return parser.response()
                data = None
        except _BROKEN as exc:
            raise ConnectionLost(f"the connection broke before the answer was complete: {exc}", sent=True) from exc

    def close(self) -> None:
        """Close at once; idempotent."""
        self._wire.close()
