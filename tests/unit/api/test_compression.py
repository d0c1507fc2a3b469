"""Which encoding a client gets."""

from __future__ import annotations

import gzip
import zlib

import brotli
import pytest

from miroir.api.compression import chosen_encoding, compressed


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        (b"", b"identity"),
        (b"gzip", b"gzip"),
        (b"deflate, gzip, br", b"br"),
        (b"deflate, gzip", b"gzip"),
        (b"br;q=0.5, gzip;q=0.8", b"gzip"),
        (b"gzip;q=0", b"identity"),
        (b"*", b"identity"),
        (b"identity;q=0", None),
        (b"*;q=0", None),
        (b"*;q=0, br", b"br"),
        (b"gzip;q=oops", b"gzip"),
        (b",,;q=1, ;", b"identity"),
        (b"zstd", b"identity"),
    ],
)
def test_choice(accepted: bytes, encoding: bytes | None) -> None:
    assert chosen_encoding(accepted) == encoding


@pytest.mark.parametrize("size", [1, 1000, 300_000])
async def test_bodies_come_back(size: int) -> None:
    body = b"0123456789" * size
    for encoding, unpack in ((b"br", brotli.decompress), (b"gzip", gzip.decompress), (b"deflate", zlib.decompress)):
        packed, headers = await compressed(body, encoding)
        assert unpack(packed) == body
        assert (b"content-encoding", encoding) in headers


async def test_what_is_not_there_is_not_packed() -> None:
    assert await compressed(b"", b"gzip") == (b"", ())
    assert await compressed(b"x", b"zstd") == (b"x", ())
