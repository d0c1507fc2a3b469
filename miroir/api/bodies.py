"""Reading request bodies, with a bound on how much of them is held at once by the whole process."""

from __future__ import annotations

from functools import lru_cache, partial
from types import TracebackType

import trio

from miroir.errors import miroir_error
from miroir.http import ClientDisconnected, Receive
from miroir.ingest import decompress


class BodyBudget:
    """At most `limit` bytes of request bodies in memory; who comes beyond that is told to come again.

    `largest`: bytes that one body may come to when it is unpacked.
    """

    def __init__(self, limit: int, *, largest: int) -> None:
        self.limit = limit
        self.largest = largest
        self.held = 0

    def body(self, receive: Receive) -> HeldBody:
        """`async with budget.body(receive) as body:` is the whole body, counted while the block runs.

        `ApiError`: 413 and 400 of the server, 503 `miroir_overloaded` beyond the budget. `ClientDisconnected` when the
        rest does not come.
        """
        return HeldBody(self, receive)


class HeldBody:
    """A body and the room it takes. A class, for every request makes one: a generator's context costs ten times it."""

    __slots__ = ("_budget", "_receive", "_size")

    def __init__(self, budget: BodyBudget, receive: Receive) -> None:
        self._budget = budget
        self._receive = receive
        self._size = 0

    async def __aenter__(self) -> bytes:
        try:
            return await self._read()
        except BaseException:
            self._budget.held -= self._size
            raise

    async def unpacked(self, body: bytes, encoding: bytes) -> bytes:
        """The body out of its `Content-Encoding`, counted as well. Raises what `decompress` does, and 503 as above."""
        unpack = partial(decompress, body, encoding, max_bytes=self._budget.largest)
        plain = await trio.to_thread.run_sync(unpack, limiter=_unpackers())
        if plain is not body:
            self._take_room(len(plain))
        return plain

    def _take_room(self, size: int) -> None:
        self._size += size
        self._budget.held += size
        if self._budget.held > self._budget.limit:
            raise miroir_error("miroir_overloaded", "Too many large requests at once. Try again shortly.")

    async def _read(self) -> bytes:
        chunks: list[bytes] = []
        while True:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                raise ClientDisconnected
            chunk: bytes = event.get("body", b"")
            self._take_room(len(chunk))
            chunks.append(chunk)
            if not event.get("more_body"):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._budget.held -= self._size


@lru_cache(maxsize=1)
def _unpackers() -> trio.CapacityLimiter:
    """Few at a time: what they make is only counted when it is there."""
    return trio.CapacityLimiter(2)
