"""Requests out of bytes: heads, body chunks, ends, refusals. No socket, no clock.

llhttp (through httptools) reads each head; everything that says where a message ends is decided here. That split is
deliberate: fed with a whole connection, llhttp swallows the body behind an `Upgrade` offer, reports trailers as
headers, takes a missing or double `Host` and `gzip, chunked`, and may finish several messages in one call. Given
exactly one head at a time it can do none of that, and an upgrade offer is merely a header that is left out.

Every way of cutting a byte stream into pieces yields the same messages; a test holds that.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

import httptools

from miroir.http.framing import BodyTooLargeError, ChunkedDecoder, FramingError

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_HOST = re.compile(rb"[A-Za-z0-9\-._~%!$&'()*+,;=:\[\]]*")
_DIGITS = re.compile(rb"[0-9]{1,18}")
_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)([/?].*)?", re.IGNORECASE)
_UPGRADE_HEADERS: Final = frozenset((b"upgrade", b"http2-settings"))
_JUDGED: Final = _UPGRADE_HEADERS | {b"host", b"content-length", b"transfer-encoding", b"connection", b"expect"}
_HASH: Final = 0x23  # as a number: `in` asks of any other needle first whether it is one, 0.1 us


class Signal(enum.Enum):
    """What `next_event` says when it has neither a head nor bytes."""

    NEED_DATA = "need data"
    END = "end"


# Looking a member up costs three times as much as a global, and these are looked up all the time.
NEED_DATA: Final = Signal.NEED_DATA
END: Final = Signal.END


@dataclass(slots=True)
class RequestHead:
    """One request line and its headers, judged and found unambiguous."""

    method: str
    http_version: str
    raw_path: bytes
    query_string: bytes
    headers: list[tuple[bytes, bytes]]
    keep_alive: bool
    content_length: int | None
    """Announced body length; `None` when chunked, 0 when there is no body."""
    expects_continue: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The stream ends here: answer with `status` and close. Every later event is this one."""

    status: int
    reason: str


Event: TypeAlias = RequestHead | bytes | Signal | Refused


class _RefusedError(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.refused = Refused(status, reason)


class _Collector:
    """What httptools calls back into while it reads one head."""

    __slots__ = ("headers",)

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))


class RequestParser:
    """Feed bytes, pull events: a `RequestHead`, then `bytes` any number of times, then `Signal.END`, and again.

    Bytes behind the current message stay in the buffer untouched until they are pulled, which is what keeps pipelined
    requests in order. `max_body_bytes` is meant to be set after each head and before its body is pulled.
    """

    __slots__ = (
        "_admitted",
        "_buffer",
        "_chunked",
        "_left",
        "_max_head",
        "_max_headers",
        "_pos",
        "_refused",
        "_scan",
        "max_body_bytes",
    )

    def __init__(self, *, max_head_bytes: int, max_headers: int, max_body_bytes: int | None) -> None:
        self.max_body_bytes = max_body_bytes
        self._max_head = max_head_bytes
        self._max_headers = max_headers
        self._buffer = b""
        self._pos = 0
        self._scan = 0
        self._admitted = True  # whether the announced length was compared with the limit
        self._left = -1  # body bytes still to come; -1 between messages
        self._chunked: ChunkedDecoder | None = None
        self._refused: Refused | None = None

    @property
    def buffered(self) -> int:
        """Bytes fed and not yet handed out."""
        return len(self._buffer) - self._pos

    @property
    def between_messages(self) -> bool:
        """Whether the last message has ended and not one byte of another is here."""
        return self._left < 0 and self._chunked is None and self._pos == len(self._buffer)

    @property
    def remaining(self) -> int | None:
        """Body bytes of the current message not handed out yet; `None` when chunked."""
        return None if self._chunked is not None else max(self._left, 0)

    def feed(self, data: bytes) -> None:
        """Append what arrived."""
        if self._pos == len(self._buffer):
            self._buffer = data
            self._pos = self._scan = 0
        else:
            rest = self._pos
            self._buffer = self._buffer[rest:] + data
            self._scan = max(self._scan - rest, 0)
            self._pos = 0

    def next_event(self) -> Event:
        """The next thing that can be said about the bytes fed so far."""
        if self._refused is not None:
            return self._refused
        try:
            if self._chunked is not None:
                return self._next_chunked(self._chunked)
            if self._left >= 0:
                return self._next_sized()
            return self._next_head()
        except _RefusedError as exc:
            self._refused = exc.refused
        except BodyTooLargeError:
            self._refused = Refused(413, "body too large")
        except FramingError as exc:
            self._refused = Refused(400, str(exc))
        self._buffer = b""
        self._pos = 0
        return self._refused

    def _next_sized(self) -> bytes | Signal:
        left = self._left
        if left == 0:
            self._left = -1
            return END
        if not self._admitted:
            if self.max_body_bytes is not None and left > self.max_body_bytes:
                raise BodyTooLargeError
            self._admitted = True
        buffer, pos = self._buffer, self._pos
        available = len(buffer) - pos
        if available == 0:
            return NEED_DATA
        if pos == 0 and available <= left:
            self._buffer = b""
            self._left = left - available
            return buffer
        piece = buffer[pos : pos + left]
        self._pos = pos + len(piece)
        self._left = left - len(piece)
        return piece

    def _next_chunked(self, decoder: ChunkedDecoder) -> bytes | Signal:
        decoder.max_body_bytes = self.max_body_bytes
        data, self._pos, done = decoder.decode(self._buffer, self._pos)
        if done:
            self._chunked = None
            if not data:
                return END
            self._left, self._admitted = 0, True  # so that the next event is END
            return data
        return data or NEED_DATA

    def _next_head(self) -> RequestHead | Signal:
        buffer, pos = self._buffer, self._pos
        while buffer[pos : pos + 2] == b"\r\n":  # empty lines before a request: RFC 9112, section 2.2
            pos += 2
        self._pos = pos
        end = buffer.find(b"\r\n\r\n", max(pos, self._scan), pos + self._max_head)
        if end < 0:
            return self._judge_partial(buffer, pos)
        head = buffer[pos : end + 4]
        self._pos = self._scan = end + 4
        request = _read_head(head, self._max_headers)
        if request.content_length is None:
            self._chunked = ChunkedDecoder(self.max_body_bytes, self._max_head)
        else:
            self._left = request.content_length
            self._admitted = False
        return request

    def _judge_partial(self, buffer: bytes, pos: int) -> Signal:
        """A head that has not ended: refuse at once what can never become one, instead of waiting for more of it."""
        size = len(buffer) - pos
        if size:
            # A lone carriage return may still become an empty line; followed by anything else it cannot.
            begins = buffer[pos:] == b"\r" or _TOKEN.match(buffer, pos) is not None
            if not begins or buffer.find(b"\n\n", max(pos, self._scan), pos + self._max_head) >= 0:
                raise _RefusedError(400, "malformed request line")
        if size >= self._max_head:
            raise _RefusedError(431, "request head too large")
        self._scan = max(len(buffer) - 3, pos)
        return NEED_DATA


def judge_head(
    method: bytes,
    target: bytes,
    protocol: bytes,
    headers: list[tuple[bytes, bytes]],
    *,
    max_head_bytes: int,
    max_headers: int,
) -> RequestHead | Refused:
    """The refusal table for a head that somebody else has taken apart; names in lower case."""
    try:
        if sum(len(name) + len(value) + 4 for name, value in headers) + len(target) > max_head_bytes:
            raise _RefusedError(431, "request head too large")
        if len(headers) > max_headers:
            raise _RefusedError(431, "too many headers")
        if not all(map(_VALUE.fullmatch, (value for _, value in headers))):
            raise _RefusedError(400, "control character in a header")
        return _judge(method, target, _version(method, protocol), headers)
    except _RefusedError as exc:
        return exc.refused


def _read_head(head: bytes, max_headers: int) -> RequestHead:
    method, target, version = _request_line(head)
    collector = _Collector()
    try:
        httptools.HttpRequestParser(collector).feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # the offer is declined by leaving it out, below; the body is not llhttp's business
    except httptools.HttpParserInvalidMethodError:
        # llhttp knows a list of methods; a node answers any token with 404 or 405, so the rest is read as for GET
        collector = _Collector()
        _feed_as_get(collector, head)
    except httptools.HttpParserError as exc:
        raise _RefusedError(400, str(exc)) from None
    if len(collector.headers) > max_headers:
        raise _RefusedError(431, "too many headers")
    headers = collector.headers
    if head.find(b" \r\n") > 0 or head.find(b"\t\r\n") > 0:  # llhttp leaves white space at the end of values
        headers = [(name, value.rstrip(b" \t")) for name, value in headers]
    return _judge(method, target, version, headers)


def _feed_as_get(collector: _Collector, head: bytes) -> None:
    try:
        httptools.HttpRequestParser(collector).feed_data(b"GET" + head[head.index(b" ") :])
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as exc:
        raise _RefusedError(400, str(exc)) from None


def _request_line(head: bytes) -> tuple[bytes, bytes, str]:
    parts = head[: head.index(b"\r\n")].split(b" ")
    if len(parts) != 3:
        raise _RefusedError(400, "malformed request line")
    return parts[0], parts[1], _version(parts[0], parts[2])


def _version(method: bytes, protocol: bytes) -> str:
    if _TOKEN.fullmatch(method) is None:
        raise _RefusedError(400, "malformed request line")
    if protocol == b"HTTP/1.1":
        version = "1.1"
    elif protocol == b"HTTP/1.0":
        version = "1.0"
    else:
        raise _RefusedError(400, "HTTP version not supported")
    if method == b"CONNECT":
        raise _RefusedError(400, "CONNECT is for proxies of another kind")
    return version


def _judge(method: bytes, target: bytes, version: str, headers: list[tuple[bytes, bytes]]) -> RequestHead:
    """The rules of the refusal table that span headers."""
    hosts = 0
    length: int | None = None
    chunked = upgrade = expects_continue = False
    keep_alive = version == "1.1"
    for name, value in headers:
        if name not in _JUDGED:
            continue
        if name == b"host":
            hosts += 1
            if _HOST.fullmatch(value) is None:
                raise _RefusedError(400, "malformed Host")
        elif name == b"content-length":
            if length is not None or _DIGITS.fullmatch(value) is None:
                raise _RefusedError(400, "ambiguous Content-Length")
            length = int(value)
        elif name == b"transfer-encoding":
            if chunked or value.lower() != b"chunked":
                raise _RefusedError(400, "unsupported Transfer-Encoding")
            chunked = True
        elif name == b"connection":
            tokens = [token.strip() for token in value.lower().split(b",")]
            if b"close" in tokens:
                keep_alive = False
            elif version == "1.0" and b"keep-alive" in tokens:
                keep_alive = True
        elif name == b"expect":
            if value.lower() != b"100-continue":
                raise _RefusedError(417, "unknown expectation")
            expects_continue = version == "1.1"
        else:
            upgrade = True
    if chunked and length is not None:
        raise _RefusedError(400, "both Content-Length and Transfer-Encoding")
    if chunked and version == "1.0":
        raise _RefusedError(400, "Transfer-Encoding in HTTP/1.0")
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise _RefusedError(400, "exactly one Host is needed")
    if upgrade:
        headers = [(name, value) for name, value in headers if name not in _UPGRADE_HEADERS]
    if not target.startswith(b"/"):
        target, headers = _other_forms(target, headers)
    raw_path, _, query = (target.partition(b"#")[0] if _HASH in target else target).partition(b"?")
    # In the order of its fields: by their names this would cost half as much again.
    return RequestHead(
        method.decode("ascii"),
        version,
        raw_path,
        query,
        headers,
        keep_alive,
        None if chunked else length or 0,
        expects_continue and (chunked or bool(length)),
    )


def _other_forms(target: bytes, headers: list[tuple[bytes, bytes]]) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The asterisk form, and the absolute form, whose authority replaces `Host` (RFC 9112, section 3.2.2)."""
    if target == b"*":
        return target, headers
    match = _ABSOLUTE.fullmatch(target)
    if match is None or _HOST.fullmatch(match[1]) is None:
        raise _RefusedError(400, "malformed request target")
    path = match[2] or b"/"
    headers = [(b"host", match[1]), *((name, value) for name, value in headers if name != b"host")]
    return (path if path.startswith(b"/") else b"/" + path), headers
