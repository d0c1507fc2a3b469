"""Answers into bytes: status line, headers, framing. No socket; the clock is the second in `Date`.

The head is held back until the first body event, so that an answer given in one piece gets its length and leaves in
one write (two writes cost a client with delayed acknowledgements 40 ms).
"""

from __future__ import annotations

import enum
import http
import time
from collections.abc import Iterable
from email.utils import formatdate
from functools import lru_cache
from typing import Final

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii") for status in http.HTTPStatus
}
_JUDGED: Final = frozenset((b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"date"))
_JOIN_BELOW: Final = 32768
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class ResponseMisuseError(Exception):
    """The app broke the ASGI contract, or its own `content-length`."""


class _Framing(enum.Enum):
    NONE = enum.auto()
    SIZED = enum.auto()
    CHUNKED = enum.auto()
    UNTIL_CLOSE = enum.auto()


_SIZED: Final = _Framing.SIZED


class ResponseWriter:
    """Frames one answer: `start`, then `body` until it says `complete`. `keep_alive` may be lowered until the head."""

    __slots__ = (
        "_framing",
        "_headers",
        "_is_1_1",
        "_is_head",
        "_left",
        "_status",
        "complete",
        "head_sent",
        "keep_alive",
        "sized",
        "started",
    )

    def __init__(self, *, method: str, http_version: str, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        """Whether the connection may be used again after this answer."""
        self.started = False
        self.head_sent = False
        self.complete = False
        self.sized = False
        """Whether the answer's length is known to the client: otherwise it is a stream."""
        self._is_head = method == "HEAD"
        self._is_1_1 = http_version == "1.1"
        self._status = 0
        self._headers: Iterable[tuple[bytes, bytes]] = ()
        self._framing = _Framing.NONE
        self._left = 0

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep the head for the first body event."""
        if self.started:
            raise ResponseMisuseError("the answer was started twice")
        self.started = True
        self._status = status
        self._headers = headers

    def restart(self) -> None:
        """Forget a head that has not left yet, to answer something else."""
        if self.head_sent:
            raise ResponseMisuseError("the head has left")
        self.started = False

    def body(self, data: bytes, more: bool) -> list[bytes]:
        """The bytes to write for one body event; may be empty."""
        if not self.started:
            raise ResponseMisuseError("the body came before the head")
        if self.complete:
            raise ResponseMisuseError("the answer is complete")
        if not self.head_sent and not more and len(data) < _JOIN_BELOW:
            return self._whole(data)
        pieces = [] if self.head_sent else [self._head(data, more)]
        framing = self._framing
        if framing is _SIZED:
            self._left -= len(data)
            if self._left < 0:
                raise ResponseMisuseError("the body is longer than its content-length")
            if not more and self._left > 0:
                raise ResponseMisuseError("the body is shorter than its content-length")
            if data:
                pieces.append(data)
        elif framing is _Framing.CHUNKED:
            if data:
                pieces += (b"%x\r\n" % len(data), data, b"\r\n")
            if not more:
                pieces.append(b"0\r\n\r\n")
        elif framing is _Framing.UNTIL_CLOSE and data:
            pieces.append(data)
        self.head_sent = True
        self.complete = not more
        return pieces

    def _whole(self, data: bytes) -> list[bytes]:
        """An answer given in one piece and small enough to be copied: the case that must be fast."""
        head = self._head(data, False)
        if self._framing is _SIZED:
            if self._left != len(data):
                raise ResponseMisuseError("the body is not as long as its content-length")
            head += data
        self.head_sent = self.complete = True
        return [head]

    def _head(self, data: bytes, more: bool) -> bytes:
        status = self._status
        parts = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        length: int | None = None
        lines = 2  # the status line and the empty one
        has_date = False
        for name, value in self._headers:
            name = name.lower()
            if name in _JUDGED:
                if name == b"content-length":
                    length = int(value)
                elif name == b"connection" and b"close" in value.lower():
                    self.keep_alive = False
                if name != b"date":
                    continue
                has_date = True
            parts += (name, b": ", value, b"\r\n")
            lines += 1
        framing_line = self._decide_framing(length, data, more)
        if framing_line:
            parts.append(framing_line)
            lines += 1
        if not has_date:
            parts.append(_date_line())
            lines += 1
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
            lines += 1
        elif not self._is_1_1:
            parts.append(b"connection: keep-alive\r\n")
            lines += 1
        parts.append(b"\r\n")
        head = b"".join(parts)
        if head.count(b"\n") != lines or head.count(b"\r") != lines or 0 in head:
            raise ResponseMisuseError("a header of the answer holds a line break")
        return head

    def _decide_framing(self, length: int | None, data: bytes, more: bool) -> bytes:
        if self._status < 200 or self._status == 204:
            return b""
        if length is None and not more:
            length = len(data)
        self.sized = length is not None
        if self._is_head or self._status == 304:
            # The length is the one a GET would have had; an app that sent no body on purpose did not state it.
            if length is None or (length == 0 and self._status == 304):
                return b""
            return b"content-length: %d\r\n" % length
        if length is not None:
            self._framing = _SIZED
            self._left = length
            return b"content-length: %d\r\n" % length
        if self._is_1_1:
            self._framing = _Framing.CHUNKED
            return b"transfer-encoding: chunked\r\n"
        self._framing = _Framing.UNTIL_CLOSE
        self.keep_alive = False
        return b""


def plain_answer(status: int) -> bytes:
    """A whole answer without a body that ends the connection: how a node refuses what is not HTTP."""
    line = _STATUS_LINES[status]
    return b"".join((line, b"content-length: 0\r\nconnection: close\r\n", _date_line(), b"\r\n"))


def _date_line() -> bytes:
    return _date_line_at(int(time.time()))


@lru_cache(maxsize=1)
def _date_line_at(second: int) -> bytes:
    """`Date`, formatted once a second: formatting costs as much as the rest of the head."""
    return f"date: {formatdate(second, usegmt=True)}\r\n".encode("ascii")
