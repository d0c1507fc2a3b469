"""Content encodings: a body as the client compressed it, back to plain bytes, and never more of them than allowed.

gzip, deflate (with its zlib head) and br are what a node takes, named in any case; it ignores any other name and reads
the body as it is, and so do we. zstd is ours to add: a body that starts with zstd's magic number cannot be any of the
formats, so decoding it takes nothing away from what a node accepts.
"""

from __future__ import annotations

import zlib
from decimal import Decimal
from typing import Final

import brotli
import zstandard

from miroir.errors import ApiError, node_error

_GZIP_WINDOW: Final = 31
_ZLIB_WINDOW: Final = 15
_ZSTD_STEP: Final = 256
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


def decompress(body: bytes, encoding: bytes | None, *, max_bytes: int) -> bytes:
    """The plain body. `ApiError` 400 for data that is not what `encoding` says, 413 past `max_bytes`.

    A deflate or br stream that stops early gives what it holds, as on a node; the format's parser judges that.
    """
    match (encoding or b"").strip(b" \t").lower():
        case b"gzip":
            plain = _inflate(body, _GZIP_WINDOW, max_bytes, must_end=True)
        case b"deflate":
            plain = _inflate(body, _ZLIB_WINDOW, max_bytes, must_end=False)
        case b"br":
            plain = _unbrotli(body, max_bytes)
        case b"zstd" if body.startswith(_ZSTD_MAGIC):
            plain = _unzstd(body, max_bytes)
        case _:
            plain = body
    if len(plain) > max_bytes:
        raise payload_too_large(max_bytes)
    return plain


def payload_too_large(limit_bytes: int) -> ApiError:
    """The 413 of the document routes; a limit that is a multiple of 1,024 is shown in binary units, as by a node."""
    step, units = (1024, ("B", "KiB", "MiB", "GiB", "TiB")) if limit_bytes % 1024 == 0 else _DECIMAL
    size, unit = Decimal(limit_bytes), 0
    while size >= step and unit < len(units) - 1:
        size, unit = size / step, unit + 1
    text = f"{size:f}"
    shown = text.rstrip("0").rstrip(".") if "." in text else text
    message = (
        f"The provided payload reached the size limit. The maximum accepted payload size is {shown} {units[unit]}."
    )
    return node_error(413, "payload_too_large", message)


_DECIMAL: Final = (1000, ("B", "KB", "MB", "GB", "TB"))


def _incomplete() -> ApiError:
    return node_error(400, "bad_request", "The provided payload is incomplete and cannot be parsed")


def _inflate(body: bytes, window: int, max_bytes: int, *, must_end: bool) -> bytes:
    inflater = zlib.decompressobj(window)
    try:
        plain = inflater.decompress(body, max_bytes + 1)
    except zlib.error:
        raise _incomplete() from None
    if len(plain) <= max_bytes and (inflater.unused_data or (must_end and not inflater.eof)):
        raise _incomplete()
    return plain


def _unbrotli(body: bytes, max_bytes: int) -> bytes:
    decoder = brotli.Decompressor()
    parts: list[bytes] = []
    length = 0
    pending = body
    try:
        while length <= max_bytes:
            part = decoder.process(pending, output_buffer_limit=max_bytes + 1 - length)
            parts.append(part)
            length += len(part)
            if decoder.is_finished() or decoder.can_accept_more_data():
                break
            pending = b""
    except brotli.error:
        raise _incomplete() from None
    return b"".join(parts)


def _unzstd(body: bytes, max_bytes: int) -> bytes:
    """All frames, each to its end.

    A step of input is small, because no step of output can be bounded: four bytes may stand for a block of 128 KiB, so
    a step for 8 MiB.
    """
    parts: list[bytes] = []
    length = 0
    frame = zstandard.ZstdDecompressor().decompressobj()
    try:
        for start in range(0, len(body), _ZSTD_STEP):
            rest = body[start : start + _ZSTD_STEP]
            while rest and length <= max_bytes:
                if frame.eof:
                    frame = zstandard.ZstdDecompressor().decompressobj()
                parts.append(frame.decompress(rest))
                length += len(parts[-1])
                rest = frame.unused_data
            if length > max_bytes:
                return b"".join(parts)
    except zstandard.ZstdError:
        raise _incomplete() from None
    if not frame.eof:
        raise _incomplete()
    return b"".join(parts)
