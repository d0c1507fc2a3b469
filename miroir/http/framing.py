"""Where a message's body ends: the chunked coding, for requests and answers alike.

llhttp could decode it too, but it runs on into the next message of the same buffer, hands trailers out as headers, and
forgives more than a proxy should. What two parties frame differently is how requests are smuggled, so this decoder
knows one spelling of everything: RFC 9112, section 7.1, without its tolerance for white space.
"""

from __future__ import annotations

import enum
import re

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")
_MAX_SIZE_LINE = 1024


class FramingError(Exception):
    """The body is not framed as announced; nothing after this point can be trusted."""


class BodyTooLargeError(Exception):
    """The body exceeds its limit, by announcement or by what arrived."""


class _State(enum.Enum):
    SIZE = enum.auto()
    DATA = enum.auto()
    DATA_END = enum.auto()
    TRAILERS = enum.auto()
    DONE = enum.auto()


class ChunkedDecoder:
    """Decodes one chunked body. Trailers are checked, counted and dropped.

    `max_body_bytes` may be changed until the body ends; `max_overhead_bytes` bounds chunk extensions and trailers,
    each in sum, so that a small body cannot hide in endless framing.
    """

    __slots__ = (
        "_error",
        "_extension_bytes",
        "_left",
        "_max_overhead",
        "_state",
        "_total",
        "_trailer_bytes",
        "max_body_bytes",
    )

    def __init__(self, max_body_bytes: int | None, max_overhead_bytes: int) -> None:
        self.max_body_bytes = max_body_bytes
        self._max_overhead = max_overhead_bytes
        self._state = _State.SIZE
        self._left = 0
        self._total = 0
        self._extension_bytes = 0
        self._trailer_bytes = 0
        self._error: Exception | None = None

    def decode(self, buffer: bytes, pos: int) -> tuple[bytes, int, bool]:
        """Take what can be taken from `buffer[pos:]`: the decoded bytes, the new position, whether the body ended.

        Raises `FramingError` or `BodyTooLargeError`, and only after everything before the fault has been handed out:
        how the bytes were cut on their way must not show.
        """
        if self._error is not None:
            raise self._error
        pieces: list[bytes] = []
        try:
            while self._state is not _State.DONE:
                step = self._step(buffer, pos, pieces)
                if step < 0:
                    break
                pos = step
        except (FramingError, BodyTooLargeError) as exc:
            self._error = exc
            if not pieces:
                raise
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return data, pos, self._state is _State.DONE

    def _step(self, buffer: bytes, pos: int, pieces: list[bytes]) -> int:
        """One element of the framing: the position behind it, or -1 when more bytes are needed."""
        state = self._state
        if state is _State.DATA:
            piece = buffer[pos : pos + self._left]
            if not piece:
                return -1
            pieces.append(piece)
            self._left -= len(piece)
            if self._left == 0:
                self._state = _State.DATA_END
            return pos + len(piece)
        if state is _State.DATA_END:
            end = buffer[pos : pos + 2]
            if end == b"\r\n":
                self._state = _State.SIZE
                return pos + 2
            if end in (b"", b"\r"):
                return -1
            raise FramingError("chunk data is longer than its size")
        if state is _State.SIZE:
            return self._size_line(buffer, pos)
        return self._trailer_line(buffer, pos)

    def _size_line(self, buffer: bytes, pos: int) -> int:
        end = _line_end(buffer, pos, _MAX_SIZE_LINE)
        if end < 0:
            return -1
        match = _SIZE_LINE.fullmatch(buffer, pos, end)
        if match is None:
            raise FramingError("malformed chunk size")
        size = int(match[1], 16)
        self._extension_bytes += end - match.end(1)
        if self._extension_bytes > self._max_overhead:
            raise FramingError("chunk extensions are too long")
        self._total += size
        if self.max_body_bytes is not None and self._total > self.max_body_bytes:
            raise BodyTooLargeError
        self._left = size
        self._state = _State.DATA if size else _State.TRAILERS
        return end + 2

    def _trailer_line(self, buffer: bytes, pos: int) -> int:
        end = _line_end(buffer, pos, self._max_overhead - self._trailer_bytes)
        if end < 0:
            return -1
        if end == pos:
            self._state = _State.DONE
        elif _TRAILER_LINE.fullmatch(buffer, pos, end) is None:
            raise FramingError("malformed trailer")
        self._trailer_bytes += end + 2 - pos
        return end + 2


def _line_end(buffer: bytes, pos: int, limit: int) -> int:
    """Where the line that starts at `pos` has its CRLF; -1 when it has not arrived."""
    stop = pos + max(limit, 0) + 2
    end = buffer.find(b"\r\n", pos, stop)
    if end < 0:
        if len(buffer) >= stop:
            raise FramingError("a line of the chunked coding is too long")
        if buffer.find(b"\n", pos) >= 0:
            raise FramingError("bare line feed")
    return end
