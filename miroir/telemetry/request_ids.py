"""Request ids: what an answer and its log lines have in common."""

from __future__ import annotations

from random import Random
from typing import Final

_SANE: Final = frozenset(b"0123456789abcdefABCDEF-")
_LONGEST: Final = 64


def request_id(given: bytes | None, rng: Random) -> str:
    """The client's `X-Request-Id` if it is a sane one (a hexadecimal number or a UUID), else 32 random bits."""
    if given is not None and 0 < len(given) <= _LONGEST and _SANE.issuperset(given):
        return given.decode()
    return f"{rng.getrandbits(32):08x}"
