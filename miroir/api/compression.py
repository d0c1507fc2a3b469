"""Answers in the encoding that the client asks for, as a node chooses it: the heaviest weight, then br, gzip, deflate.

Speed counts for more than size here: a proxy compresses every answer anew. Large ones are compressed in a thread.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

import brotli
import trio

from miroir.api.messages import Response

_LARGE_BYTES: Final = 128 * 1024
_NOT_ACCEPTABLE: Final = b"br, gzip, deflate"


def _brotli(body: bytes) -> bytes:
    packed: bytes = brotli.compress(body, quality=1)
    return packed


def _gzip(body: bytes) -> bytes:
    return zlib.compress(body, 1, 31)


def _deflate(body: bytes) -> bytes:
    return zlib.compress(body, 1, 15)


_ENCODERS: Final[Mapping[bytes, Callable[[bytes], bytes]]] = {b"br": _brotli, b"gzip": _gzip, b"deflate": _deflate}


def refusal(accepted: bytes | None) -> Response | None:
    """406 for who takes nothing that there is, not even an answer as it is."""
    if accepted is None or chosen_encoding(accepted) is not None:
        return None
    return Response(406, _NOT_ACCEPTABLE, [(b"vary", b"Accept-Encoding")], content_type=b"")


async def compressed(body: bytes, accepted: bytes) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    """The body for a client that sent this `Accept-Encoding`, and the headers that say so."""
    encode = _ENCODERS.get(chosen_encoding(accepted) or b"identity")
    if encode is None or not body:
        return body, ()
    packed = encode(body) if len(body) < _LARGE_BYTES else await trio.to_thread.run_sync(encode, body)
    return packed, ((b"content-encoding", chosen_encoding(accepted) or b""), (b"vary", b"accept-encoding"))


@lru_cache(maxsize=64)
def chosen_encoding(accepted: bytes) -> bytes | None:
    """One of ours or `identity`; None when the client takes none of them."""
    weights: dict[bytes, float] = {}
    for part in accepted.lower().split(b","):
        name, _, parameter = part.partition(b";")
        weights.setdefault(name.strip(), _weight(parameter))
    weights.pop(b"", None)
    offers = [(weights[name], -place, name) for place, name in enumerate((*_ENCODERS, b"identity")) if name in weights]
    best = max(offers, default=None)
    if best is not None and best[0] > 0:
        return best[2]
    return None if weights.get(b"identity", weights.get(b"*", 1.0)) == 0 else b"identity"


def _weight(parameter: bytes) -> float:
    name, _, value = parameter.strip().partition(b"=")
    if name.strip() != b"q":
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 1.0
