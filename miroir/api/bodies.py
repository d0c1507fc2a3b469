"""Reading request bodies, with a bound on how much of them is held at once by the whole process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from miroir.errors import miroir_error
from miroir.http import ClientDisconnected, Receive


class BodyBudget:
    """At most `limit` bytes of request bodies in memory; who comes beyond that is told to come again."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    @asynccontextmanager
    async def body(self, receive: Receive) -> AsyncIterator[bytes]:
        """The whole body, counted while the block runs.

        `ApiError`: 413 and 400 of the server, 503 `miroir_overloaded` beyond the budget. `ClientDisconnected` when the
        rest does not come.
        """
        chunks: list[bytes] = []
        size = 0
        try:
            while True:
                event = await receive()
                if event["type"] == "http.disconnect":
                    raise ClientDisconnected
                chunk: bytes = event.get("body", b"")
                size += len(chunk)
                self.held += len(chunk)
                if self.held > self._limit:
                    raise miroir_error("miroir_overloaded", "Too many large requests at once. Try again shortly.")
                chunks.append(chunk)
                if not event.get("more_body"):
                    break
            yield chunks[0] if len(chunks) == 1 else b"".join(chunks)
        finally:
            self.held -= size
