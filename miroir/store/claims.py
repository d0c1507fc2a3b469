"""Claims: that what a request writes is done under an `Idempotency-Key`.

A claim belongs to a request as a whole, whatever it writes and through whichever service. So it is handed down like a
deadline, as something around the call and not as an argument through every layer: the door says `with claimed(claim)`,
and the store binds the key to the client's task in the very transaction that registers it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from miroir.store.rows import Claim

_current: Final[ContextVar[Claim | None]] = ContextVar("claim", default=None)


@contextmanager
def claimed(claim: Claim) -> Iterator[None]:
    """What is written in the block is written under this claim."""
    token = _current.set(claim)
    try:
        yield
    finally:
        _current.reset(token)


def current_claim() -> Claim | None:
    """The claim of the request that this Trio task works for, None if it has none."""
    return _current.get()
