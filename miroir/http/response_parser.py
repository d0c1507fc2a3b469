"""One answer out of bytes. No socket, no clock.

As in `request_parser`, llhttp reads exactly one head at a time and the end of the body is decided here: llhttp does not
know which request an answer belongs to (HEAD has no body whatever its headers say), nor when the peer has closed.
"""

from __future__ import annotations

import enum
import re

import httptools

from miroir.http.framing import BodyTooLargeError, ChunkedDecoder, FramingError
from miroir.http.response import BadResponse, Response

_DIGITS = re.compile(rb"[0-9]{1,18}")
_MAX_HEAD = 262_144


class _Body(enum.Enum):
    HEAD = enum.auto()
    SIZED = enum.auto()
    CHUNKED = enum.auto()
    UNTIL_CLOSE = enum.auto()
    DONE = enum.auto()


class _Collector:
    __slots__ = ("headers",)

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip(b" \t")))


class ResponseParser:
    """Feed bytes until it says done, then take `response()`. For one answer to one request of `method`.

    `feed` and `feed_eof` raise `BadResponse` for what no HTTP server should send. Interim answers (1xx) are skipped.
    """

    __slots__ = (
        "_buffer",
        "_chunked",
        "_is_head",
        "_left",
        "_max_body",
        "_pieces",
        "_size",
        "_state",
        "headers",
        "reusable",
        "started",
        "status",
    )

    def __init__(self, *, is_head: bool, max_body_bytes: int) -> None:
        self._is_head = is_head
        self._max_body = max_body_bytes
        self._buffer = b""
        self._state = _Body.HEAD
        self._left = 0
        self._size = 0
        self._pieces: list[bytes] = []
        self._chunked: ChunkedDecoder | None = None
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.started = False
        """Whether a single byte has come back."""
        self.reusable = False
        """Once done: whether the connection may carry another exchange."""

    @property
    def wanted(self) -> int:
        """Body bytes that are certainly still to come: how much is worth asking the socket for."""
        return self._left

    def feed(self, data: bytes) -> bool:
        """Take what arrived (not empty); True once the answer is complete."""
        self.started = True
        if self._state is _Body.HEAD:
            self._buffer = self._buffer + data if self._buffer else data
            if not self._read_heads():
                return False
            data, self._buffer = self._buffer, b""
        if self._state is _Body.CHUNKED:
            return self._feed_chunked(data)
        if self._state is _Body.SIZED:
            if len(data) > self._left:
                self.reusable = False  # bytes nobody asked for
                data = data[: self._left]
            self._take(data)
            self._left -= len(data)
            if self._left == 0:
                self._state = _Body.DONE
        elif self._state is _Body.UNTIL_CLOSE:
            self._take(data)
        elif data:
            self.reusable = False
        return self._state is _Body.DONE

    def feed_eof(self) -> bool:
        """The peer closed: True when that completes the answer, False when it cuts it off."""
        if self._state is _Body.UNTIL_CLOSE:
            self._state = _Body.DONE
        return self._state is _Body.DONE

    def response(self) -> Response:
        """The complete answer."""
        pieces = self._pieces
        return Response(self.status, self.headers, pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _take(self, data: bytes) -> None:
        if data:
            self._size += len(data)
            if self._size > self._max_body:
                raise BadResponse(f"the answer exceeds {self._max_body} bytes")
            self._pieces.append(data)

    def _feed_chunked(self, data: bytes) -> bool:
        assert self._chunked is not None
        data = self._buffer + data if self._buffer else data
        try:
            while True:
                body, pos, done = self._chunked.decode(data, 0)
                self._take(body)
                data = data[pos:]
                if done or not body:
                    break
        except FramingError as exc:
            raise BadResponse(f"bad chunked coding: {exc}") from None
        except BodyTooLargeError:
            raise BadResponse(f"the answer exceeds {self._max_body} bytes") from None
        self._buffer = data
        if done:
            self._state = _Body.DONE
            if data:
                self.reusable = False
        return done

    def _read_heads(self) -> bool:
        """Read heads off the buffer until a final one; False when more bytes are needed."""
        while True:
            end = self._buffer.find(b"\r\n\r\n", 0, _MAX_HEAD)
            if end < 0:
                if len(self._buffer) >= _MAX_HEAD:
                    raise BadResponse("the head of the answer is too large")
                if not b"HTTP/1.".startswith(self._buffer[:7]):
                    raise BadResponse("not an HTTP answer")
                return False
            head, self._buffer = self._buffer[: end + 4], self._buffer[end + 4 :]
            self._read_head(head)
            if self._state is not _Body.HEAD:
                return True

    def _read_head(self, head: bytes) -> None:
        collector = _Collector()
        parser = httptools.HttpResponseParser(collector)
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            raise BadResponse("the node changed the protocol") from None
        except httptools.HttpParserError as exc:
            raise BadResponse(f"not an HTTP answer: {exc}") from None
        status = parser.get_status_code()
        if status < 200:
            if status == 101:
                raise BadResponse("the node changed the protocol")
            return
        self.status = status
        self.headers = collector.headers
        self._judge(head.startswith(b"HTTP/1.1"))

    def _judge(self, is_1_1: bool) -> None:
        """Decide where the body ends: RFC 9112, section 6.3."""
        length: int | None = None
        chunked = False
        self.reusable = is_1_1
        for name, value in self.headers:
            if name == b"content-length":
                if length is not None or _DIGITS.fullmatch(value) is None:
                    raise BadResponse("ambiguous Content-Length")
                length = int(value)
            elif name == b"transfer-encoding":
                if chunked or value.lower() != b"chunked":
                    raise BadResponse("unsupported Transfer-Encoding")
                chunked = True
            elif name == b"connection" and b"close" in value.lower():
                self.reusable = False
        if chunked and length is not None:
            raise BadResponse("both Content-Length and Transfer-Encoding")
        if self._is_head or self.status in (204, 304) or length == 0:
            self._state = _Body.DONE
        elif chunked:
            self._state = _Body.CHUNKED
            self._chunked = ChunkedDecoder(self._max_body, _MAX_HEAD)
        elif length is not None:
            if length > self._max_body:
                raise BadResponse(f"the answer exceeds {self._max_body} bytes")
            self._state = _Body.SIZED
            self._left = length
        else:
            self._state = _Body.UNTIL_CLOSE
            self.reusable = False
